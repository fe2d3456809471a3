"""Signatures as Standard Webhooks has them, and the secrets that make them."""

import base64
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

from pressroom.errors import InvalidInput, Problem

SECRET_PREFIX = "whsec_"  # noqa: S105  (what Standard Webhooks writes before one)
_SECRET_BYTES = 32
_MESSAGE_ID = re.compile(r"(?:evt_)?[0-9]{1,18}", re.ASCII)


def new_secret() -> str:
    """`whsec_…` with 256 bits of it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def message_id(event_id: int) -> str:
    """The same for every try and every replay of an event: receivers know by it what they have had."""
    return f"evt_{event_id}"


def parse_message_id(shown: str) -> int:
    """The inverse of `message_id`. Raises InvalidInput."""
    if not _MESSAGE_ID.fullmatch(shown):
        raise InvalidInput([Problem("event id", "is not an id", "Give one as evt_512", value=shown[:40])])
    return int(shown.removeprefix("evt_"))


def signed_headers(message: str, body: bytes, keys: Sequence[str], *, now: datetime) -> dict[str, str]:
    """The three headers. Every one of `keys` signs: during a rotation receivers may know the old one or the new."""
    at = now.astimezone(UTC)
    text = body.decode()
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(msg_id=message, timestamp=at, data=text) for key in keys),
    }
