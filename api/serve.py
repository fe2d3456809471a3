"""Entry of the API's process: `python -m api`, or `pressroom api`."""

import argparse
import contextlib
import json
import logging
import os
import resource
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
from uvicorn.supervisors.multiprocess import Multiprocess

from api.app import create_app
from api.connection import BoundedHead
from api.services import connect_services, named_servers
from pressroom.errors import PressroomError
from pressroom.logs import configure_logging
from pressroom.settings import Settings

COULD_NOT_RUN = 3
"""Exit status of a process that lacks what it needs."""
_PARENT_VARIABLE = "PRESSROOM_PARENT_PID"
_KEEP_ALIVE_SECONDS = 75
"""Longer than the idle time of proxies before us (60 s as a rule), so that they close first, and lose no request."""
_BACKLOG = 2048
_OPEN_FILES = 65_536
"""Connections that are held open are open files; a usual soft limit is 1,024."""

_log = logging.getLogger("pressroom.api")


def make_app() -> FastAPI:
    """The application of this process, on the servers that the environment names."""
    settings = Settings()
    _configure_logging(settings)
    if settings.api_processes > 1:
        _watch(os.getppid())
    return create_app(connect_services(settings))


def main() -> None:
    """Serve until SIGTERM, which finishes what was asked. Exits 3 if it cannot run."""
    try:
        settings = Settings()
        options = _options(settings)
        # Processes of ours read it from there.
        os.environ["PRESSROOM_API_PROCESSES"] = str(options.processes)
        settings = Settings()
        named_servers(settings)
    except (PressroomError, ValidationError) as error:
        sys.stderr.write(f"pressroom api: {error}\n")
        raise SystemExit(COULD_NOT_RUN) from None
    _configure_logging(settings)
    _raise_open_files()
    parent = os.environ.pop(_PARENT_VARIABLE, None)
    if parent:
        _watch(int(parent))
    # uvicorn raises a signal anew when it has done what it asks: then, and before it starts, it just ends us.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    config = _config(settings, options)
    listening = _listen(options.host, options.port)
    if options.port_file is not None:
        _tell_port(options.port_file, listening)
    address = listening.getsockname()
    _log.info("api.listening", extra={"host": address[0], "port": address[1], "processes": settings.api_processes})
    if settings.api_processes == 1:
        uvicorn.Server(config).run(sockets=[listening])
    else:
        Multiprocess(config, [listening]).run()


def _options(settings: Settings) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="pressroom api", description="Serve the HTTP API until SIGTERM.")
    parser.add_argument("--host", default=settings.api_host, help="address to listen on [%(default)s]")
    parser.add_argument("--port", type=int, default=settings.api_port, help="port; 0 takes a free one [%(default)s]")
    parser.add_argument(
        "--processes",
        type=int,
        default=settings.api_processes,
        help="processes behind the port; one keeps about one core busy [%(default)s]",
    )
    parser.add_argument("--port-file", type=Path, help='write {"port": N} here once it is known')
    return parser.parse_args()


def _config(settings: Settings, options: argparse.Namespace) -> uvicorn.Config:
    return uvicorn.Config(
        "api.serve:make_app",
        factory=True,
        host=options.host,
        port=options.port,
        workers=settings.api_processes,
        # As measured (docs/decisions/0013): httptools saves a quarter, uvloop nothing.
        http=BoundedHead,
        loop="asyncio",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(settings.api_drain_seconds),
    )


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, which all our processes accept from. Exits 3 where the port cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # By its protocol's name: asyncio sends small answers at once only on sockets that say TCP, and accepted ones
        # say what this one does. Else every second segment waits 40 ms for the client's acknowledgement.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        sys.stderr.write(
            f"pressroom api: cannot listen on {host} port {port}: {error.strerror}; --port takes another\n"
        )
        raise SystemExit(COULD_NOT_RUN) from None
    listening.set_inheritable(True)
    return listening


def _configure_logging(settings: Settings) -> None:
    configure_logging(settings.log_level, sandbox=settings.uses_sandbox)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def _raise_open_files() -> None:
    """As far as we may ourselves; our processes inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _tell_port(path: Path, listening: socket.socket) -> None:
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps({"port": listening.getsockname()[1]}), encoding="utf-8")
    partial.replace(path)


def _watch(pid: int) -> None:
    """End when the process that started us is gone, however it ended."""
    threading.Thread(target=_end_with, args=(pid,), daemon=True, name="parent").start()


def _end_with(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait()
    os.kill(os.getpid(), signal.SIGTERM)
