"""One file a topic, each with its router; `ROUTERS` are all of them."""

from fastapi import APIRouter

from api.routes import batches, documents, events, files, health, keys, models, money, overview, sync, webhooks

ROUTERS: tuple[APIRouter, ...] = (
    batches.router,
    documents.router,
    events.router,
    files.router,
    health.router,
    keys.router,
    models.router,
    money.router,
    overview.router,
    sync.router,
    webhooks.router,
)
