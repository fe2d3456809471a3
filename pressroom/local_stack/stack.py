"""LocalStack: start what is not running, share it between processes, stop it when nobody needs it."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol

import psycopg
import redis
from pydantic import SecretStr

from pressroom.local_stack.datadir import DataDir, StackState
from pressroom.local_stack.errors import LocalStackError
from pressroom.local_stack.ports import HOST, choose_port, port_taken
from pressroom.local_stack.postgres import Postgres, database_url
from pressroom.local_stack.process import ServerProcess
from pressroom.local_stack.s3 import S3
from pressroom.local_stack.urls import StackUrls
from pressroom.local_stack.valkey import Valkey

_READY_SECONDS = 30.0
_LOCK_SECONDS = 120.0
_POLL_SECONDS = 0.02
_START_ATTEMPTS = 3
_IN_USE = re.compile("address already in use", re.IGNORECASE)
_NOT_READY = (OSError, psycopg.OperationalError, redis.RedisError)


@dataclass(frozen=True)
class ServerStatus:
    """What `pressroom doctor` shows of one server."""

    name: str
    running: bool
    pid: int | None
    address: str
    version: str | None
    problem: str | None
    log: Path


class _Server(Protocol):
    """What the stack needs to know of a server."""

    @property
    def name(self) -> str: ...
    @property
    def port_field(self) -> str | None: ...
    def process(self, state: StackState) -> ServerProcess: ...
    def prepare(self, state: StackState) -> StackState: ...
    def probe(self, state: StackState) -> str: ...
    def address(self, state: StackState) -> str: ...


@dataclass(frozen=True)
class _Start:
    """A server that is awaited: spawned by us just now, or found running."""

    server: _Server
    pid: int
    log_start: int
    found_running: bool


class LocalStack:
    """PostgreSQL, Valkey and an S3 server in one data directory.

    Any number of processes and threads may hold the same stack. `valkey_port` and `s3_port` fix a port;
    left out, the one used before or any free one is taken. `durable=False` switches fsync off and is for
    tests only; a data directory stays with the choice it was created with.
    """

    def __init__(
        self,
        data_dir: Path | str | None = None,
        *,
        durable: bool = True,
        valkey_port: int | None = None,
        s3_port: int | None = None,
    ) -> None:
        self._directory = DataDir(Path(data_dir) if data_dir is not None else default_data_dir())
        self._durable = durable
        self._fixed_ports = {"postgres": None, "valkey": valkey_port, "s3": s3_port}
        self._postgres = Postgres(self._directory)
        self._valkey = Valkey(self._directory)
        self._s3 = S3(self._directory)
        self._use: int | None = None

    @property
    def data_dir(self) -> Path:
        """The resolved data directory."""
        return self._directory.path

    def acquire(self) -> StackUrls:
        """Start what is not running and hold the stack in use until `release`. Raises LocalStackError."""
        self._directory.prepare()
        with self._directory.exclusive(timeout_seconds=_LOCK_SECONDS):
            try:
                state = self._start_all(self._directory.load_or_create(durable=self._durable))
            except OSError as error:
                raise LocalStackError(
                    f"The local stack in {self.data_dir} cannot be started",
                    cause=str(error),
                    remedy="free disk space, or correct the permissions of the file named above",
                ) from error
            if self._use is None:
                self._use = self._directory.join_users()
        return _urls(state)

    def release(self, *, stop: bool = False) -> bool:
        """Stop using the stack. With `stop`, stop the servers too unless others use them; tells if it did."""
        if self._use is not None:
            os.close(self._use)
            self._use = None
        if not stop or not self._directory.state_file.exists():
            return False
        with self._directory.exclusive(timeout_seconds=_LOCK_SECONDS):
            if self._directory.is_used():
                return False
            self._stop_all()
        return True

    def stop(self) -> None:
        """Stop the servers now, whoever uses them."""
        if self._directory.state_file.exists():
            with self._directory.exclusive(timeout_seconds=_LOCK_SECONDS):
                self._stop_all()

    def wipe(self) -> None:
        """Stop the servers and delete all their data. LocalStackError while others use the stack."""
        state = self._directory.load() if self._directory.path.exists() else None
        if state is None:
            return
        if not self.release(stop=True):
            raise LocalStackError(
                f"The local stack in {self.data_dir} is not deleted",
                cause="another process uses it",
                remedy="end that process (pressroom up, a worker, a running batch), then try again",
            )
        places = [Path(place) for place in (state.socket_dir, state.postgres_home, str(self.data_dir)) if place]
        for place in places:
            shutil.rmtree(place, ignore_errors=True)  # what could not be removed is told below
        left = [str(place) for place in places if place.exists()]
        if left:
            raise LocalStackError(
                "The local stack is only partly deleted",
                cause=f"files in {', '.join(left)} could not be removed",
                remedy="remove them by hand, as the user that owns them",
            )

    def status(self) -> list[ServerStatus]:
        """State of every server; changes nothing. Empty before the first start."""
        state = self._directory.load()
        if state is None:
            return []
        return [self._status(server, state) for server in (self._postgres, self._valkey, self._s3)]

    def ended(self) -> dict[str, Literal["died", "stopped"]]:
        """Servers that do not run, and whether somebody stopped them; asks no server. Empty before the first start.

        Whoever stops a server takes its pid file away.
        """
        state = self._directory.load()
        if state is None:
            return {}
        return {
            server.name: "died" if server.process(state).pid_file.exists() else "stopped"
            for server in (self._postgres, self._valkey, self._s3)
            if self._running_pid(server, state) is None
        }

    def __enter__(self) -> StackUrls:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release(stop=True)

    def _start_all(self, state: StackState) -> StackState:
        """Start Valkey and S3 first: they come up while PostgreSQL is being created."""
        if not self._directory.state_file.exists():
            self._end_leftovers(state)
        state = self._directory.store(state)
        starts: list[_Start] = []
        for server in (self._valkey, self._s3, self._postgres):
            pid = self._running_pid(server, state)
            if pid is None:
                state, start = self._start(server, state, not_port=0)
            else:
                start = _Start(server, pid, server.process(state).log_size(), found_running=True)
            starts.append(start)
        for start in starts:
            state = self._await(start, state)
        self._postgres.create_database(state)
        return state

    def _end_leftovers(self, state: StackState) -> None:
        """A data directory removed while its servers ran leaves them running, with credentials nobody knows."""
        self._postgres.discard_leftovers(state)
        for server in (self._valkey, self._s3):
            server.process(state).stop()

    def _start(self, server: _Server, state: StackState, *, not_port: int) -> tuple[StackState, _Start]:
        """Choose a port, write the configuration, spawn. What a later start must know is stored first."""
        if server.port_field is not None:
            previous = getattr(state, server.port_field)
            port = choose_port(
                server.name, fixed=self._fixed_ports[server.name], previous=0 if previous == not_port else previous
            )
            state = self._directory.store(state, **{server.port_field: port})
        state = server.prepare(state)
        process = server.process(state)
        log_start = process.log_size()
        return state, _Start(server, process.spawn(), log_start, found_running=False)

    def _await(self, start: _Start, state: StackState) -> StackState:
        """Wait until the server answers. One that lost its port to another program gets a new one."""
        for _ in range(_START_ATTEMPTS):
            try:
                _wait_ready(start, state)
            except _PortLost as lost:
                if self._fixed_ports[start.server.name] is not None:
                    raise port_taken(start.server.name, lost.port) from lost
                state, start = self._start(start.server, state, not_port=lost.port)
            except _FoundDying:
                state, start = self._start(start.server, state, not_port=0)
            else:
                return state
        raise LocalStackError(
            f"{start.server.name} cannot be started",
            cause=f"in {_START_ATTEMPTS} attempts another program took its port or something killed it",
            remedy="try again, or find the program that opens so many ports or kills servers",
        )

    def _running_pid(self, server: _Server, state: StackState) -> int | None:
        if server is self._postgres and not state.postgres_home:
            return None
        return server.process(state).pid()

    def _stop_all(self) -> None:
        state = self._directory.load()
        if state is None:
            return
        for server in (self._s3, self._valkey, self._postgres):
            if self._running_pid(server, state) is not None:
                server.process(state).stop()

    def _status(self, server: _Server, state: StackState) -> ServerStatus:
        pid = self._running_pid(server, state)
        version, problem = None, None if pid else "not running"
        if pid is not None:
            try:
                version = server.probe(state)
            except _NOT_READY as error:
                problem = f"does not answer: {error}"
        return ServerStatus(
            name=server.name,
            running=pid is not None,
            pid=pid,
            address=server.address(state),
            version=version,
            problem=problem,
            log=self._directory.logs / f"{server.name}.log",
        )


class _PortLost(Exception):
    """Another program bound the port between our check and the server's start."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} was taken")
        self.port = port


