"""A key under which a client sends a request again, to get the answer of the first time instead of a second job."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, SmallInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt


class IdempotencyKey(Base):
    """Inserted in the transaction that inserts the jobs: both are there, or neither.

    `fingerprint` tells the same request from another under the same key. Either the whole answer is kept (`status`,
    `body`), or `job_id`, whose result is the answer.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_created_at", "created_at"),)

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Text)
    job_id: Mapped[UUID | None]
    status: Mapped[int | None] = mapped_column(SmallInteger)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[CreatedAt]
