"""`/v1/webhooks`: addresses that hear of the project's events (docs/webhooks.md)."""

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query
from sqlalchemy import Connection

from api.auth import Admins, Reads
from api.schemas.webhooks import (
    DeletedWebhook,
    Delivery,
    DeliveryList,
    NewWebhook,
    Replayed,
    ReplayEvent,
    ReplaySince,
    Rotation,
    Tested,
    Webhook,
    WebhookChanges,
    WebhookList,
    WebhookWithSecret,
)
from api.services import Services, Serving
from api.threads import in_thread
from pressroom.ids import parse_id
from pressroom.net.guard import NetPolicy, admit
from pressroom.webhooks import endpoints, replay
from pressroom.webhooks.signing import message_id, parse_message_id

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

_T = TypeVar("_T")

Page = Annotated[int, Query(ge=1, le=100, description="At most so many.")]
After = Annotated[str | None, Query(description="Go on after this id.")]


@router.post("", status_code=201, summary="Make a webhook endpoint")
async def create(body: NewWebhook, caller: Admins, services: Serving) -> WebhookWithSecret:
    """The secret is in this answer and in no other. The address is looked up now, and at every delivery."""
    await _admit(services, body.url)
    new = endpoints.NewEndpoint(body.url, body.events, body.description, body.batch_jobs)
    made, secret = await _ask(services, lambda conn: endpoints.create_endpoint(conn, caller.project_id, new))
    return _with_secret(made, secret)


@router.get("", summary="List webhook endpoints")
async def list_(caller: Reads, services: Serving, *, limit: Page = 20, after: After = None) -> WebhookList:
    """Newest first."""
    start = None if after is None else parse_id("we", after)
    rows = await _ask(
        services, lambda conn: endpoints.list_endpoints(conn, caller.project_id, after=start, limit=limit + 1)
    )
    data = [Webhook.of(row) for row in rows[:limit]]
    return WebhookList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=len(rows) > limit,
    )


@router.get("/{webhook_id}", summary="Retrieve a webhook endpoint")
async def retrieve(webhook_id: str, caller: Reads, services: Serving) -> Webhook:
    """Without its secret."""
    key = parse_id("we", webhook_id)
    return Webhook.of(await _ask(services, lambda conn: endpoints.find_endpoint(conn, caller.project_id, key)))


@router.patch("/{webhook_id}", summary="Change a webhook endpoint")
async def change(webhook_id: str, body: WebhookChanges, caller: Admins, services: Serving) -> Webhook:
    """What is left out, or null, stays as it is."""
    key = parse_id("we", webhook_id)
    changes = body.model_dump(exclude_none=True)
    if body.url is not None:
        await _admit(services, body.url)
    changed = await _ask(services, lambda conn: endpoints.update_endpoint(conn, caller.project_id, key, changes))
    if body.enabled:
        await in_thread(services.publisher.hint_deliveries)
    return Webhook.of(changed)


@router.delete("/{webhook_id}", summary="Delete a webhook endpoint")
async def delete(webhook_id: str, caller: Admins, services: Serving) -> DeletedWebhook:
    """What was still to be delivered to it is dropped."""
    key = parse_id("we", webhook_id)
    await _ask(services, lambda conn: endpoints.delete_endpoint(conn, caller.project_id, key))
    return DeletedWebhook(id=webhook_id)


@router.post("/{webhook_id}/rotate", summary="Give it a new secret")
async def rotate(webhook_id: str, caller: Admins, services: Serving, body: Rotation | None = None) -> WebhookWithSecret:
    """Both secrets sign for a while, so that receivers can be changed over without a gap."""
    key = parse_id("we", webhook_id)
    overlap = (body or Rotation()).overlap_seconds
    rotated, secret = await _ask(
        services, lambda conn: endpoints.rotate_secret(conn, caller.project_id, key, overlap_seconds=overlap)
    )
    return _with_secret(rotated, secret)


@router.post("/{webhook_id}/replay", status_code=202, summary="Deliver again")
async def deliver_again(
    webhook_id: str, body: ReplayEvent | ReplaySince, caller: Admins, services: Serving
) -> Replayed:
    """Of events that are still kept, one or all since a time; with the ids that they had."""
    key = parse_id("we", webhook_id)

    def work(conn: Connection) -> int:
        if isinstance(body, ReplayEvent):
            return replay.replay_event(conn, caller.project_id, key, parse_message_id(body.event_id))
        return replay.replay_since(conn, caller.project_id, key, body.since)

    count = await _ask(services, work)
    await in_thread(services.publisher.hint_deliveries)
    return Replayed(deliveries=count)


@router.post("/{webhook_id}/test", status_code=202, summary="Send a test event")
async def send_test(webhook_id: str, caller: Admins, services: Serving) -> Tested:
    """A `webhook.test` event to this endpoint alone, whatever types it asks for."""
    key = parse_id("we", webhook_id)
    event = await _ask(services, lambda conn: replay.send_test(conn, caller.project_id, key))
    await in_thread(services.publisher.hint_deliveries)
    return Tested(event_id=message_id(event))


@router.get("/{webhook_id}/deliveries", summary="List deliveries")
async def deliveries(
    webhook_id: str, caller: Reads, services: Serving, *, limit: Page = 20, after: After = None
) -> DeliveryList:
    """What went to it or is on its way, newest event first."""
    key = parse_id("we", webhook_id)
    before = None if after is None else parse_message_id(after)
    rows = await _ask(
        services, lambda conn: replay.list_deliveries(conn, caller.project_id, key, before=before, limit=limit + 1)
    )
    data = [Delivery.of(row) for row in rows[:limit]]
    return DeliveryList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=len(rows) > limit,
    )


async def _ask(services: Services, work: Callable[[Connection], _T]) -> _T:
    """One transaction, on a thread."""

    def ask() -> _T:
        with services.database.begin() as conn:
            return work(conn)

    return await in_thread(ask)


async def _admit(services: Services, url: str) -> None:
    settings = services.settings
    await admit(url, NetPolicy(settings.webhook_networks, settings.webhook_port_numbers))


def _with_secret(endpoint: endpoints.Endpoint, secret: str) -> WebhookWithSecret:
    return WebhookWithSecret(**Webhook.of(endpoint).model_dump(), secret=secret)
