"""A request's head is bounded: whoever connects may send one, with or without a key."""

import socket
from contextlib import closing
from typing import Any

import pytest

import api.connection as connection
from tests.fixtures.api import LiveApi


def _connect(api: LiveApi) -> "closing[socket.socket]":
    host, port = api.origin.removeprefix("http://").split(":")
    return closing(socket.create_connection((host, int(port)), timeout=20))


def _answer(open_socket: socket.socket) -> bytes:
    pieces = []
    try:
        while piece := open_socket.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:  # what it had no mind to read was under way
        pass
    return b"".join(pieces)


def _send_until_refused(client: socket.socket, most: int = 64 * 1024 * 1024) -> int:
    """Bytes that went out before the connection was gone."""
    for sent in range(0, most, 16384):
        try:
            client.sendall(b"a" * 16384)
        except OSError:
            return sent
    return most


@pytest.mark.parametrize("start", [b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ", b"GET /healthz?"])
def test_a_head_without_end_ends_the_connection(api: LiveApi, start: bytes) -> None:
    with _connect(api) as client:
        client.sendall(start)
        sent = _send_until_refused(client)

        assert sent < 16 * 1024 * 1024  # its buffer and ours


def test_a_large_head_is_refused_in_the_one_shape_and_the_next_connection_is_served(api: LiveApi) -> None:
    with _connect(api) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * connection.HEAD_BYTES)
        answer = _answer(client)

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"headers_too_large"' in answer
    usual = {"X-Long": "a" * 16_000}
    with api.client(None) as again:
        assert [again.get("/healthz", headers=usual).status_code for _ in range(6)] == [200] * 6


class TestSlowHeads:
    @pytest.fixture
    def api_changes(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
        return {}

    @pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost:"])
    def test_a_head_that_does_not_come_ends_the_connection(self, api: LiveApi, sent: bytes) -> None:
        with _connect(api) as client:
            client.sendall(sent)
            assert _answer(client) == b""

    def test_one_on_a_connection_that_was_kept_does_too(self, api: LiveApi) -> None:
        with _connect(api) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz")
            answer = _answer(client)
        assert answer.count(b"HTTP/1.1 200 OK") == 1
