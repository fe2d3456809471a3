"""A stored object in S3 and what is known of it."""

import enum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, SmallInteger, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, UuidKey, enum_column


class ArtifactKind(enum.StrEnum):
    """What the object is to its job or batch."""

    IMAGE = "image"
    THUMBNAIL = "thumbnail"
    INPUT = "input"
    OUTPUT = "output"


class Artifact(Base):
    """Written in the transaction that settles its job, after the object is in the store."""

    __tablename__ = "artifacts"
    __table_args__ = (
        Index("ix_artifacts_job", "job_id", "kind", "position"),
        Index("ix_artifacts_batch", "batch_id", "kind", postgresql_where=text("batch_id IS NOT NULL")),
    )

    id: Mapped[UuidKey]
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("batches.id"))
    kind: Mapped[ArtifactKind] = mapped_column(enum_column(ArtifactKind, "artifact_kind"))
    position: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    key: Mapped[str] = mapped_column(Text, unique=True)
    content_type: Mapped[str] = mapped_column(Text)
    byte_size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(Text)
    width: Mapped[int | None] = mapped_column(Integer)
    height: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[CreatedAt]
