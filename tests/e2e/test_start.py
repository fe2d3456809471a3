"""A worker that cannot start says why and exits 3; one whose broker is away waits for it."""

import re

import pytest

from tests.fixtures.system import System

CLOSED = "127.0.0.1:9"


def test_without_the_database_it_exits_with_a_reason(system: System) -> None:
    url = f"postgresql+psycopg://u:hidden@{CLOSED}/none"
    worker = system.start_worker(database_url=url)

    assert worker.process.wait(40) == 3
    said = worker.log.read_text()
    assert re.search(r"pressroom worker: cannot start: .*refused", said)
    assert "hidden" not in said


def test_without_settings_it_names_them(system: System) -> None:
    worker = system.start_worker(worker_dead_after_seconds=1, heartbeat_interval_seconds=1)

    assert worker.process.wait(30) == 3
    assert "PRESSROOM_WORKER_DEAD_AFTER_SECONDS=1 must be at least three times" in worker.log.read_text()


@pytest.mark.slow
def test_without_the_broker_it_waits_and_says_so(system: System) -> None:
    worker = system.start_worker(redis_url=f"redis://:hidden@{CLOSED}/0", dispatch_interval_seconds=0.2)
    system.submit(texts=1)

    system.wait_until("the worker complains", lambda: worker.said("lease.publish_failed"), 40)

    assert worker.process.poll() is None
    assert "hidden" not in worker.log.read_text()
    assert worker.stop() == 0
