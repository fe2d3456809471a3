"""The answer of a finished job: the provider's own body, or the error that ended it."""

from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class JobResult(Base):
    """`status_code` and `body` as the provider answered, null where no answer came; then `error` says why.

    Pictures are not in the body: their `b64_json` and `url` are taken out and stored as artifacts.
    """

    __tablename__ = "job_results"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    status_code: Mapped[int | None] = mapped_column(Integer)
    request_id: Mapped[str | None] = mapped_column(Text)
    body: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON)
