"""What a program sees of the client: light to load, the same in both colours, nothing missing from its list."""

import inspect
import subprocess
import sys
from typing import Any

import pytest

import pressroom.client
from pressroom.client import AsyncPressroom, Pressroom

HEAVY = ("celery", "kombu", "boto3", "sqlalchemy", "psycopg", "redis", "fastapi", "openai", "rich", "IPython", "PIL")


def _loaded(code: str) -> set[str]:
    check = f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def _methods(kind: type) -> dict[str, Any]:
    return {name: found for name, found in vars(kind).items() if callable(found) and not name.startswith("_")}


def test_importing_the_client_loads_nothing_of_the_servers() -> None:
    assert _loaded("from pressroom.client import Pressroom, AsyncPressroom; Pressroom('http://a', 'k')") == set()


def test_enqueueing_directly_loads_what_it_needs_and_only_then() -> None:
    assert {"sqlalchemy", "celery"} <= _loaded("from pressroom.client import Direct")


def test_both_colours_do_the_same() -> None:
    blocking, asynchronous = _methods(Pressroom), _methods(AsyncPressroom)

    assert blocking.keys() - asynchronous.keys() == {"direct"}  # the database's driver blocks
    assert asynchronous.keys() <= blocking.keys()
    for name, twin in asynchronous.items():
        method = blocking[name]
        assert inspect.signature(method).parameters == inspect.signature(twin).parameters, name
        assert inspect.getdoc(method) == inspect.getdoc(twin), name


@pytest.mark.parametrize("name", pressroom.client.__all__)
def test_every_name_on_the_list_is_there_and_says_what_it_is(name: str) -> None:
    assert (getattr(pressroom.client, name).__doc__ or "").strip()


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = pressroom.client.Nothing
