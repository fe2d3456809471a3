"""Something that a person must see to: a billing stop, a removed model, a budget used up."""

from sqlalchemy import BigInteger, Identity, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Timestamp


class Alert(Base):
    """At most one open row per kind and subject: what keeps happening is told once, until somebody acknowledges it.

    `kind` is a constant name (`billing_stop`), `subject` what it is about (a pool, a deployment, a budget).
    """

    __tablename__ = "alerts"
    __table_args__ = (
        Index("ix_alerts_open", "kind", "subject", unique=True, postgresql_where=text("acknowledged_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[Timestamp] = mapped_column(server_default=text("now()"))
    kind: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    acknowledged_at: Mapped[Timestamp | None]
