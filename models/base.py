"""Declarative base, naming convention and column types that every table shares."""

import enum
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar
from uuid import UUID

from sqlalchemy import DateTime, Enum, MetaData, Numeric, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

Usd = Numeric(20, 10)
"""Exact US dollars. Ten places hold half of the cheapest cached token (0.01 USD per million) exactly."""

Timestamp = Annotated[datetime, mapped_column(DateTime(timezone=True))]
CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=text("now()"))]
UuidKey = Annotated[UUID, mapped_column(PgUUID(as_uuid=True), primary_key=True)]


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        UUID: PgUUID(as_uuid=True),
        Decimal: Usd,
        dict[str, Any]: JSONB,
    }


def enum_column(kind: type[enum.Enum], name: str) -> Enum:
    """A PostgreSQL enum that stores the members' values (lower case), not their names."""
    return Enum(kind, name=name, values_callable=lambda members: [str(m.value) for m in members])
