"""`pressroom keys`, and a key's budget, through the command line as it is typed."""

from cli.exits import ExitCode
from tests.fixtures.desk import Desk
from tests.integration.cli.conftest import Run


def test_a_key_is_made_shown_once_listed_rotated_and_revoked(pressroom: Run, desk: Desk) -> None:
    made = pressroom(
        "keys", "create", "shop", "--scope", "read", "--expires", "90d", "--requests-per-minute", "60", "--json"
    )
    assert made["key"].startswith(f"pr_{made['prefix']}_")
    assert (made["name"], made["scopes"], made["requests_per_minute"]) == ("shop", ["read"], 60)

    [listed] = pressroom("keys", "list", "--json")
    assert listed["id"] == made["id"]
    assert "key" not in listed
    assert made["key"] not in pressroom("keys", "list").stdout

    rotated = pressroom("keys", "rotate", made["id"], "--grace", "0s", "--json")
    assert (rotated["id"], rotated["prefix"]) == (made["id"], made["prefix"])
    assert rotated["key"] != made["key"]

    assert "--yes" in pressroom("keys", "revoke", made["id"], code=ExitCode.BAD_INPUT).stderr
    pressroom("keys", "revoke", made["id"], "--yes")
    assert pressroom("keys", "list", "--json") == []
    [revoked] = pressroom("keys", "list", "--all", "--json")
    assert revoked["revoked_at"] is not None
    assert "no valid key" in pressroom("keys", "rotate", made["id"], code=ExitCode.BAD_INPUT).stderr


def test_without_json_the_key_alone_is_on_stdout(pressroom: Run, desk: Desk) -> None:
    shown = pressroom("keys", "create", "shop")

    assert shown.stdout.strip().count("\n") == 0
    assert shown.stdout.startswith("pr_")
    assert "not shown again" in shown.stderr


def test_keys_are_their_project_s(pressroom: Run, desk: Desk) -> None:
    desk.project("prints")
    made = pressroom("keys", "create", "shop", "--project", "prints", "--json")

    assert pressroom("keys", "list", "--json") == []
    assert len(pressroom("keys", "list", "--project", "prints", "--json")) == 1
    assert "no valid key" in pressroom("keys", "revoke", made["id"], "--yes", code=ExitCode.BAD_INPUT).stderr


def test_what_is_no_key_is_refused(pressroom: Run, desk: Desk) -> None:
    def said(*arguments: str) -> str:
        return str(pressroom("keys", *arguments, code=ExitCode.BAD_INPUT).stderr)

    assert "unknown scope" in said("create", "x", "--scope", "everything")
    assert "--expires: has passed" in said("create", "x", "--expires", "2020-01-01")
    assert "is not a key's name" in said("create", " ")
    assert "requests_per_minute: is no limit" in said("create", "x", "--requests-per-minute", "0")
    assert "--grace: is not a time" in said("rotate", f"key_{'0' * 32}", "--grace", "soon")
    assert "key id: is not an id" in said("revoke", "shop", "--yes")


def test_a_key_has_a_budget(pressroom: Run, desk: Desk) -> None:
    made = pressroom("keys", "create", "shop", "--json")

    budget = pressroom("budgets", "set", "20", "--key", made["id"], "--period", "month", "--json")
    assert (budget["scope"], budget["scope_name"], float(budget["cap_usd"])) == ("api_key", made["id"], 20.0)
    unknown = pressroom("budgets", "set", "5", "--api-key", f"key_{'0' * 32}", code=ExitCode.BAD_INPUT)
    assert "there is no key" in unknown.stderr
