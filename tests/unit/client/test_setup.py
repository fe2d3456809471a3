"""Where the client finds the server and its key, and what it says when it does not."""

import pytest

from pressroom.client.errors import NotSetUp
from pressroom.client.setup import LOCAL_URL, find_setup

KEY = "pr_abc"


@pytest.mark.parametrize("url", ["https://press.example", "https://press.example/", "https://press.example/v1/"])
def test_an_address_is_taken_with_or_without_its_version(url: str) -> None:
    assert find_setup(url, KEY, {}).origin == "https://press.example"


def test_arguments_come_before_the_environment_and_this_machine_last() -> None:
    environment = {"PRESSROOM_API_URL": "http://a:1", "PRESSROOM_API_KEY": "pr_env"}

    assert find_setup("http://b:2", KEY, environment).origin == "http://b:2"
    assert find_setup(environment=environment).api_key == "pr_env"
    assert find_setup(api_key=KEY, environment={}).origin == LOCAL_URL


@pytest.mark.parametrize(
    ("url", "key", "said"),
    [
        (None, None, "set PRESSROOM_API_KEY"),
        ("press.example", KEY, "PRESSROOM_API_URL like"),
        ("ftp://press.example", KEY, "PRESSROOM_API_URL like"),
        (None, "pr_abc\n", "copy it again"),
        (None, "pr_äbc", "copy it again"),
    ],
)
def test_what_is_missing_or_wrong_is_named_with_its_remedy(url: str | None, key: str | None, said: str) -> None:
    with pytest.raises(NotSetUp, match=said):
        find_setup(url, key, {})


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(find_setup(api_key=KEY, environment={}))
