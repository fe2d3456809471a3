"""The command: `python -m sandbox`, or `pressroom-sandbox`."""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox.app import App
from sandbox.config import Config, ConfigError, parse_config
from sandbox.drawing import SIZES, draw_png
from sandbox.http import Connection
from sandbox.provider import Provider

BACKLOG = 2048
PARENT_POLL_SECONDS = 0.5
EXIT_BAD_CONFIG = 2


def main(argv: Sequence[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT. Exits 2 on a configuration or address that cannot be used."""
    arguments = _parser().parse_args(argv)
    try:
        config = load_config(arguments.config)
        listener = _listen(arguments.host, arguments.port)
    except (ConfigError, OSError) as error:
        sys.exit(_complaint(f"{error}"))
    draw_png("warm up", SIZES[0], 0)  # Pillow's first picture takes 50 ms, which the first call should not pay
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(config, listener, port_file=arguments.port_file, parent_pid=arguments.parent_pid))


def _complaint(message: str) -> int:
    sys.stderr.write(f"pressroom-sandbox: {message}\n")
    return EXIT_BAD_CONFIG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pressroom-sandbox",
        description="The SANDBOX: a local stand-in for the OpenAI API. It makes nothing up for free and bills nobody.",
        epilog="Example: pressroom-sandbox --port 8399 --config limits.toml   (docs/sandbox.md has the fields)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port; 0 picks a free one (default)")
    parser.add_argument("--config", type=Path, help="JSON or TOML file with the configuration")
    parser.add_argument("--port-file", type=Path, help='write {"port", "pid"} here when ready')
    parser.add_argument("--parent-pid", type=int, help="exit when this process is gone")
    return parser


def load_config(path: Path | None) -> Config:
    """The configuration in a .json or .toml file, or the defaults; raises ConfigError, OSError."""
    if path is None:
        return Config()
    text = path.read_text(encoding="utf-8")
    data: Any
    try:
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path}: not valid {path.suffix.lstrip('.') or 'JSON'}: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected an object of fields, found {type(data).__name__}")
    try:
        return parse_config(data)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise OSError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; use --port 0 for a free port"
        ) from error


def _loop_factory() -> Any:
    try:
        import uvloop  # optional: asyncio's own loop serves too, for about 0.01 ms more a call
    except ImportError:
        return None
    return uvloop.new_event_loop


async def serve(config: Config, listener: socket.socket, *, port_file: Path | None, parent_pid: int | None) -> None:
    """Serve on `listener` until a signal comes or the parent is gone."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    provider = Provider(config)
    app = App(provider)
    beating = asyncio.create_task(provider.beat())
    connections: set[Connection] = set()
    server = await loop.create_server(lambda: Connection(app, connections), sock=listener, backlog=BACKLOG)
    _announce(listener, port_file)
    try:
        await (stop.wait() if parent_pid is None else _stopped_or_orphaned(stop, parent_pid))
    finally:
        beating.cancel()
        server.close()
        for connection in list(connections):
            connection.abort()
        if port_file is not None:
            _remove(port_file)


def _announce(listener: socket.socket, port_file: Path | None) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    sys.stdout.write(f"SANDBOX (not OpenAI): http://{shown}:{port}/v1  pid {os.getpid()}\n")
    sys.stdout.flush()
    if port_file is not None:
        write_port_file(port_file, port)


def _remove(port_file: Path) -> None:
    port_file.unlink(missing_ok=True)


def write_port_file(path: Path, port: int) -> None:
    """Write `{"port", "pid"}` so that a reader sees either nothing or all of it."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    partial.write_text(json.dumps({"port": port, "pid": os.getpid()}), encoding="utf-8")
    partial.replace(path)


async def _stopped_or_orphaned(stop: asyncio.Event, parent_pid: int) -> None:
    while not stop.is_set() and _alive(parent_pid):
        try:
            async with asyncio.timeout(PARENT_POLL_SECONDS):
                await stop.wait()
        except TimeoutError:
            continue


def _alive(pid: int) -> bool:
    """Whether the process exists; a zombie that nobody reaps counts as gone where /proc can tell."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True
