"""A real HTTP server on loopback that answers what a test tells it to: errors, silence, connections that break."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Say:
    """One answer. `breaks` closes the connection instead, after the request was read; `cut` after half of the body."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    breaks: bool = False
    cut: bool = False


@dataclass(frozen=True)
class Heard:
    """One request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class ScriptedServer:
    """Answers with the script's next line; its last one for ever."""

    def __init__(self, script: list[Say]) -> None:
        self.script = script
        self.heard: list[Heard] = []
        self.origin = ""

    def next(self, heard: Heard) -> Say:
        """What to answer to this."""
        self.heard.append(heard)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


@contextmanager
def scripted(*script: Say) -> Iterator[ScriptedServer]:
    """A server with this script."""
    server = ScriptedServer(list(script))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            heard = Heard(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            say = server.next(heard)
            content = say.body if isinstance(say.body, bytes) else json.dumps(say.body).encode()
            if say.breaks:
                self.close_connection = True
                return
            self.send_response(say.status)
            for name, value in {"content-length": str(len(content)), **say.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if say.cut else content)
            self.close_connection = say.cut

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Not into the test's output."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.origin = f"http://127.0.0.1:{listening.server_port}"
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
