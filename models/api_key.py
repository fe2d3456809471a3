"""A key to the API: whose it is, what it may do, how often. Its secret is not here, only the secret's hash."""

import enum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp, UuidKey


class Scope(enum.StrEnum):
    """What a key may do. No scope holds another: a key that may administer may read only where it says so."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"


class ApiKey(Base):
    """Valid until it expires or is revoked; after a rotation the secret before stays valid until `previous_until`."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("cardinality(scopes) > 0 AND scopes <@ ARRAY['submit', 'read', 'admin']", name="scopes_known"),
        CheckConstraint("requests_per_minute > 0", name="rate_positive"),
        CheckConstraint("(previous_hash IS NULL) = (previous_until IS NULL)", name="previous_ends"),
        Index("ix_api_keys_project_id", "project_id"),
    )

    id: Mapped[UuidKey]
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text, unique=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    previous_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_until: Mapped[Timestamp | None]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    requests_per_minute: Mapped[int | None] = mapped_column(Integer)
    expires_at: Mapped[Timestamp | None]
    revoked_at: Mapped[Timestamp | None]
    last_used_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]
