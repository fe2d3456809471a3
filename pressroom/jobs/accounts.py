"""Which providers' accounts this process may call, and the clients that call them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from pressroom.errors import ProviderUnavailable
from pressroom.jobs.lease import ClaimedLease
from pressroom.providers.client import ProviderClient
from pressroom.settings import SANDBOX, Settings

SANDBOX_KEY = "sandbox"
"""The sandbox takes any key; a real one must never be sent to it."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """The installation's own account, and those whose keys are in the environment by another name."""

    settings: Settings
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def serves(self, base_url: str, api_key_env: str | None) -> bool:
        """Whether there is a key for a deployment at `base_url` whose key is named `api_key_env` (None: our own)."""
        if api_key_env is not None:
            return bool(self.environment.get(api_key_env))
        return base_url == self.settings.provider

    def address_and_key(self, base_url: str, account: str, api_key_env: str | None) -> tuple[str, str]:
        """Where to call a deployment, and with what key. Raises ProviderUnavailable when there is none."""
        if not self.serves(base_url, api_key_env):
            name = api_key_env or "OPENAI_API_KEY"
            raise ProviderUnavailable(f"no key for {base_url}: set {name} in the environment of every worker")
        if base_url == SANDBOX:
            return self.settings.provider_address(), f"{SANDBOX_KEY}-{account}" if account else SANDBOX_KEY
        if api_key_env is not None:
            return base_url, self.environment[api_key_env]
        key = self.settings.openai_api_key
        return base_url, key.get_secret_value() if key is not None else SANDBOX_KEY


class ProviderClients:
    """One client per account, made when its first lease comes. Belongs to one event loop."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._clients: dict[tuple[str, str, str | None], ProviderClient] = {}

    def of(self, lease: ClaimedLease) -> ProviderClient:
        """The client for the lease's deployment. Raises ProviderUnavailable when there is no key for it."""
        place = (lease.base_url, lease.account, lease.api_key_env)
        client = self._clients.get(place)
        if client is None:
            address, key = self._accounts.address_and_key(*place)
            seconds = self._accounts.settings.request_timeout_seconds
            client = self._clients[place] = ProviderClient(address, api_key=key, timeout_seconds=seconds)
        return client

    async def fetch(self, url: str, *, max_bytes: int) -> bytes:
        """The picture at a URL of an answer, which some client must have had. Raises ProviderError."""
        return await next(iter(self._clients.values())).fetch(url, max_bytes=max_bytes)

    async def aclose(self) -> None:
        """Close all connections; calls in flight fail."""
        for client in self._clients.values():
            await client.aclose()
