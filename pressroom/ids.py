"""Identifiers: UUIDv7, so that keys are time-ordered and can be made before the row exists."""

from uuid import UUID

import uuid_utils

from pressroom.errors import InvalidInput, Problem


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return UUID(int=uuid_utils.uuid7().int)


def show_id(kind: str, value: UUID) -> str:
    """`job_0193…`, `file-0193…`: how people and programs see an id. `kind`: `job`, `batch`, `art`, `att`, `file`."""
    return f"{_prefix(kind)}{value.hex}"


def parse_id(kind: str, shown: str) -> UUID:
    """The inverse of `show_id`; a bare UUID is taken too. Raises InvalidInput."""
    try:
        return UUID(shown.removeprefix(_prefix(kind)))
    except ValueError:
        remedy = f"Give an id like {_prefix(kind)} followed by 32 hexadecimal digits, as the lists show it"
        raise InvalidInput([Problem(f"{kind} id", "is not an id", remedy, value=shown)]) from None


def _prefix(kind: str) -> str:
    # The provider's own ids of files have a dash, and its clients' users look for it.
    return f"{kind}-" if kind == "file" else f"{kind}_"
