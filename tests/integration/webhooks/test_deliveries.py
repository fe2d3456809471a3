"""Deliveries: what is due is sent until it is taken, and no longer than it should be."""

import time

import pytest
from sqlalchemy import Engine
from standardwebhooks.webhooks import WebhookVerificationError

from models import DEFAULT_PROJECT_ID
from pressroom.net.guard import NetPolicy
from pressroom.webhooks.endpoints import rotate_secret
from pressroom.webhooks.outgoing import claim_due
from pressroom.webhooks.schedule import RETRY_SECONDS
from tests.fixtures.receiver import Received, Receiver
from tests.integration.webhooks.sending import Sender


@pytest.fixture
def sender(engine: Engine) -> Sender:
    """On the test's own database."""
    return Sender(engine)


def test_what_is_delivered_is_signed_and_over(sender: Sender, receiver: Receiver) -> None:
    endpoint = sender.endpoint(receiver.url, "job.*")
    sender.tell("job.failed", "batch.completed")
    sender.turn()
    [received] = receiver.wait_for(1)
    payload = received.verify(sender.secrets[endpoint])

    assert received.id == "evt_1"
    assert received.headers["content-type"] == "application/json"
    assert payload.keys() == {"type", "timestamp", "data"}
    assert (payload["type"], payload["data"]) == ("job.failed", {"n": 1})
    assert sender.row().delivered_at is not None
    assert sender.row().next_at is None
    assert sender.claim() == []


def test_a_signature_is_of_its_secret_and_body_alone(sender: Sender, receiver: Receiver) -> None:
    sender.endpoint(receiver.url)
    sender.tell("job.failed")
    sender.turn()
    other = sender.endpoint(receiver.url)

    with pytest.raises(WebhookVerificationError):
        receiver.received[0].verify(sender.secrets[other])


def test_both_secrets_sign_while_a_rotation_overlaps(sender: Sender, receiver: Receiver, engine: Engine) -> None:
    endpoint = sender.endpoint(receiver.url)
    with engine.begin() as conn:
        _, new = rotate_secret(conn, DEFAULT_PROJECT_ID, endpoint)
    sender.tell("job.failed")
    sender.turn()
    sender.execute("UPDATE webhook_endpoints SET previous_until = now()")
    sender.tell("job.failed")
    sender.turn()
    first, second = receiver.received

    assert first.verify(sender.secrets[endpoint]) == first.verify(new)
    assert second.verify(new)
    with pytest.raises(WebhookVerificationError):
        second.verify(sender.secrets[endpoint])


@pytest.mark.parametrize("status", [302, 400, 401, 429, 500, 503])
def test_what_is_not_2xx_is_tried_again(sender: Sender, receiver: Receiver, status: int) -> None:
    receiver.answer = lambda _: status
    sender.endpoint(receiver.url)
    sender.tell("job.failed")
    sender.turn()
    row = sender.row()

    assert (row.attempts, row.last_status, row.delivered_at) == (1, status, None)
    assert row.wait == pytest.approx(RETRY_SECONDS[0], abs=2)
    assert [received.path for received in receiver.received] == ["/hooks"]


def test_tries_are_further_and_further_apart_and_end_after_three_days(sender: Sender, receiver: Receiver) -> None:
    receiver.answer = lambda _: 500
    sender.endpoint(receiver.url)
    sender.tell("job.failed")
    waits = []
    while sender.row().next_at is not None:
        sender.make_due()
        sender.turn()
        waits.append(sender.row().wait)

    assert waits[-1] is None
    assert [round(wait, -1) for wait in waits[1:-1]] == [float(wait) for wait in RETRY_SECONDS[1:]]
    assert 3 * 86_400 <= sum(RETRY_SECONDS) < 3.2 * 86_400
    assert len({received.id for received in receiver.received}) == 1
    assert len({received.body for received in receiver.received}) == 1


def test_a_receiver_that_is_slow_is_given_up_and_one_that_is_away_tried_again(
    sender: Sender, receiver: Receiver
) -> None:
    def dawdle(_: Received) -> int:
        time.sleep(1)
        return 200

    receiver.answer = dawdle
    sender.endpoint(receiver.url)
    sender.tell("job.failed")
    slow = sender.turn(timeout_seconds=0.2)
    sender.execute("UPDATE webhook_endpoints SET url = 'http://127.0.0.1:1/'")
    sender.make_due()
    away = sender.turn()

    assert [(one.status, one.error) for one in slow] == [(None, "no answer in time")]
    assert [(one.status, one.error) for one in away] == [(None, "no connection")]
    assert sender.row().attempts == 2


