"""Who runs PostgreSQL. It refuses to run as root, so root hands it to an unprivileged account.

No account is created and no permission outside the data directory is changed. Where the account cannot
pass a directory on the way (a clone below a 0700 home), files move to a place that it can reach.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from pressroom.local_stack.errors import LocalStackError

_ACCOUNTS = ("nobody", "daemon")


class SpawnAs(TypedDict, total=False):
    """The part of `subprocess.Popen`'s arguments that changes the account."""

    user: int
    group: int
    extra_groups: Sequence[int]


@dataclass(frozen=True)
class Identity:
    """The account a server runs under; `switch` is False when that is the current one."""

    uid: int
    gid: int
    switch: bool

    def spawn_arguments(self) -> SpawnAs:
        """Arguments for Popen that drop to this account, groups included."""
        return SpawnAs(user=self.uid, group=self.gid, extra_groups=()) if self.switch else SpawnAs()

    def own(self, path: Path) -> None:
        """Make `path` belong to this account."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def current_identity() -> Identity:
    """The account of this process."""
    return Identity(os.geteuid(), os.getegid(), switch=False)


def postgres_identity() -> Identity:
    """The current user, or for root the `nobody` account (initdb needs one that is in the passwd file)."""
    if os.geteuid() != 0:
        return current_identity()
    for name in _ACCOUNTS:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return Identity(account.pw_uid, account.pw_gid, switch=True)
    raise LocalStackError(
        "PostgreSQL cannot be started",
        cause=f"it refuses to run as root, and none of the accounts {', '.join(_ACCOUNTS)} exists",
        remedy="run Pressroom as an ordinary user, or set PRESSROOM_DATABASE_URL to a server of your own",
    )


def blocking_directory(path: Path, identity: Identity) -> Path | None:
    """The first directory from the root down to `path` that `identity` may not pass, or None."""
    resolved = path.resolve()
    for directory in (*reversed(resolved.parents), resolved):
        if directory.is_dir() and not _may_pass(directory.stat(), identity):
            return directory
    return None


def _may_pass(status: os.stat_result, identity: Identity) -> bool:
    if status.st_uid == identity.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == identity.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
