"""The key that an installation on one machine begins with, kept in a file that only its owner may read."""

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from models import DEFAULT_PROJECT_ID, Scope
from pressroom.tenants.keys import create_key, find_key
from pressroom.tenants.secrets import parse_key

FILE_NAME = "admin.key"
NAME = "first admin key, made by pressroom up"


@dataclass(frozen=True, slots=True)
class AdminKey:
    """Where it is, and whether it was made just now."""

    path: Path
    is_new: bool


def ensure_admin_key(conn: Connection, data_dir: Path) -> AdminKey:
    """The file's key if this database takes it; else a new one of the default project, with every scope."""
    path = data_dir / FILE_NAME
    if _is_valid(conn, path):
        return AdminKey(path, is_new=False)
    made = create_key(conn, DEFAULT_PROJECT_ID, NAME, scopes=tuple(Scope))
    data_dir.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.unlink(missing_ok=True)
    # Closed to others from its first moment, not after it was written.
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{made.text}\n")
    partial.replace(path)
    return AdminKey(path, is_new=True)


def _is_valid(conn: Connection, path: Path) -> bool:
    try:
        text = parse_key(path.read_text().strip())
    except FileNotFoundError:
        return False
    known = find_key(conn, text.prefix) if text is not None else None
    return text is not None and known is not None and known.admits(text, 0.0)
