"""One job that another one waits for."""

from uuid import UUID

from sqlalchemy import Boolean, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class JobDependency(Base):
    """`job_id` stays `blocked` until `needs_id`, and whatever else it needs, has ended.

    `waits` is true until that was seen; written only while the row of `job_id` is locked. `run_on_failure` lets it run
    though the needed job did not succeed; else it fails with it. The row stays, to say what the job was made from.
    """

    __tablename__ = "job_dependencies"
    __table_args__ = (
        Index("ix_job_dependencies_needs_id", "needs_id", "job_id"),
        Index("ix_job_dependencies_waiting", "job_id", postgresql_where=text("waits")),
    )

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    needs_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    run_on_failure: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    waits: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
