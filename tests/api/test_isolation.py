"""Every route, without a key, without its scope, and with the key of another project.

A new route is walked as soon as it is served. It fails here when it asks for no scope, when nobody said how to make
what its path names (tests/fixtures/belongings.py), and when it tells a stranger more than that there is no such thing.
"""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

import api as api_package
from api.auth import Needs, Reads
from api.routes import ROUTERS
from models import Scope
from pressroom.tenants.secrets import new_key
from tests.fixtures.api import ALL_SCOPES, LiveApi
from tests.fixtures.belongings import Belongings

OPEN = {"/healthz", "/readyz", "/docs/errors"}
"""All that answers without a key, besides the document itself."""
EVERYBODYS = {"model"}
"""Names in paths of what belongs to no project."""
QUERY_IDS = {"job": "job_id", "batch": "batch_id"}
"""Parameters in queries that are ids."""
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")


@dataclass(frozen=True)
class Walk:
    """One method of one path, and the scopes that it asks for."""

    method: str
    path: str
    scopes: tuple[Scope, ...]

    @property
    def names(self) -> list[str]:
        """What its path names, but for what is everybody's."""
        return [name for name in _PARAMETER.findall(self.path) if name not in EVERYBODYS]

    def filled(self, ids: Any) -> str:
        """The path with `ids(name)` in the places of its names."""
        return _PARAMETER.sub(lambda match: "none" if match[1] in EVERYBODYS else str(ids(match[1])), self.path)


def walks(routers: tuple[APIRouter, ...] = ROUTERS) -> Iterator[Walk]:
    """Everything that is served, documented or not."""
    for router in routers:
        for route in router.routes:
            assert isinstance(route, APIRoute), f"{route} cannot be walked: serve it by a route of FastAPI"
            for method in sorted(route.methods or ()):
                yield Walk(method, route.path, tuple(_scopes(route.dependant)))


def _scopes(dependant: Dependant) -> Iterator[Scope]:
    for below in dependant.dependencies:
        if isinstance(below.call, Needs):
            yield below.call.scope
        yield from _scopes(below)


GUARDED = [walk for walk in walks() if walk.path not in OPEN]


def test_every_route_asks_for_one_scope_or_is_known_to_be_open() -> None:
    assert [walk for walk in GUARDED if len(set(walk.scopes)) != 1] == []
    assert {walk.path for walk in walks() if not walk.scopes} == OPEN
    assert all(walk.path.startswith("/v1/") for walk in GUARDED)


def test_a_route_without_a_scope_would_be_seen() -> None:
    router = APIRouter()

    @router.get("/v1/careless")
    def careless() -> None: ...

    @router.get("/v1/careful")
    def careful(caller: Reads) -> None: ...

    assert [walk.scopes for walk in walks((router,))] == [(), (Scope.READ,)]


