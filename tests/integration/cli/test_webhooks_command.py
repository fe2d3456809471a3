"""`pressroom webhooks`, as it is typed."""

import pytest
from sqlalchemy import text

from cli.exits import ExitCode
from models import DEFAULT_PROJECT_ID
from pressroom.events.outbox import NewEvent, record_events
from tests.fixtures.desk import Desk
from tests.integration.cli.conftest import Run

URL = "http://127.0.0.1:9999/hooks"


@pytest.fixture(autouse=True)
def receivers_on_loopback(monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> None:
    """What an operator with receivers of their own sets."""
    monkeypatch.setenv("PRESSROOM_WEBHOOK_ALLOW_PRIVATE", "127.0.0.0/8")


def test_an_endpoint_is_made_listed_switched_and_deleted(pressroom: Run, desk: Desk) -> None:
    made = pressroom("webhooks", "create", URL, "--event", "batch.*", "--event", "job.failed", "--json")
    key = made["id"]
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["batch.*", "job.failed"]

    listed = pressroom("webhooks", "list", "--json")
    assert [row["id"] for row in listed] == [key]
    assert "secret" not in str(listed)
    assert URL in pressroom("webhooks", "list").stdout
    assert pressroom("webhooks", "disable", key, "--json")["status"] == "disabled"
    assert "disabled (by hand)" in pressroom("webhooks", "test", key, code=ExitCode.BAD_INPUT).stderr
    assert "is enabled" in pressroom("webhooks", "enable", key).stdout
    assert pressroom("webhooks", "rotate", key, "--grace", "1h", "--json")["secret"] != made["secret"]
    assert "--yes" in pressroom("webhooks", "delete", key, code=ExitCode.BAD_INPUT).stderr
    assert pressroom("webhooks", "delete", key, "--yes", "--json") == {"id": key, "deleted": True}
    assert "no webhooks" in pressroom("webhooks", "list").stderr


def test_what_was_missed_is_replayed_and_shown(pressroom: Run, desk: Desk) -> None:
    with desk.engine.begin() as conn:
        record_events(conn, [NewEvent("job.failed", DEFAULT_PROJECT_ID), NewEvent("job.succeeded", DEFAULT_PROJECT_ID)])
    key = pressroom("webhooks", "create", URL, "--event", "job.failed", "--json")["id"]

    assert pressroom("webhooks", "replay", key, "--since", "1h", "--json") == {"deliveries": 1}
    assert "1 delivery" in pressroom("webhooks", "replay", key, "--event-id", "evt_2").stdout
    assert pressroom("webhooks", "test", key, "--json") == {"event_id": "evt_3"}
    shown = pressroom("webhooks", "deliveries", key, "--json")
    assert [(row["id"], row["type"], row["state"]) for row in shown] == [
        ("evt_3", "webhook.test", "waiting"),
        ("evt_2", "job.succeeded", "waiting"),
        ("evt_1", "job.failed", "waiting"),
    ]
    assert "webhook.test" in pressroom("webhooks", "deliveries", key).stdout


def test_the_installations_endpoints_are_apart_from_the_projects(pressroom: Run, desk: Desk) -> None:
    key = pressroom("webhooks", "create", URL, "--installation", "--event", "deployment.*", "--json")["id"]

    assert pressroom("webhooks", "list", "--json") == []
    assert [row["id"] for row in pressroom("webhooks", "list", "--installation", "--json")] == [key]
    assert "there is no webhook endpoint" in pressroom("webhooks", "disable", key, code=ExitCode.BAD_INPUT).stderr
    with desk.engine.connect() as conn:
        assert conn.execute(text("SELECT project_id FROM webhook_endpoints")).scalar() is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "http://10.0.0.1/"), "leads to an address that no request may go to"),
        (("create", "https://93.184.216.34:22/"), "has a port that no request may go to"),
        (("create", URL, "--event", "jobs"), "is no type of event"),
        (("create", URL, "--installation", "--project", "default"), "is given with --project"),
        (("replay", f"we_{'0' * 32}"), "or --event-id is needed"),
        (("replay", f"we_{'0' * 32}", "--event-id", "512x"), "is not an id"),
        (("test", f"we_{'0' * 32}"), "there is no webhook endpoint"),
    ],
)
def test_what_cannot_be_is_refused(pressroom: Run, desk: Desk, arguments: tuple[str, ...], said: str) -> None:
    assert said in pressroom("webhooks", *arguments, code=ExitCode.BAD_INPUT).stderr
