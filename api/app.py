"""The application: routers, errors and manners, put together."""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import AsyncIterator
from importlib.metadata import version
from types import FrameType

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from api.bounds import BodyBounds, Bounds
from api.errors import add_errors, translate
from api.gate import Gate
from api.manners import Answered, Manners
from api.openapi import describe
from api.routes import ROUTERS
from api.services import Services
from pressroom.settings import Settings

_NOTE_USED_SECONDS = 60.0
_EXPOSED_HEADERS = (
    "x-request-id",
    "retry-after",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
)

_log = logging.getLogger("pressroom.api")


def create_app(services: Services) -> FastAPI:
    """The whole API on these services, which it closes when it ends."""
    app = FastAPI(title="Pressroom", version=version("pressroom"), lifespan=_life, docs_url=None, redoc_url=None)
    app.state.services = services
    app.state.routes = [route for router in ROUTERS for route in router.routes]
    add_errors(app)
    for router in ROUTERS:
        app.include_router(router)
    _add_layers(app, services)
    describe(app)
    return app


def _add_layers(app: FastAPI, services: Services) -> None:
    """The last that is added is the outermost."""
    settings = services.settings
    bounds = BodyBounds(settings.api_max_upload_bytes, settings.api_max_body_bytes, settings.api_max_json_depth)
    app.add_middleware(Bounds, bounds=bounds)
    app.add_middleware(Gate, services=services)
    app.add_middleware(Answered)
    _add_cors(app, settings)
    app.add_middleware(Manners)


def _add_cors(app: FastAPI, settings: Settings) -> None:
    origins = settings.api_cors_origins.split()
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=list(_EXPOSED_HEADERS),
        )


@contextlib.asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    _drain_on_signals(services)
    noting = asyncio.create_task(_note_keys(services))
    services.waiters.start()
    try:
        yield
    finally:
        noting.cancel()
        await _note_once(services)
        await services.close()


def _drain_on_signals(services: Services) -> None:
    """Hear of a stop before the server does, which waits for answers that might take minutes."""
    if threading.current_thread() is not threading.main_thread():
        return  # signals are the main thread's
    loop = asyncio.get_running_loop()

    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def hear(heard: int, frame: FrameType | None, before: object = before) -> None:
            loop.call_soon_threadsafe(services.draining.set)
            if callable(before):
                before(heard, frame)

        signal.signal(number, hear)


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
