"""A worker process and its heartbeat: who holds leases, and whether it still lives."""

from sqlalchemy import ARRAY, Integer, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp, UuidKey


class WorkerProcess(Base):
    """A process that stops renewing `heartbeat_at` is given up: `gave_up_at` is set and its leases are taken back.

    From then on the id is dead for good; the process, should it wake again, registers under a new one. `key_names` are
    the environment variables of deployments' keys that it has, never their values.
    """

    __tablename__ = "workers"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    id: Mapped[UuidKey]
    host: Mapped[str] = mapped_column(Text)
    pid: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[CreatedAt]
    heartbeat_at: Mapped[Timestamp] = mapped_column(server_default=text("now()"))
    stopped_at: Mapped[Timestamp | None]
    gave_up_at: Mapped[Timestamp | None]
    key_names: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
