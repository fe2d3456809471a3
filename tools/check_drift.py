"""Fail when the models and a database built by the migrations differ, or when a migration cannot be undone and redone.

Runs on a local stack of its own in a temporary folder, so nothing else is touched.
"""

import sys
import tempfile
from pathlib import Path

from migrations import migrate
from pressroom.local_stack import LocalStack


def differences(database_url: str) -> list[str]:
    """Build the schema, take it down, build it again and compare it with the models; one line per difference.

    A step back that leaves something behind (a type, a function, a trigger) fails here on the way up again.
    """
    migrate.upgrade(database_url)
    migrate.downgrade(database_url, "base")
    migrate.upgrade(database_url)
    found = migrate.drift(database_url)
    current, head = migrate.current_revision(database_url), migrate.head_revision()
    if current != head:
        found.append(f"the database is at {current}, the newest migration is {head}")
    return found


def main() -> int:
    """Print the differences; 0 when there are none."""
    with (
        tempfile.TemporaryDirectory(prefix="pressroom-drift-") as folder,
        LocalStack(Path(folder) / "data", durable=False) as urls,
    ):
        found = differences(urls.database_url)
    for line in found:
        print(f"drift: {line}")
    print(f"drift: {len(found)} differences between models and migrations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