@pytest.fixture
def examples(api: LiveApi) -> dict[tuple[str, str], Any]:
    """A body for each method and path, as the document shows it."""
    with api.client(None) as client:
        document = client.get("/openapi.json").json()
    return {
        (method.upper(), path): _example(document, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def _example(document: dict[str, Any], operation: dict[str, Any]) -> Any:
    media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if "example" in media:
        return media["example"]
    for named in media.get("examples", {}).values():
        return named["value"]
    schema = media.get("schema", {})
    while "$ref" in schema or "anyOf" in schema:
        schema = schema["anyOf"][0] if "anyOf" in schema else _resolved(document, schema["$ref"])
    return next(iter(schema.get("examples", [])), {})


def _resolved(document: dict[str, Any], reference: str) -> Any:
    found = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def _call(client: httpx2.Client, walk: Walk, url: str, body: Any) -> httpx2.Response:
    """Without the body of a stream, which would not end."""
    sent = {} if walk.method in ("GET", "DELETE") else {"json": body}
    with client.stream(walk.method, url, **sent) as answer:
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            answer.read()
        return answer


def test_without_a_key_nothing_is_served(api: LiveApi) -> None:
    unknown = new_key().show()
    for key in (None, "nonsense", unknown):
        client = api.client(key)
        answers = {walk: _call(client, walk, walk.filled(lambda _: "none"), {}) for walk in GUARDED}
        wrong = {walk: answer.status_code for walk, answer in answers.items() if answer.status_code != 401}
        assert wrong == {}
        assert {answer.json()["error"]["code"] for answer in answers.values()} == {"invalid_api_key"}


@pytest.mark.parametrize("missing", ALL_SCOPES)
def test_without_its_scope_nothing_is_served(
    api: LiveApi, examples: dict[tuple[str, str], Any], missing: Scope
) -> None:
    client = api.client(api.make_key(scopes=[scope for scope in ALL_SCOPES if scope is not missing]).text)
    for walk in (walk for walk in GUARDED if missing in walk.scopes):
        answer = _call(client, walk, walk.filled(lambda _: "none"), examples.get((walk.method, walk.path), {}))
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "missing_scope"), walk


def test_to_strangers_nothing_exists(api: LiveApi, examples: dict[tuple[str, str], Any]) -> None:
    owned, stranger, owner = Belongings(api), api.client(api.other_key), api.client()
    named = [walk for walk in GUARDED if walk.names]
    for walk in named:
        url, body = walk.filled(owned.id_of), examples.get((walk.method, walk.path), {})
        answer = _call(stranger, walk, url, body)
        assert answer.status_code == 404, f"{walk.method} {url} {body}: {answer.status_code} {answer.text}"
        assert answer.json()["error"]["type"] == "invalid_request_error"
    # All of it was there, and still is.
    for walk in named:
        if walk.method == "GET":
            answer = _call(owner, walk, walk.filled(owned.id_of), None)
            assert answer.status_code != 404, f"{walk.path}: {answer.status_code} {answer.text}"


def test_lists_show_a_stranger_nothing(api: LiveApi) -> None:
    owned = Belongings(api)
    for name in {name for walk in GUARDED for name in walk.names}:
        owned.id_of(name)
    stranger = api.client(api.other_key)
    for walk in (walk for walk in GUARDED if walk.method == "GET" and "{" not in walk.path):
        answer = _call(stranger, walk, walk.path, None)
        if answer.status_code == 400 and "batch" in answer.text:
            continue  # it wants an id in its query: see below
        assert answer.status_code == 200, walk
        if answer.is_stream_consumed:
            assert [mark for mark in owned.marks() if mark in answer.text.replace("-", "")] == [], walk


@pytest.mark.parametrize(("parameter", "name"), QUERY_IDS.items())
def test_ids_in_queries_of_strangers_are_not_found(api: LiveApi, parameter: str, name: str) -> None:
    owned, stranger = Belongings(api), api.client(api.other_key)
    asked = [
        walk
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and parameter in [query.alias for query in route.dependant.query_params]
        for walk in [Walk("GET", route.path, ())]
        if "GET" in (route.methods or ())
    ]
    assert asked
    for walk in asked:
        answer = _call(stranger, walk, f"{walk.path}?{parameter}={owned.id_of(name)}", None)
        assert answer.status_code == 404, walk


def test_a_budget_of_another_project_s_things_cannot_be_set(api: LiveApi) -> None:
    owned, stranger = Belongings(api), api.client(api.other_key)
    for scope, name in (("batch", "batch_id"), ("api_key", "key_id")):
        body = {"scope": scope, "scope_id": owned.id_of(name), "cap_usd": "1"}
        assert stranger.post("/v1/budgets", json=body).status_code == 404
        assert api.client().post("/v1/budgets", json=body).status_code == 200
    body = {"scope": "project", "scope_id": str(api.project_id), "cap_usd": "1"}
    assert api.client().post("/v1/budgets", json=body).status_code == 400


def test_the_installation_is_seen_by_its_operators_alone(api: LiveApi) -> None:
    Belongings(api).id_of("job_id")  # so that there is a deployment
    for key in (api.make_key(scopes=(Scope.READ,)).text, api.other_key):  # not by a tenant's administrator
        stranger = api.client(key)
        assert stranger.get("/v1/costs?projects=all").status_code == 403
        for path, name in (("/v1/deployments", "data"), ("/v1/overview", "deployments")):
            assert [row for row in stranger.get(path).json()[name] if row["pool"] is not None] == []
    assert api.client().get("/v1/costs?projects=all&by=project").status_code == 200
    assert [row for row in api.client().get("/v1/deployments").json()["data"] if row["pool"] is not None] != []


UNGUARDED = {
    "pressroom.jobs.at_risk": {"find_at_risk", "settle_by_hand"},
    "pressroom.jobs.budgets": {"budgets_of", "list_budgets", "remove_budget", "resolve_uncertain", "set_budget"},
    "pressroom.jobs.alerts": {"acknowledge"},
    "pressroom.jobs.deployments": {"resume_deployment"},
    "pressroom.jobs.weights": {"create_project", "set_weight"},
    "pressroom.tenants.keys": {"find_key", "require_key"},
}
"""Functions of the house that take ids of any project, and who of the API may use them all the same."""
TRUSTED = {("keyring.py", "find_key")}


def test_the_api_uses_nothing_that_reaches_into_any_project() -> None:
    folder = Path(api_package.__file__).parent
    used = {
        (path.name, alias.name)
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in UNGUARDED.get(node.module or "", ())
    }

    assert used == TRUSTED


def test_what_is_said_to_reach_anywhere_exists() -> None:
    missing = [
        f"{module}.{name}"
        for module, names in UNGUARDED.items()
        for name in names
        if not hasattr(importlib.import_module(module), name)
    ]
    assert missing == []
