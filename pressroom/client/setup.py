"""Where the API is and who we are: from arguments, or from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pressroom.client.errors import NotSetUp

LOCAL_URL = "http://127.0.0.1:8400"
"""Where `pressroom up` and `pressroom api` listen."""

URL_VARIABLE, KEY_VARIABLE = "PRESSROOM_API_URL", "PRESSROOM_API_KEY"


@dataclass(frozen=True, slots=True)
class Setup:
    """A server and a key for it. `origin` has no `/v1` and no slash at its end."""

    origin: str
    api_key: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.api_key}", "Accept": "application/json"}


def find_setup(
    url: str | None = None, api_key: str | None = None, environment: Mapping[str, str] = os.environ
) -> Setup:
    """Arguments first, then the environment, then the address on this machine. Raises NotSetUp."""
    given = url or environment.get(URL_VARIABLE) or LOCAL_URL
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotSetUp(
            f"the address of the API is not one (got {given!r}): give url= or {URL_VARIABLE} like {LOCAL_URL}"
        )
    key = api_key or environment.get(KEY_VARIABLE)
    if not key:
        raise NotSetUp(f"no API key: give api_key= or set {KEY_VARIABLE} (`pressroom keys create NAME` makes one)")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise NotSetUp("the API key holds characters that no key has: copy it again, without quotes or line breaks")
    return Setup(given.rstrip("/").removesuffix("/v1"), key)
