"""What a project sees of its work and money over HTTP, and that a key's budget holds."""

from decimal import Decimal

import openai
import pytest

from models import BudgetPeriod, BudgetScope, Scope
from pressroom.ids import show_id
from pressroom.jobs.budgets import BudgetKey, set_budget
from tests.fixtures.api import LiveApi

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Name three typefaces."}], "max_tokens": 40}


def test_the_overview_counts_what_waits_and_shows_pools_to_operators_alone(api: LiveApi) -> None:
    api.system.submit(texts=3, limits={"rpm": 60})
    seen = api.client().get("/v1/overview").json()
    assert (seen["project"]["name"], seen["queued_jobs"], seen["running_jobs"]) == ("default", 3, 0)
    assert seen["queued_by_class"] == {"normal": 3}
    [deployment] = seen["deployments"]
    assert (deployment["model"], deployment["own_waiting_jobs"], deployment["pool"]["waiting_jobs"]) == (
        "gpt-4o-mini",
        3,
        3,
    )
    assert deployment["pool"]["drain_seconds"] == pytest.approx(3.0)
    assert [(one["name"], one["limit"], one["source"]) for one in deployment["limits"]] == [("rpm", 60.0, "setting")]

    reader = api.client(api.make_key(scopes=(Scope.READ,)).text).get("/v1/overview").json()
    assert reader["deployments"] == [{**deployment, "pool": None}]

    other = api.client(api.other_key)
    assert other.get("/v1/overview").json()["queued_jobs"] == 0
    [theirs] = other.get("/v1/deployments").json()["data"]
    assert (theirs["own_waiting_jobs"], theirs["pool"]) == (0, None)


def test_a_project_sees_its_own_budgets_and_sets_those_of_its_keys(api: LiveApi) -> None:
    key_id = show_id("key", api.make_key().row.id)
    with api.system.engine.begin() as conn:
        for project_id in (api.project_id, api.other_project_id):
            set_budget(conn, BudgetKey(BudgetScope.PROJECT, project_id, BudgetPeriod.DAY), Decimal(5))
        set_budget(conn, BudgetKey(BudgetScope.INSTALLATION, None, BudgetPeriod.TOTAL), Decimal(100))
    admin = api.client()

    made = admin.post(
        "/v1/budgets", json={"scope": "api_key", "scope_id": key_id, "period": "month", "cap_usd": "2.50"}
    )
    assert (made.json()["cap_usd"], made.json()["left_usd"], made.json()["sandbox"]) == ("2.5", "2.5", True)
    listed = admin.get("/v1/budgets").json()["data"]
    assert [(row["scope"], row["scope_name"]) for row in listed] == [("project", "default"), ("api_key", key_id)]

    project_s, key_s = (row["id"] for row in listed)
    assert admin.delete(f"/v1/budgets/{project_s}").status_code == 404
    assert admin.delete(f"/v1/budgets/{key_s}").status_code == 204
    assert admin.delete(f"/v1/budgets/{key_s}").status_code == 404


def test_a_key_without_money_submits_nothing_and_others_do(api: LiveApi) -> None:
    poor = api.make_key()
    body = {"scope": "api_key", "scope_id": show_id("key", poor.row.id), "cap_usd": "0"}
    assert api.client().post("/v1/budgets", json=body).status_code == 200

    with pytest.raises(openai.APIStatusError) as refused:
        api.openai(poor.text).chat.completions.create(**CHAT)  # type: ignore[call-overload]
    assert "budget of key_" in str(refused.value)
    assert api.system.scalar("SELECT count(*) FROM jobs") == 0

    job = api.client().post("/v1/chat/completions", json=CHAT, headers={"Prefer": "respond-async"})
    assert job.status_code == 202
    assert api.system.scalar("SELECT count(*) FROM jobs WHERE api_key_id IS NOT NULL") == 1


def test_costs_are_the_project_s_by_what_is_asked(api: LiveApi) -> None:
    api.system.start_workers(1)
    api.openai().chat.completions.create(**CHAT)  # type: ignore[call-overload]
    client = api.client()

    [row] = client.get("/v1/costs").json()["data"]
    assert (row["model"], row["calls"], row["sandbox"], row["day"]) == ("gpt-4o-mini", 1, True, None)
    assert Decimal(row["cost_usd"]) > 0
    [by_day] = client.get("/v1/costs", params={"by": ["day", "project"]}).json()["data"]
    assert (by_day["project"], by_day["cost_usd"]) == ("default", row["cost_usd"])
    assert by_day["day"] is not None
    [today] = client.get("/v1/overview").json()["today"]
    assert (today["calls"], today["cost_usd"]) == (1, row["cost_usd"])

    other = api.client(api.other_key)
    assert other.get("/v1/costs").json()["data"] == []
    assert other.get("/v1/costs", params={"projects": "all"}).status_code == 403
    assert len(client.get("/v1/costs", params={"projects": "all"}).json()["data"]) == 1
    assert client.get("/v1/costs", params={"by": ["batch", "day"]}).json()["error"]["param"] == "by"
    assert client.get("/v1/costs", params={"since": "yesterday"}).json()["error"]["param"] == "since"
