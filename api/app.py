"""The application: routers, errors and manners, put together."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI

from api.errors import add_errors, translate
from api.routes import ROUTERS
from api.services import Services

_NOTE_USED_SECONDS = 60.0

_log = logging.getLogger("pressroom.api")


def create_app(services: Services) -> FastAPI:
    """The whole API on these services, which it closes when it ends."""
    app = FastAPI(title="Pressroom", lifespan=_life, docs_url=None, redoc_url=None)
    app.state.services = services
    add_errors(app)
    for router in ROUTERS:
        app.include_router(router)
    return app


@contextlib.asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    noting = asyncio.create_task(_note_keys(services))
    try:
        yield
    finally:
        noting.cancel()
        await _note_once(services)
        await services.close()


async def _note_keys(services: Services) -> None:
    while True:
        await asyncio.sleep(_NOTE_USED_SECONDS)
        await _note_once(services)


async def _note_once(services: Services) -> None:
    try:
        await services.keyring.note_used()
    except Exception as error:
        if translate(error) is None:
            raise
        _log.warning("api.key_use_not_noted", extra={"error": type(error).__name__})
