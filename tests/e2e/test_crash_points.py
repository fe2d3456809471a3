"""A worker dies at each step of a job's life: the job still ends once, and every call is on the books."""

import sys

import pytest

from tests.e2e.accounts import assert_books_and_calls_agree, calls_by_attempt
from tests.e2e.crashing_worker import CRASHED, POINTS
from tests.fixtures.system import System

# What each death leaves: attempts that may have been billed, and calls made in all.
LEAVES = {
    "after the claim": (0, 1),
    "after the grant": (0, 1),
    "after the start is committed": (1, 1),
    "after the reply": (1, 2),
    "after a picture is stored": (1, 2),
    "before the settlement is committed": (1, 2),
    "after the settlement is committed": (0, 1),
}


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("point", list(POINTS))
def test_a_worker_dies(system: System, point: str) -> None:
    batch_id = system.submit(pictures=1)
    doomed = system.start_process([sys.executable, "-m", "tests.e2e.crashing_worker", point])
    assert doomed.process.wait(40) == CRASHED, system.last_words()

    [rescuer] = system.start_workers(1)
    system.wait_for_batch(batch_id, 30)

    unknown, calls = LEAVES[point]
    assert system.counts("jobs", "state") == {"succeeded": 1}
    outcomes = system.counts("attempts", "outcome")
    assert outcomes == {"succeeded": 1} | ({"unknown": unknown} if unknown else {})
    assert sum(calls_by_attempt(system).values()) == calls
    assert system.counts("artifacts", "kind") == {"image": 1, "thumbnail": 1}
    assert rescuer.stop() == 0
    assert_books_and_calls_agree(system)
