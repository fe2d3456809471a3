"""One small batch of texts and pictures through real workers: answers, pictures, costs."""

from tests.e2e.accounts import assert_books_and_calls_agree
from tests.fixtures.system import System


def test_a_mixed_batch_is_answered_once_and_paid_for(system: System) -> None:
    [worker] = system.start_workers(1)
    batch_id = system.submit(texts=30, pictures=10)

    system.wait_for_batch(batch_id, 40)

    assert system.counts("jobs", "state") == {"succeeded": 40}
    assert system.counts("attempts", "outcome") == {"succeeded": 40}
    assert system.counts("artifacts", "kind") == {"image": 10, "thumbnail": 10}
    assert system.sandbox.stats()["requests"]["answered_more_than_once"] == 0
    assert_books_and_calls_agree(system)
    assert worker.stop() == 0
    assert system.scalar("SELECT stopped_at IS NOT NULL FROM workers")
