"""Ids in addresses and bodies: what is no id names nothing, as one that is unknown."""

from uuid import UUID

from pressroom.errors import InvalidInput, NotFound
from pressroom.ids import parse_id
from pressroom.operations.checks import shortened


def path_id(kind: str, shown: str) -> UUID:
    """The id in an address. Raises NotFound."""
    try:
        return parse_id(kind, shown)
    except InvalidInput:
        raise NotFound(f"there is no {kind} {shortened(shown)!r} in this project") from None


def after_id(kind: str, shown: str | None) -> UUID | None:
    """Where a page is to begin. Raises InvalidInput for what is no id of the kind."""
    return parse_id(kind, shown) if shown is not None else None
