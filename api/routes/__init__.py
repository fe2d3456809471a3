"""One file a topic, each with its router; `ROUTERS` are all of them."""

from fastapi import APIRouter

from api.routes import (
    artifacts,
    batches,
    documents,
    events,
    files,
    health,
    job_changes,
    jobs,
    keys,
    models,
    money,
    overview,
    sync,
    webhooks,
)

ROUTERS: tuple[APIRouter, ...] = (
    artifacts.router,
    batches.router,
    documents.router,
    events.router,
    files.router,
    health.router,
    job_changes.router,
    jobs.router,
    keys.router,
    models.router,
    money.router,
    overview.router,
    sync.router,
    webhooks.router,
)
