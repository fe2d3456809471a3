"""Deployments and stakes of a submission, made as its models turn up."""

from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import Connection, Engine

from models import PriorityClass
from pressroom.catalog.load import catalog
from pressroom.jobs.flows import ensure_stake
from pressroom.jobs.resolve import DeploymentRef, resolve_deployments
from pressroom.jobs.route import find_share
from pressroom.jobs.share import Share
from pressroom.settings import OPENAI_BASE_URL

_OFFICIAL_HOST = urlsplit(OPENAI_BASE_URL).hostname


class ResolvedAsNeeded(dict[str, DeploymentRef | Share]):
    """Deployments by model, or shares where a route names several; asking for one that is not there makes it.

    It comes with its pool and stake.

    Each is made in a short transaction of its own. Within the batch's, their new rows would stay locked until its
    end, in the order of the file: two batches could wait for each other. A refused batch may leave a deployment
    behind, which costs nothing.
    """

    def __init__(self, engine: Engine, base_url: str, *, project_id: UUID, priority_class: PriorityClass) -> None:
        super().__init__()
        self._engine = engine
        self._base_url = base_url
        self._project_id = project_id
        self._priority_class = priority_class

    def __missing__(self, model: str) -> DeploymentRef | Share:
        with self._engine.begin() as conn:
            place = find_share(conn, self._project_id, model) or self._configured(conn, model)
            for pool_id in [ref.pool_id for ref in place.refs] if isinstance(place, Share) else [place.pool_id]:
                ensure_stake(conn, pool_id=pool_id, project_id=self._project_id, priority_class=self._priority_class)
        self[model] = place
        return place

    def _configured(self, conn: Connection, model: str) -> DeploymentRef:
        """The deployment at the configured provider."""
        pool = catalog().pool_of(model)
        # The catalog's limits are those of one provider's accounts; any other endpoint tells its own, or has none.
        official = urlsplit(self._base_url).hostname == _OFFICIAL_HOST
        limits = {pool: catalog().limits_for(model)} if official else {}
        return resolve_deployments(conn, self._base_url, {model: pool}, limits)[model]
