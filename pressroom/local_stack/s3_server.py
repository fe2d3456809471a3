"""The S3 server process: `python -m pressroom.local_stack.s3_server CONFIG.json`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from nanio.app import build_app
from nanio.auth.credentials import StaticCredentialResolver
from nanio.config import Settings

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


def read_settings(path: Path) -> ServerSettings:
    """Parse the configuration file written by `local_stack.s3`."""
    values = json.loads(path.read_text())
    return ServerSettings(**{**values, "root": Path(values["root"])})


def main(config: str) -> None:
    """Serve until SIGTERM."""
    settings = read_settings(Path(config))
    credentials = StaticCredentialResolver({settings.access_key_id: settings.secret_access_key})
    app = build_app(Settings(data_dir=settings.root, port=settings.port, credentials=credentials))
    if not (settings.root / settings.bucket).is_dir():
        app.state.storage.create_bucket(settings.bucket)
    uvicorn.run(
        app,
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
