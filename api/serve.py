"""Entry of the API's process: `python -m api`, or `pressroom api`."""

import argparse
import contextlib
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from types import FrameType

import psutil
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from api.app import create_app
from api.services import connect_services
from pressroom.errors import PressroomError
from pressroom.logs import configure_logging
from pressroom.settings import Settings

COULD_NOT_RUN = 3
"""Exit status of a process that lacks what it needs."""
_PARENT_VARIABLE = "PRESSROOM_PARENT_PID"
_DRAIN_SECONDS = 20


def make_app() -> FastAPI:
    """The application of this process, on the servers that the environment names."""
    settings = Settings()
    configure_logging(settings.log_level, sandbox=settings.uses_sandbox)
    return create_app(connect_services(settings))


def main() -> None:
    """Serve until SIGTERM, which finishes what was asked. Exits 3 if it cannot run."""
    options = _options()
    try:
        connect_services(Settings())
    except (PressroomError, ValidationError) as error:
        sys.stderr.write(f"pressroom api: {error}\n")
        raise SystemExit(COULD_NOT_RUN) from None
    parent = os.environ.get(_PARENT_VARIABLE)
    if parent:
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True, name="parent").start()
    # uvicorn raises a signal anew when it has done what it asks: then, and before it starts, it just ends us.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    config = uvicorn.Config(
        "api.serve:make_app",
        factory=True,
        host=options.host,
        port=options.port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    listening = config.bind_socket()
    if options.port_file is not None:
        _tell_port(options.port_file, listening)
    uvicorn.Server(config).run(sockets=[listening])


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="pressroom api", description="Serve the HTTP API.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on [127.0.0.1]")
    parser.add_argument("--port", type=int, default=8400, help="port; 0 takes a free one [8400]")
    parser.add_argument("--port-file", type=Path, help="write {port} here, as JSON, once it is known")
    return parser.parse_args()


def _tell_port(path: Path, listening: socket.socket) -> None:
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps({"port": listening.getsockname()[1]}), encoding="utf-8")
    partial.replace(path)


def _end_with(pid: int) -> None:
    """For a process that a command started: end when that command is gone, however it ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait()
    os.kill(os.getpid(), signal.SIGTERM)
