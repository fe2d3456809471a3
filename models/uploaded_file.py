"""A file that a client handed in, or that a finished batch left: its object in the store and what is known of it."""

import enum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp, UuidKey


class FilePurpose(enum.StrEnum):
    """The provider's words. `batch_output` is what batches write; clients upload the others."""

    BATCH = "batch"
    VISION = "vision"
    USER_DATA = "user_data"
    BATCH_OUTPUT = "batch_output"


class UploadedFile(Base):
    """Written after its object is whole in the store, so a row never names less than a file.

    One that was deleted, or whose time is over, is not seen any more; a sweep then takes object and row away.
    `batch_id` is the batch whose results it holds; an input file knows nothing of the batches made from it.
    """

    __tablename__ = "files"
    __table_args__ = (
        Index("ix_files_of_project", "project_id", "id"),
        Index("ix_files_of_batch", "batch_id", postgresql_where=text("batch_id IS NOT NULL")),
        Index("ix_files_expiring", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
        Index("ix_files_deleted", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    id: Mapped[UuidKey]
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    purpose: Mapped[str] = mapped_column(Text)
    filename: Mapped[str] = mapped_column(Text)
    content_type: Mapped[str] = mapped_column(Text)
    byte_size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text, unique=True)
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("batches.id"))
    expires_at: Mapped[Timestamp | None]
    deleted_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]
