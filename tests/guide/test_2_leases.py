"""2. A lease: a group of jobs on its way to one worker. The message is a hint; the row is the lease."""

from tests.fixtures.desk import Desk


def test_a_message_may_come_twice_and_only_one_worker_gets_the_jobs(desk: Desk) -> None:
    desk.submit(1)
    [message] = desk.dispatch()
    ann, bob = desk.worker(), desk.worker()

    lease = desk.claim(message, ann)

    assert lease is not None
    assert len(lease.jobs) == 1
    assert desk.claim(message, bob) is None


def test_a_message_may_be_lost_and_is_sent_again(desk: Desk) -> None:
    desk.submit(1)
    desk.postbox.working = False
    assert desk.dispatch() == []
    desk.postbox.working = True

    desk.execute("UPDATE leases SET published_at = now() - interval '10 seconds'")
    desk.sweep(resend_seconds=5)

    assert desk.claim(desk.postbox.messages[0], desk.worker()) is not None
