"""The file that a batch was made from, as it was put in the store."""

from uuid import UUID

from sqlalchemy import Connection, text

_DIGEST = text("SELECT sha256 FROM artifacts WHERE batch_id = :batch AND kind = 'input'")


def input_digest(conn: Connection, batch_id: UUID) -> str | None:
    """SHA-256 of the batch's input file; None when it was not kept."""
    found: str | None = conn.execute(_DIGEST, {"batch": batch_id}).scalars().first()
    return found
