"""The S3 server: nanio's signature check and API over objects on disk, run by `s3_server`."""

from __future__ import annotations

import http.client
import json
import signal
import sys
from importlib.metadata import version

from pressroom.local_stack import binaries
from pressroom.local_stack.datadir import DataDir, StackState, write_private
from pressroom.local_stack.identity import current_identity
from pressroom.local_stack.ports import HOST
from pressroom.local_stack.process import ServerProcess

_FORBIDDEN = 403


class S3:
    """One S3 server in a data directory."""

    name = "s3"
    port_field = "s3_port"

    def __init__(self, directory: DataDir) -> None:
        self._directory = directory
        self._config = directory.s3 / "server.json"

    def process(self, state: StackState) -> ServerProcess:
        """How the server is started and recognised."""
        binaries.require_nanio()
        return ServerProcess(
            name=self.name,
            argv=(sys.executable, "-I", "-m", "pressroom.local_stack.s3_server", str(self._config)),
            cwd=self._directory.s3,
            log=self._directory.logs / "s3.log",
            pid_file=self._directory.run / "s3.pid",
            identity=current_identity(),
            stop_signals=((signal.SIGTERM, 5.0),),
        )

    def prepare(self, state: StackState) -> StackState:
        """Write the configuration; credentials stay out of the command line and the environment."""
        settings = {
            "root": str(self._directory.s3 / "buckets"),
            "host": HOST,
            "port": state.s3_port,
            "bucket": state.s3_bucket,
            "access_key_id": state.s3_access_key_id,
            "secret_access_key": state.s3_secret_access_key,
            "durable": state.durable,
        }
        write_private(self._config, json.dumps(settings, indent=2) + "\n")
        return state

    def address(self, state: StackState) -> str:
        """Where the server listens, without secrets."""
        return f"http://{HOST}:{state.s3_port}"

    def probe(self, state: StackState) -> str:
        """The server's version; raises OSError while it does not answer as an S3 server does."""
        connection = http.client.HTTPConnection(HOST, state.s3_port, timeout=2)
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"no HTTP answer: {error!r}") from error
        finally:
            connection.close()
        if response.status != _FORBIDDEN:
            raise ConnectionError(f"an unsigned request was answered {response.status}, not 403")
        return f"nanio {version('nanio')}"
