"""A group of jobs of one deployment on its way to, or held by, one worker."""

from uuid import UUID

from sqlalchemy import Boolean, ForeignKey, Index, Integer, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp, UuidKey


class Lease(Base):
    """The row lives as long as any of its jobs is `leased` or `running`; its id is their fencing token.

    `waiting` counts jobs still `leased`; `waiting_seconds` is their estimated cost in seconds of the pool's bottleneck,
    which is what bounds how far dispatch runs ahead. `open` counts jobs not yet finished or handed back.
    `job_seconds` is what their stakes were charged for each on the mean, and get back for one that is not started.
    `urgent` leases hold interactive jobs only: they take a way of their own to the workers, and start before others.
    """

    __tablename__ = "leases"
    __table_args__ = (
        Index("ix_leases_pool", "pool_id"),
        Index("ix_leases_worker", "worker_id"),
        {"postgresql_with": {"fillfactor": "50", "autovacuum_vacuum_scale_factor": "0"}},
    )

    id: Mapped[UuidKey]
    pool_id: Mapped[int] = mapped_column(ForeignKey("pools.id"))
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"))
    worker_id: Mapped[UUID | None] = mapped_column(ForeignKey("workers.id"))
    waiting: Mapped[int] = mapped_column(Integer)
    waiting_seconds: Mapped[float]
    job_seconds: Mapped[float] = mapped_column(server_default=text("0"))
    urgent: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    open: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[CreatedAt]
    published_at: Mapped[Timestamp] = mapped_column(server_default=text("now()"))
    publish_count: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
