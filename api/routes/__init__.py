"""One file a topic, each with its router; `ROUTERS` are all of them."""

from fastapi import APIRouter

from api.routes import documents, health, sync

ROUTERS: tuple[APIRouter, ...] = (documents.router, health.router, sync.router)