class _FoundDying(Exception):
    """The server that was found running has ended since: it had been killed, or was on its way out."""


def default_data_dir() -> Path:
    """`PRESSROOM_DATA_DIR`, or `.pressroom` in the current directory."""
    return Path(os.environ.get("PRESSROOM_DATA_DIR") or ".pressroom")


def _wait_ready(start: _Start, state: StackState) -> None:
    """Return when the server answers; say why when it dies or stays silent."""
    process = start.server.process(state)
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            start.server.probe(state)
        except _NOT_READY as error:
            problem = error
        else:
            return
        if not process.is_running(start.pid):
            if start.found_running:
                raise _FoundDying
            log = process.last_lines(since=start.log_start)
            if start.server.port_field is not None and _IN_USE.search(log):
                raise _PortLost(getattr(state, start.server.port_field))
            raise LocalStackError(
                f"{process.name} ended while it was starting",
                cause=f"the last lines of {process.log}:\n{log}",
                remedy="correct what the log names; if the files are damaged, move the data directory away",
            )
        if time.monotonic() > deadline:
            raise LocalStackError(
                f"{process.name} (pid {start.pid}) does not answer",
                cause=f"{problem}; the last lines of {process.log}:\n{process.last_lines(since=start.log_start)}",
                remedy=f"wait if it is recovering from a crash; else end it with: kill {start.pid}",
            )
        time.sleep(_POLL_SECONDS)


def _urls(state: StackState) -> StackUrls:
    return StackUrls(
        database_url=database_url(state),
        redis_url=f"redis://:{state.valkey_password}@{HOST}:{state.valkey_port}/0",
        s3_endpoint_url=f"http://{HOST}:{state.s3_port}",
        s3_bucket=state.s3_bucket,
        s3_access_key_id=state.s3_access_key_id,
        s3_secret_access_key=SecretStr(state.s3_secret_access_key),
    )
