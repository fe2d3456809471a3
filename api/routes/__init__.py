"""One file a topic, each with its router; `ROUTERS` are all of them."""

from fastapi import APIRouter

from api.routes import health

ROUTERS: tuple[APIRouter, ...] = (health.router,)
