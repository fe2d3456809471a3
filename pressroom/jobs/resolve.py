"""Find, or make, the deployment that serves a model at the configured provider."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from sqlalchemy import Connection, text

from pressroom.settings import SANDBOX


@dataclass(frozen=True, slots=True)
class DeploymentRef:
    """Where jobs of a model go."""

    id: int
    pool_id: int
    model: str
    base_url: str


def pool_name(base_url: str, pool_key: str, account: str = "") -> str:
    """`sandbox/dall-e-2`, `team-b@api.openai.com/gpt-4o-mini`: how pools, and deployments by model, are called.

    A path other than the usual `/v1` belongs to the name: two endpoints of one gateway are two accounts.
    """
    if account:
        return f"{account}@{pool_name(base_url, pool_key)}"
    if base_url == SANDBOX:
        return f"sandbox/{pool_key}"
    address = urlsplit(base_url)
    host = address.netloc.rpartition("@")[2]
    path = address.path.rstrip("/").removesuffix("/v1")
    return f"{host}{path}/{pool_key}"


def resolve_deployments(
    conn: Connection,
    base_url: str,
    pool_keys: Mapping[str, str],
    catalog_limits: Mapping[str, Mapping[str, Any]],
    *,
    account: str = "",
    api_key_env: str | None = None,
) -> dict[str, DeploymentRef]:
    """Deployments by model under one account, made with their pools where missing.

    `pool_keys` names each model's limit group, `catalog_limits` the limits the catalog knows for each group (empty for
    endpoints it has no say over) and replaces what an older catalog said. Deployments that exist stay as they are.
    """
    for key in sorted(set(pool_keys.values())):
        conn.execute(
            text(
                "INSERT INTO pools (name, catalog_limits) VALUES (:name, CAST(:limits AS jsonb))"
                " ON CONFLICT (name) DO UPDATE SET catalog_limits = excluded.catalog_limits"
                " WHERE pools.catalog_limits IS DISTINCT FROM excluded.catalog_limits"
            ),
            {
                "name": pool_name(base_url, key, account),
                "limits": orjson.dumps(dict(catalog_limits.get(key, {}))).decode(),
            },
        )
    for model in sorted(pool_keys):
        conn.execute(
            text(
                "INSERT INTO deployments (base_url, account, model, api_key_env, is_sandbox, pool_id)"
                " SELECT :base_url, :account, :model, :api_key_env, :is_sandbox, id FROM pools WHERE name = :pool"
                " ON CONFLICT (base_url, account, model) DO NOTHING"
            ),
            {
                "base_url": base_url,
                "account": account,
                "model": model,
                "api_key_env": api_key_env,
                "is_sandbox": base_url == SANDBOX,
                "pool": pool_name(base_url, pool_keys[model], account),
            },
        )
    return find_deployments(conn, base_url, pool_keys, account=account)


def find_deployments(
    conn: Connection, base_url: str, models: Iterable[str], *, account: str = ""
) -> dict[str, DeploymentRef]:
    """The deployments of an account that exist, by model."""
    rows = conn.execute(
        text(
            "SELECT id, pool_id, model, base_url FROM deployments"
            " WHERE base_url = :base_url AND account = :account AND model = ANY(:models)"
        ),
        {"base_url": base_url, "account": account, "models": sorted(models)},
    )
    return {row.model: DeploymentRef(row.id, row.pool_id, row.model, row.base_url) for row in rows}
