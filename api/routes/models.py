"""`/v1/models`: what this project's jobs may ask for."""

from datetime import UTC, date, datetime

from fastapi import APIRouter

from api.auth import Reads
from api.errors import ApiError
from api.schemas.models import ModelList, ModelObject, model_object
from api.services import Serving
from api.threads import in_thread
from pressroom.errors import NotFound
from pressroom.jobs.offered import OfferedModel, offered_model, offered_models

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", summary="List models")
async def get_models(services: Serving, caller: Reads) -> ModelList:
    """Of the catalog, the routes and the deployments: those with a price that an endpoint still serves."""

    def work() -> list[OfferedModel]:
        with services.database.connect() as conn:
            return offered_models(conn, caller.project_id, base_url=services.settings.provider, on=_today())

    return ModelList(data=[model_object(model) for model in await in_thread(work)])


@router.get("/{model:path}", summary="Look at a model")
async def get_model(model: str, services: Serving, caller: Reads) -> ModelObject:
    """One of those that are listed."""

    def work() -> OfferedModel:
        with services.database.connect() as conn:
            return offered_model(conn, caller.project_id, model, base_url=services.settings.provider, on=_today())

    try:
        return model_object(await in_thread(work))
    except NotFound as error:
        raise ApiError(404, code="model_not_found", message=str(error), param="model") from None


def _today() -> date:
    return datetime.now(UTC).date()
