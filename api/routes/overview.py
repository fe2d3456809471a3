"""How things stand: the caller's project, and the deployments that its jobs run on."""

from fastapi import APIRouter

from api.auth import Caller, Reads
from api.schemas.overview import DeploymentList, Overview, show_deployment, show_overview
from api.services import Services, Serving
from api.threads import in_thread
from pressroom.jobs.overview import DeploymentView, overview
from pressroom.jobs.own_work import OwnWork, own_work

router = APIRouter(prefix="/v1", tags=["overview"])


@router.get("/overview")
async def show(caller: Reads, services: Serving) -> Overview:
    """What the project has waiting and running, what it spent today, and where its jobs run.

    For admin keys of project default, all deployments and their pools: use by all projects and by others on the
    account, the provider's level, stored burst, 429s, what waits and how long it will take.
    """
    work, views = await in_thread(_look, services, caller)
    return show_overview(work, views, whole=caller.is_operator)


@router.get("/deployments")
async def list_deployments(caller: Reads, services: Serving) -> DeploymentList:
    """Every deployment: its limits, what stops it, and how many of the project's jobs wait for it.

    For admin keys of the project default, its pool too, as on /v1/overview.
    """
    work, views = await in_thread(_look, services, caller)
    whole = caller.is_operator
    return DeploymentList(data=[show_deployment(view, work.waiting_by_deployment, whole=whole) for view in views])


def _look(services: Services, caller: Caller) -> tuple[OwnWork, list[DeploymentView]]:
    with services.database.connect() as conn:
        return own_work(conn, caller.project_id), overview(conn, services.limiter.status)
