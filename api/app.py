"""The application: routers, errors and manners, put together."""

from fastapi import FastAPI


def create_app() -> FastAPI:
    """The whole API, on no servers yet."""
    app = FastAPI(title="Pressroom", docs_url=None, redoc_url=None)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app