def test_410_disables_at_once_and_tells_a_person(sender: Sender, receiver: Receiver) -> None:
    receiver.answer = lambda _: 410
    sender.endpoint(receiver.url, "job.*")
    sender.tell("job.failed")
    sender.turn()
    row = sender.row("webhook_endpoints")

    assert row.disabled_at is not None
    assert "410" in row.disabled_reason
    assert sender.scalar("SELECT kind FROM alerts") == "webhook_disabled"
    assert sender.scalar("SELECT type FROM events ORDER BY id DESC LIMIT 1") == "webhook.disabled"
    sender.make_due()
    assert sender.claim() == []


def test_an_endpoint_that_has_only_failed_for_days_is_disabled(sender: Sender, receiver: Receiver) -> None:
    receiver.answer = lambda _: 500
    sender.endpoint(receiver.url)
    sender.tell("job.failed")
    sender.turn()
    assert sender.row("webhook_endpoints").disabled_at is None

    sender.execute("UPDATE webhook_endpoints SET failing_since = failing_since - interval '73 hours'")
    sender.make_due()
    sender.turn()

    assert "72 hours" in sender.row("webhook_endpoints").disabled_reason


def test_one_success_ends_a_time_of_failures(sender: Sender, receiver: Receiver) -> None:
    receiver.answer = lambda _: 500
    sender.endpoint(receiver.url)
    sender.tell("job.failed")
    sender.turn()
    sender.execute("UPDATE webhook_endpoints SET failing_since = failing_since - interval '73 hours'")
    receiver.answer = lambda _: 200
    sender.make_due()
    sender.turn()
    row = sender.row("webhook_endpoints")

    assert (row.failing_since, row.disabled_at) == (None, None)


def test_an_address_is_judged_again_at_every_delivery(sender: Sender, receiver: Receiver) -> None:
    """Admitted once, and now it leads inside: as a name does whose owner points it elsewhere."""
    sender.endpoint(receiver.url)
    sender.tell("job.failed")
    sender.policy = NetPolicy()
    [sent] = sender.turn()

    assert sent.error is not None
    assert sent.error.startswith("address refused")
    assert receiver.received == []


def test_a_sender_that_is_killed_loses_nothing_and_a_late_one_changes_nothing(
    sender: Sender, receiver: Receiver
) -> None:
    sender.endpoint(receiver.url)
    sender.tell("job.failed")
    lost = sender.claim()
    assert sender.claim() == []
    sender.make_due()
    again = sender.claim()
    sender.settle(sender.send(again))
    receiver.answer = lambda _: 500
    sender.settle(sender.send(lost))

    assert (lost[0].attempts, again[0].attempts) == (1, 2)
    assert (sender.row().last_status, sender.row().next_at) == (204, None)


def test_two_senders_never_take_the_same(sender: Sender, receiver: Receiver, engine: Engine) -> None:
    sender.endpoint(receiver.url)
    sender.tell(*["job.failed"] * 20)
    with engine.begin() as one, engine.begin() as two:
        taken = [{out.event.id for out in claim_due(conn)} for conn in (one, two)]

    assert taken[0]
    assert taken[1]
    assert not taken[0] & taken[1]


def test_an_endpoint_with_a_long_queue_keeps_no_other_waiting(sender: Sender, receiver: Receiver) -> None:
    busy = sender.endpoint(receiver.url, "job.*")
    sender.tell(*["job.failed"] * 300)
    quiet = sender.endpoint(receiver.url, "batch.*")
    sender.tell("batch.completed")
    taken = sender.claim()

    assert {out.endpoint_id for out in taken} == {busy, quiet}


def test_the_installations_endpoint_hears_of_everybody(sender: Sender, receiver: Receiver) -> None:
    sender.endpoint(receiver.url, "budget.*", "job.*", project=None)
    sender.tell("job.failed")
    sender.tell("budget.exhausted", project=None)

    assert [out.event.type for out in sender.claim()] == ["job.failed", "budget.exhausted"]
