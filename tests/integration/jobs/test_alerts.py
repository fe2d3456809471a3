"""Alerts are told once until somebody acknowledges them."""

from sqlalchemy import Engine

from pressroom.jobs.alerts import acknowledge, list_alerts, raise_alert


def test_one_of_a_kind_and_subject_is_open_at_a_time(engine: Engine) -> None:
    with engine.begin() as conn:
        assert raise_alert(conn, "billing_stop", "sandbox/gpt-4o-mini", "no money left")
        assert not raise_alert(conn, "billing_stop", "sandbox/gpt-4o-mini", "still none")
        assert raise_alert(conn, "billing_stop", "sandbox/dall-e-2", "no money left")

        newest, oldest = list_alerts(conn)
        assert (newest.subject, oldest.subject) == ("sandbox/dall-e-2", "sandbox/gpt-4o-mini")
        assert oldest.message == "no money left"


def test_after_it_was_acknowledged_the_next_is_told_anew(engine: Engine) -> None:
    with engine.begin() as conn:
        raise_alert(conn, "billing_stop", "pool", "no money left")
        [alert] = list_alerts(conn)

        assert acknowledge(conn, alert.id)
        assert not acknowledge(conn, alert.id)
        assert list_alerts(conn) == []
        assert raise_alert(conn, "billing_stop", "pool", "again none")
        assert [one.message for one in list_alerts(conn, everything=True)] == ["again none", "no money left"]
        assert [one.message for one in list_alerts(conn)] == ["again none"]
