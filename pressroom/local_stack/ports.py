"""Loopback ports: keep the one used before where it is free, find a free one otherwise."""

from __future__ import annotations

import socket

from pressroom.local_stack.errors import LocalStackError

HOST = "127.0.0.1"


def choose_port(server: str, *, fixed: int | None, previous: int, avoid: frozenset[int] = frozenset()) -> int:
    """`fixed` if given (LocalStackError when taken), else `previous` if still free, else any free port."""
    if fixed is not None:
        if not is_free(fixed):
            raise port_taken(server, fixed)
        return fixed
    if previous and previous not in avoid and is_free(previous):
        return previous
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server may bind `port` on loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is no obstacle
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def port_taken(server: str, port: int) -> LocalStackError:
    """The error for a port that another program holds."""
    return LocalStackError(
        f"{server} cannot listen on {HOST}:{port}",
        cause="another program uses that port",
        remedy="stop that program, or leave the port out to let a free one be chosen",
    )
