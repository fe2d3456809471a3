"""The API as a process: it starts, answers, and ends in order; several share a port."""

import os
import signal
import sys
from contextlib import closing

import psutil

from tests.fixtures.api import LiveApi, start_api_process
from tests.fixtures.system import System


def test_it_lives_and_is_ready(api: LiveApi) -> None:
    with api.client(None) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert [client.head(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
        assert client.get("/readyz").json() == {"status": "ok"}


def test_a_process_of_its_own_ends_on_sigterm(api_process: LiveApi) -> None:
    with api_process.client(None) as client:
        assert client.get("/readyz").status_code == 200
    assert api_process.process is not None
    assert api_process.process.stop() == 0


def test_processes_share_a_port_and_one_that_dies_is_replaced(system: System) -> None:
    with closing(start_api_process(system, "--processes", "2")) as live:
        assert live.process is not None
        parent = live.process.pid
        first = _serving(parent)
        assert len(first) == 2
        os.kill(first[0].pid, signal.SIGKILL)
        before = {process.pid for process in first}
        system.wait_until("another took its place", lambda: len({p.pid for p in _serving(parent)} - before) == 1, 30)
        assert live.client(None).get("/readyz").status_code == 200
        children = _serving(parent)
        assert live.process.stop() == 0
    assert psutil.wait_procs(children, timeout=20)[1] == []


def _serving(parent: int) -> list[psutil.Process]:
    alive = [child for child in psutil.Process(parent).children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if "spawn_main" in " ".join(child.cmdline())]


def test_a_port_that_is_taken_is_named(api: LiveApi) -> None:
    port = api.origin.rpartition(":")[2]
    second = api.system.start_process([sys.executable, "-m", "api", "--port", port])

    assert second.process.wait(30) == 3
    assert f"port {port}" in second.log.read_text()
