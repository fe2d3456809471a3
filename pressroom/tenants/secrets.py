"""API keys as text: how they are made, taken apart and compared.

A key is `pr_<prefix>_<secret>`. The prefix is public: it names the row, is indexed and may be shown. The secret is 256
random bits and is kept only as its SHA-256. A slow, salted hash protects what people choose and attackers can guess;
nobody guesses 256 random bits, and a hash of microseconds lets every request be checked. Comparison takes the same time
wherever two hashes differ, so that answers tell nothing about a hash.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

_MARK = "pr"
_PREFIX_BYTES = 6
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class KeyText:
    """A key taken apart."""

    prefix: str
    secret: str = field(repr=False)

    def show(self) -> str:
        """The key as its owner keeps it."""
        return f"{_MARK}_{self.prefix}_{self.secret}"

    def hash(self) -> bytes:
        """What is stored of the secret: 32 bytes."""
        return hashlib.sha256(self.secret.encode()).digest()

    def matches(self, stored: bytes) -> bool:
        """Whether `stored` is this secret's hash, in a time that does not depend on where they differ."""
        return hmac.compare_digest(self.hash(), stored)


def new_key(prefix: str | None = None) -> KeyText:
    """A fresh key; with `prefix`, a new secret for an old one."""
    return KeyText(prefix or secrets.token_hex(_PREFIX_BYTES), secrets.token_hex(_SECRET_BYTES))


def parse_key(text: str) -> KeyText | None:
    """The parts of a key, or None for what cannot be one."""
    mark, _, rest = text.partition("_")
    prefix, _, secret = rest.partition("_")
    if mark != _MARK or len(prefix) != 2 * _PREFIX_BYTES or len(secret) != 2 * _SECRET_BYTES:
        return None
    return KeyText(prefix, secret) if text.isascii() and secret.isalnum() and prefix.isalnum() else None
