"""Which accounts a process may call, and that no key goes where it does not belong."""

import pytest

from pressroom.errors import ProviderUnavailable
from pressroom.jobs.accounts import Accounts
from pressroom.settings import SANDBOX, Settings

OPENAI = "https://api.openai.com/v1"
OTHER = "https://images.example/v1"
SANDBOX_URL = "http://127.0.0.1:8399/v1"


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Accounts:
    """A process with a key of its own and one by another name."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-own")
    return Accounts(Settings(), {"TEAM_B_KEY": "sk-b", "EMPTY": ""})


@pytest.fixture
def pretending(monkeypatch: pytest.MonkeyPatch) -> Accounts:
    """A process without a key of its own."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return Accounts(Settings(sandbox_url=SANDBOX_URL), {"TEAM_B_KEY": "sk-b"})


def test_our_own_key_goes_to_the_configured_provider_only(real: Accounts) -> None:
    assert real.address_and_key(OPENAI, "", None) == (OPENAI, "sk-own")
    for base_url in (OTHER, SANDBOX):
        assert not real.serves(base_url, None)
        with pytest.raises(ProviderUnavailable):
            real.address_and_key(base_url, "", None)


def test_another_accounts_key_is_found_by_its_name(real: Accounts) -> None:
    assert real.address_and_key(OPENAI, "b", "TEAM_B_KEY") == (OPENAI, "sk-b")
    assert real.address_and_key(OTHER, "b", "TEAM_B_KEY") == (OTHER, "sk-b")


@pytest.mark.parametrize("name", ["MISSING", "EMPTY"])
def test_a_key_that_is_not_there_is_named_and_no_other_is_used(real: Accounts, name: str) -> None:
    assert not real.serves(OPENAI, name)
    with pytest.raises(ProviderUnavailable, match=f"set {name} in the environment of every worker"):
        real.address_and_key(OPENAI, "b", name)


def test_the_sandbox_gets_the_account_and_never_a_key(pretending: Accounts) -> None:
    assert pretending.address_and_key(SANDBOX, "", None) == (SANDBOX_URL, "sandbox")
    assert pretending.address_and_key(SANDBOX, "b", None) == (SANDBOX_URL, "sandbox-b")
    assert not pretending.serves(OPENAI, None)


def test_keys_are_not_in_what_is_logged(real: Accounts) -> None:
    assert "sk-" not in repr(real)
