"""What whoever submitted a job wrote to it, for themselves. A side table: the jobs of batches have none."""

from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class JobNote(Base):
    """Up to 16 pairs of strings, never read by us."""

    __tablename__ = "job_notes"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    job_metadata: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB)
