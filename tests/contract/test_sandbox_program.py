"""The sandbox as a program: starting, stopping, complaining."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sandbox_process import ROOT, SandboxProcess

COMMAND = [sys.executable, "-m", "sandbox"]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_what_it_is_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    port_file = tmp_path / "port.json"
    with start("--port-file", str(port_file)) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        while not port_file.exists():
            time.sleep(0.01)
        port = json.loads(port_file.read_text())
        with socket.create_connection(("127.0.0.1", port["port"])):  # an idle connection must not hold it up
            process.send_signal(number)
            _, errors = process.communicate(timeout=5)

    assert line.startswith(f"SANDBOX (not OpenAI): http://127.0.0.1:{port['port']}/v1")
    assert port["pid"] == process.pid
    assert (process.returncode, errors) == (0, "")
    assert not port_file.exists()


def test_it_stops_cleanly_with_calls_in_flight() -> None:
    with SandboxProcess() as sandbox:
        sandbox.configure(latency={"chat": {"kind": "fixed", "seconds": 60}})
        body = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}]})
        with socket.create_connection(("127.0.0.1", int(sandbox.origin.rpartition(":")[2]))) as connection:
            head = (
                f"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer x\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            connection.sendall((head + body).encode())
            while not sandbox.stats()["totals"]["in_flight"]:
                time.sleep(0.005)

            assert sandbox.stop() == 0


def test_it_ends_when_its_parent_does() -> None:
    with subprocess.Popen(["sleep", "60"]) as parent, start("--parent-pid", str(parent.pid)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert process.poll() is None
        parent.kill()
        _, errors = process.communicate(timeout=5)

    assert (process.returncode, errors) == (0, "")


def test_a_port_in_use_is_explained() -> None:
    with SandboxProcess() as sandbox, start("--port", sandbox.origin.rpartition(":")[2]) as second:
        _, errors = second.communicate(timeout=5)

    assert second.returncode == 2
    assert "cannot listen on 127.0.0.1:" in errors
    assert "use --port 0" in errors


def test_a_bad_configuration_is_explained(tmp_path: Path) -> None:
    config = tmp_path / "sandbox.toml"
    config.write_text("[limits.gpt-4o-mini]\nrpm = 0\n")
    with start("--config", str(config)) as process:
        _, errors = process.communicate(timeout=5)

    assert process.returncode == 2
    assert f"{config}: limits.gpt-4o-mini.rpm: Input should be greater than 0 (got 0)" in errors


def test_pipelined_and_chunked_requests_are_answered_in_order() -> None:
    with SandboxProcess() as sandbox:
        port = int(sandbox.origin.rpartition(":")[2])
        head = "PATCH /sandbox/config HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
        chunked = head + '5\r\n{"see\r\n7\r\nd": 77}\r\n0\r\n\r\n'
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall((chunked + "GET / HTTP/1.1\r\nconnection: close\r\n\r\n").encode())
            answers = b""
            while data := connection.recv(65_536):
                answers += data

        assert answers.count(b"HTTP/1.1 200 OK") == 2
        assert b'"seed":77' in answers
        assert answers.index(b'"seed":77') < answers.index(b"Not OpenAI.")


def test_bytes_that_are_not_http_are_refused() -> None:
    with SandboxProcess() as sandbox:
        port = int(sandbox.origin.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"\x16\x03\x01 this is no request\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 400 Bad Request")


def test_it_imports_nothing_of_ours() -> None:
    ours = "('pressroom', 'models', 'api', 'cli', 'worker', 'openai')"
    check = f"import sys, sandbox.main; print([m for m in sys.modules if m.split('.')[0] in {ours}])"
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ}
    )

    assert done.stdout.strip() == "[]"
