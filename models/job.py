"""One request to one model endpoint, and the states it may pass through."""

import enum
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Index, Integer, SmallInteger, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp, UuidKey, enum_column


class JobState(enum.StrEnum):
    """`running` means that the limiter has granted a start time and the attempt is on the books."""

    BLOCKED = "blocked"
    QUEUED = "queued"
    LEASED = "leased"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})

LEGAL_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.BLOCKED: frozenset({JobState.QUEUED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}),
    JobState.QUEUED: frozenset({JobState.LEASED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}),
    JobState.LEASED: frozenset({JobState.QUEUED, JobState.RUNNING, JobState.CANCELLED, JobState.EXPIRED}),
    JobState.RUNNING: frozenset(
        {JobState.QUEUED, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
}
"""Every edge of the state machine. A trigger in the database refuses any other (migrations/versions/0001)."""


PARKED_UNTIL = "9999-01-01 00:00:00+00"
"""`run_at` of a job that waits for money. Not infinity, which Python's datetime cannot hold."""


class Job(Base):
    """The narrow, often updated part; the body is in `job_requests`, the answer in `job_results`.

    `run_at` is null for a job that may start now and a time in the future for schedules and backoff: ready and
    waiting jobs are then in two partial indexes, so a claim never wades through jobs in backoff.
    `priority` is the one it was submitted with; the flow that it is in has the one that holds.
    A retry by hand makes a new job for the same line and sets the old one's `superseded_by`; no final state is left.
    `calls` counts attempts made, `attempts_used` those that count against `max_attempts` (a 429 does not).
    `waiting_budget_id` is the budget that a job by itself waits for, with `run_at` at PARKED_UNTIL. One that was woken
    keeps it: while it is queued and ready, the money that it was woken for is spoken for.
    `lease_id` fences every write of a worker: a row whose lease changed is out of its reach.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("attempts_used >= 0 AND max_attempts > 0", name="attempts"),
        CheckConstraint("(state IN ('leased', 'running')) = (lease_id IS NOT NULL)", name="lease_iff_out"),
        Index(
            "ix_jobs_ready",
            "flow_id",
            "id",
            postgresql_where=text("state = 'queued' AND run_at IS NULL"),
        ),
        Index("ix_jobs_waiting", "run_at", postgresql_where=text("state = 'queued' AND run_at IS NOT NULL")),
        Index(
            "ix_jobs_deadline",
            "deadline",
            postgresql_where=text("state IN ('blocked', 'queued', 'leased') AND deadline IS NOT NULL"),
        ),
        Index("ix_jobs_lease", "lease_id", postgresql_where=text("lease_id IS NOT NULL")),
        Index("ix_jobs_batch", "batch_id", "line_no", postgresql_where=text("batch_id IS NOT NULL")),
        Index("ix_jobs_of_batch", "batch_id", "id", postgresql_where=text("batch_id IS NOT NULL")),
        Index("ix_jobs_queued", "project_id", "deployment_id", "id", postgresql_where=text("state = 'queued'")),
        Index("ix_jobs_blocked", "project_id", "id", postgresql_where=text("state = 'blocked'")),
        Index(
            "ix_jobs_ended",
            "project_id",
            "deployment_id",
            "id",
            postgresql_where=text("state IN ('succeeded', 'failed', 'cancelled', 'expired')"),
        ),
        Index(
            "ix_jobs_unsuccessful_of_project",
            "project_id",
            "id",
            postgresql_include=["state", "deployment_id", "batch_id", "error_code"],
            postgresql_where=text("state IN ('failed', 'cancelled', 'expired')"),
        ),
        Index(
            "ix_jobs_custom_id",
            "project_id",
            "custom_id",
            "id",
            postgresql_where=text("batch_id IS NULL AND custom_id IS NOT NULL"),
        ),
        Index(
            "ix_jobs_over_budget",
            "waiting_budget_id",
            "priority",
            "deadline",
            "id",
            postgresql_where=text("state = 'queued' AND waiting_budget_id IS NOT NULL"),
        ),
        Index(
            "ix_jobs_unsuccessful",
            "error_code",
            "id",
            postgresql_where=text("state IN ('failed', 'cancelled', 'expired')"),
        ),
        {
            "postgresql_with": {
                "fillfactor": "80",
                "autovacuum_vacuum_scale_factor": "0.01",
                "autovacuum_vacuum_threshold": "1000",
                "autovacuum_analyze_scale_factor": "0.02",
            }
        },
    )

    id: Mapped[UuidKey]
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("batches.id"))
    line_no: Mapped[int | None] = mapped_column(Integer)
    custom_id: Mapped[str | None] = mapped_column(Text)
    # No foreign keys on these two: their rows are never deleted, and a check per inserted row costs ingest dearly.
    flow_id: Mapped[int] = mapped_column(BigInteger)
    deployment_id: Mapped[int] = mapped_column(BigInteger)
    url: Mapped[str] = mapped_column(Text)
    state: Mapped[JobState] = mapped_column(enum_column(JobState, "job_state"))
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    lease_id: Mapped[UUID | None]
    run_at: Mapped[Timestamp | None]
    deadline: Mapped[Timestamp | None]
    cancel_requested: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    calls: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    attempts_used: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    max_attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("5"))
    est_tokens: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    est_images: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    est_cost_usd: Mapped[Decimal]
    cost_usd: Mapped[Decimal | None]
    error_code: Mapped[str | None] = mapped_column(Text)
    superseded_by: Mapped[UUID | None]
    api_key_id: Mapped[UUID | None]
    waiting_budget_id: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[CreatedAt]
    started_at: Mapped[Timestamp | None]
    finished_at: Mapped[Timestamp | None]
