"""One turn of a sender by hand: what is due is taken, sent and settled."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from models import DEFAULT_PROJECT_ID
from pressroom.events.outbox import NewEvent, record_events
from pressroom.jobs.alerts import raise_alert
from pressroom.net.addresses import parse_networks
from pressroom.net.guard import NetPolicy
from pressroom.webhooks.endpoints import NewEndpoint, create_endpoint
from pressroom.webhooks.outgoing import Outgoing, Sent, claim_due, settle_sent
from pressroom.webhooks.send import send_to_endpoint

LOOPBACK = NetPolicy(parse_networks(["127.0.0.0/8"]))


@dataclass
class Sender:
    """Each method is one transaction. `chance` 0.5 spreads no wait."""

    engine: Engine
    policy: NetPolicy = LOOPBACK
    secrets: dict[UUID, str] = field(default_factory=dict)

    def endpoint(self, url: str, *events: str, project: UUID | None = DEFAULT_PROJECT_ID, **more: Any) -> UUID:
        """A new one; its secret is kept in `secrets`."""
        with self.engine.begin() as conn:
            made, secret = create_endpoint(conn, project, NewEndpoint(url, events or ("*",), **more))
        self.secrets[made.id] = secret
        return made.id

    def tell(self, *types: str, project: UUID | None = DEFAULT_PROJECT_ID) -> None:
        """Events of a project."""
        with self.engine.begin() as conn:
            record_events(conn, [NewEvent(name, project, data={"n": 1}) for name in types])

    def claim(self) -> list[Outgoing]:
        """What is due now."""
        with self.engine.begin() as conn:
            return claim_due(conn)

    def send(self, outgoing: Sequence[Outgoing], *, timeout_seconds: float = 5.0) -> list[Sent]:
        """Over HTTP, all to the endpoint of the first."""
        return asyncio.run(send_to_endpoint(outgoing, self.policy, timeout_seconds=timeout_seconds))

    def settle(self, sent: Sequence[Sent], **options: Any) -> int:
        """What became of them; how many endpoints were disabled."""
        with self.engine.begin() as conn:
            return settle_sent(conn, sent, tell=raise_alert, chance=lambda: 0.5, **options)

    def turn(self, **options: Any) -> list[Sent]:
        """All of it, to one endpoint."""
        outgoing = self.claim()
        sent = self.send(outgoing, **options) if outgoing else []
        self.settle(sent)
        return sent

    def make_due(self) -> None:
        """The time of every delivery that is not over has come."""
        self.execute("UPDATE webhook_deliveries SET next_at = now() WHERE next_at IS NOT NULL")

    def execute(self, query: str, **bound: Any) -> None:
        """One statement."""
        with self.engine.begin() as conn:
            conn.execute(text(query), bound)

    def row(self, table: str = "webhook_deliveries") -> Any:
        """The only one."""
        with self.engine.connect() as conn:
            return conn.execute(text(f"SELECT *, {_WAIT if 'deliv' in table else 'now()'} AS wait FROM {table}")).one()

    def scalar(self, query: str) -> Any:
        """One value."""
        with self.engine.connect() as conn:
            return conn.execute(text(query)).scalar()


_WAIT = "extract(epoch FROM next_at - now())::float8"
