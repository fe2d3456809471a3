"""Whether this process lives, and whether it can serve."""

from fastapi import APIRouter
from sqlalchemy import text

from api.services import Services, Serving
from api.threads import in_thread

router = APIRouter(tags=["health"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives. Asks nobody."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz")
async def readyz(services: Serving) -> dict[str, str]:
    """PostgreSQL and Redis answer, so that requests can be served; 503 when they do not."""
    await in_thread(_ask_database, services)
    await services.redis.echo("ready")
    return {"status": "ok"}


def _ask_database(services: Services) -> None:
    with services.database.connect() as conn:
        conn.execute(text("SELECT 1"))
