"""A word that a job was given at submission, to be found again by."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class JobTag(Base):
    """A row for each tag: in key order they are a project's jobs of that tag in order of age, a page at a time.

    `project_id` is the job's. A side table, so that the jobs of batches, which have no tags, cost nothing.
    """

    __tablename__ = "job_tags"
    __table_args__ = (Index("ix_job_tags_job_id", "job_id"),)

    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(Text, primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
