"""The queued jobs of a stake that are alike in deployment, batch, priority and deadline: moved and stopped as one."""

from uuid import UUID

from sqlalchemy import BigInteger, Boolean, ForeignKey, Identity, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Timestamp


class Flow(Base):
    """Within its stake a flow is served before others of a larger (`priority`, `deadline`, `id`); its jobs by id.

    So a million jobs change place, class or deployment, pause or are given up by one row. `deadline` is its jobs',
    rounded up to a whole minute. `queued` counts jobs in state `queued`; `active` is false only while none of them is
    ready. `paused` says that its project or batch is stopped, `late` that it needs more than its fair part to make its
    deadline. `blocked_by` is the budget that has no room for its next job: dispatch passes the flow over until there
    is. The sums over all jobs that ever came in give the mean job, by which look-ahead and slack are estimated.
    No key is unique: two flows of a kind, which a race or a move can make, do no harm.
    """

    __tablename__ = "flows"
    __table_args__ = (
        Index(
            "ix_flows_in_turn",
            "stake_id",
            "priority",
            "deadline",
            "id",
            postgresql_where=text("active AND NOT paused AND blocked_by IS NULL"),
        ),
        Index("ix_flows_of_stake", "stake_id", "deployment_id", "batch_id"),
        Index("ix_flows_of_batch", "batch_id", postgresql_where=text("batch_id IS NOT NULL")),
        Index("ix_flows_blocked_by", "blocked_by", postgresql_where=text("blocked_by IS NOT NULL")),
        Index("ix_flows_due", "pool_id", "deadline", postgresql_where=text("active AND deadline IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "50", "autovacuum_vacuum_scale_factor": "0.01"}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    stake_id: Mapped[int] = mapped_column(ForeignKey("stakes.id"))
    pool_id: Mapped[int] = mapped_column(ForeignKey("pools.id"))
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"))
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("batches.id"))
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    deadline: Mapped[Timestamp | None]
    queued: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    active: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    paused: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    blocked_by: Mapped[int | None] = mapped_column(BigInteger)
    late: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    jobs_in: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    tokens_in: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    images_in: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
