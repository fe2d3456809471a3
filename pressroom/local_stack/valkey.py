"""Valkey 9: the broker and the limiter's memory. Append-only file on, flushed every second."""

from __future__ import annotations

import signal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pressroom.local_stack import binaries
from pressroom.local_stack.datadir import DataDir, StackState, write_private
from pressroom.local_stack.identity import current_identity
from pressroom.local_stack.ports import HOST
from pressroom.local_stack.process import ServerProcess

_CONFIG = """\
bind {host}
port {port}
requirepass {password}
dir {directory}
databases 64
daemonize no
set-proc-title no
save ""
appendonly yes
appendfsync {fsync}
aof-load-truncated yes
maxmemory-policy noeviction
tcp-backlog 128
loglevel notice
"""


class Valkey:
    """One Valkey server in a data directory."""

    name = "valkey"
    port_field = "valkey_port"

    def __init__(self, directory: DataDir) -> None:
        self._directory = directory
        self._config = directory.valkey / "valkey.conf"

    def process(self, state: StackState) -> ServerProcess:
        """How the server is started and recognised."""
        return ServerProcess(
            name=self.name,
            argv=(str(binaries.valkey_server()), str(self._config), "--set-proc-title", "no"),
            cwd=self._directory.valkey,
            log=self._directory.logs / "valkey.log",
            pid_file=self._directory.run / "valkey.pid",
            identity=current_identity(),
            stop_signals=((signal.SIGTERM, 10.0),),
        )

    def prepare(self, state: StackState) -> StackState:
        """Write the configuration; the password stays out of the command line."""
        text = _CONFIG.format(
            host=HOST,
            port=state.valkey_port,
            password=state.valkey_password,
            directory=_quoted(str(self._directory.valkey)),
            fsync="everysec" if state.durable else "no",
        )
        write_private(self._config, text)
        return state

    def address(self, state: StackState) -> str:
        """Where the server listens, without secrets."""
        return f"{HOST}:{state.valkey_port}"

    def probe(self, state: StackState) -> str:
        """The server's version; raises `redis.RedisError` while it does not answer."""
        client = redis.Redis(
            host=HOST,
            port=state.valkey_port,
            password=state.valkey_password,
            socket_connect_timeout=1,
            socket_timeout=2,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            info = client.info("server")
        finally:
            client.close()
        if not isinstance(info, dict):
            raise TypeError(f"INFO answered {type(info).__name__}, not a mapping")
        return str(info.get("valkey_version", info["redis_version"]))


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
