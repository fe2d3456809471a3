"""The request body of a job, written once and never updated."""

from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class JobRequest(Base):
    """`json`, not `jsonb`: the body is kept as it was sent, key order included, and never searched."""

    __tablename__ = "job_requests"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    body: Mapped[dict[str, Any]] = mapped_column(JSON)
