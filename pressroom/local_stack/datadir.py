"""The data directory: layout, permissions, generated credentials, and the locks that let processes share it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pressroom.local_stack.errors import LocalStackError

_CHOOSE_ANOTHER = "set PRESSROOM_DATA_DIR to a directory you may write to"
_LOCK_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class StackState:
    """What must survive a restart. Stored as `stack.json`, mode 0600."""

    durable: bool
    postgres_password: str
    valkey_password: str
    s3_access_key_id: str
    s3_secret_access_key: str
    s3_bucket: str = "pressroom"
    valkey_port: int = 0
    s3_port: int = 0
    postgres_home: str = ""
    socket_dir: str = ""

    def __repr__(self) -> str:
        return f"StackState(durable={self.durable}, valkey_port={self.valkey_port}, s3_port={self.s3_port})"


class DataDir:
    """Paths below one data directory. Creating the object touches nothing; `prepare` does."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))
        self.logs = self.path / "logs"
        self.run = self.path / "run"
        self.valkey = self.path / "valkey"
        self.s3 = self.path / "s3"
        self.state_file = self.path / "stack.json"

    def prepare(self) -> None:
        """Create the directory and its parts with mode 0700, or say why that cannot be done."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise self._unwritable(error.strerror or str(error)) from error
        owner = self.path.stat().st_uid
        if owner != os.geteuid():
            raise self._unwritable(f"it belongs to uid {owner}, this process runs as uid {os.geteuid()}")
        try:
            self.path.chmod(0o700 if os.geteuid() else 0o711)  # root: PostgreSQL's account must pass through
            for part in (self.logs, self.run, self.valkey, self.s3):
                part.mkdir(exist_ok=True, mode=0o700)
                part.chmod(0o700)
            (self.path / ".gitignore").write_text("*\n")
        except OSError as error:
            raise self._unwritable(error.strerror or str(error)) from error

    def load(self) -> StackState | None:
        """The stored state, or None before the first start."""
        try:
            return StackState(**json.loads(self.state_file.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise LocalStackError(
                "The local stack's state cannot be read",
                cause=f"{self.state_file}: {error}",
                remedy=f"restore the file, or remove {self.path} to start with empty servers",
            ) from error

    def load_or_create(self, *, durable: bool) -> StackState:
        """The stored state, or a new one with generated credentials (not yet stored)."""
        state = self.load()
        if state is None:
            return StackState(
                durable=durable,
                postgres_password=secrets.token_urlsafe(24),
                valkey_password=secrets.token_urlsafe(24),
                s3_access_key_id="PR" + secrets.token_hex(9).upper(),
                s3_secret_access_key=secrets.token_urlsafe(30),
            )
        if state.durable != durable:
            raise LocalStackError(
                "The data directory cannot be used",
                cause=f"{self.path} was created with durable={state.durable}, asked for durable={durable}",
                remedy="use a data directory of its own for each",
            )
        return state

    def store(self, state: StackState, **changes: str | int) -> StackState:
        """Write `state` with `changes` applied, atomically and readable by the owner only."""
        changed = replace(state, **changes)  # type: ignore[arg-type]  # names are checked by replace itself
        write_private(self.state_file, json.dumps(asdict(changed), indent=2) + "\n")
        return changed

    @contextlib.contextmanager
    def exclusive(self, *, timeout_seconds: float) -> Iterator[None]:
        """Hold the start/stop lock. Waits for other processes up to `timeout_seconds`."""
        path = self.run / "start.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unwritable(f"{path}: {error.strerror}") from error
        try:
            deadline = time.monotonic() + timeout_seconds
            while not _try_lock(descriptor, fcntl.LOCK_EX, path):
                if time.monotonic() > deadline:
                    raise LocalStackError(
                        "The local stack is busy",
                        cause=f"another process has held {path} for {timeout_seconds:.0f} s",
                        remedy="wait for it to start or stop the stack, then try again",
                    )
                time.sleep(_LOCK_POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def join_users(self) -> int:
        """Take a shared lock that says "in use"; the returned descriptor is the lock, close it to leave."""
        path = self.run / "users.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _try_lock(descriptor, fcntl.LOCK_SH, path)  # only `is_used` locks exclusively, under the start lock
        return descriptor

    def is_used(self) -> bool:
        """Whether anyone holds the "in use" lock. Call under `exclusive`."""
        path = self.run / "users.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            return not _try_lock(descriptor, fcntl.LOCK_EX, path)
        finally:
            os.close(descriptor)

    def _unwritable(self, cause: str) -> LocalStackError:
        return LocalStackError(f"The data directory {self.path} cannot be used", cause=cause, remedy=_CHOOSE_ANOTHER)


def write_private(path: Path, text: str) -> None:
    """Replace `path` atomically; the file is never readable by others, not even for a moment."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def is_private_directory(path: Path, *, uid: int) -> bool:
    """Whether `path` is a real directory with mode 0700 that belongs to `uid`."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o700 and status.st_uid == uid


def _try_lock(descriptor: int, kind: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise LocalStackError(
                "The data directory cannot be locked",
                cause=f"{path}: {error.strerror}",
                remedy="set PRESSROOM_DATA_DIR to a directory on a local disk",
            ) from error
        raise
    return True
