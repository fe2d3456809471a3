"""The S3 server process: `python -m pressroom.local_stack.s3_server CONFIG.json`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from nanio.app import build_app
from nanio.auth.credentials import StaticCredentialResolver
from nanio.config import Settings

from pressroom.local_stack.s3_disk import DiskStorage

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_KEEP_ALIVE_SECONDS = 75  # longer than any pause between two requests on a pooled client connection
_GRACE_SECONDS = 3


@dataclass(frozen=True)
class ServerSettings:
    """Contents of the configuration file."""

    root: Path
    host: str
    port: int
    bucket: str
    access_key_id: str
    secret_access_key: str
    durable: bool


class ReadWholeBody:
    """Take in the request body before any answer, also an error that is decided without it.

    Clients send `Expect: 100-continue`. An answer that leaves the announced body unread makes the server
    take the next request on the connection for that body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        body_is_in = scope["type"] != "http"

        async def noting_receive() -> Message:
            nonlocal body_is_in
            message = await receive()
            body_is_in = not message.get("more_body", False)
            return message

        async def draining_send(message: Message) -> None:
            while not body_is_in:
                await noting_receive()
            await send(message)

        await self._app(scope, noting_receive, draining_send)


def read_settings(path: Path) -> ServerSettings:
    """Parse the configuration file written by `local_stack.s3`."""
    values = json.loads(path.read_text())
    return ServerSettings(**{**values, "root": Path(values["root"])})


def main(config: str) -> None:
    """Serve until SIGTERM."""
    settings = read_settings(Path(config))
    credentials = StaticCredentialResolver({settings.access_key_id: settings.secret_access_key})
    app = build_app(Settings(data_dir=settings.root, port=settings.port, credentials=credentials))
    app.state.storage = DiskStorage(settings.root, durable=settings.durable)
    if not (settings.root / settings.bucket).is_dir():
        app.state.storage.create_bucket(settings.bucket)
    uvicorn.run(
        ReadWholeBody(app),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        server_header=False,
    )


if __name__ == "__main__":
    main(sys.argv[1])
