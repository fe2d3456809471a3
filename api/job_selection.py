"""Which jobs a request is about: query parameters of lists, and bodies of calls by filter."""

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from api.auth import Caller
from api.errors import ApiError
from api.schemas.jobs import JobFilter, State, Tag
from api.schemas.values import GivenMoment
from api.wire_ids import after_id
from models import JobState
from pressroom.errors import InvalidInput, Problem
from pressroom.ids import parse_id
from pressroom.jobs.queries import find_project
from pressroom.jobs.selection import Selection

MAX_PAGE = 1000

_Moment = Annotated[GivenMoment | None, Field(description="RFC 3339 with a UTC offset.")]


class PageQuery(BaseModel):
    """The parameters of a list of jobs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Annotated[list[State], Field(description="May be repeated.", default_factory=list)]
    model: str | None = None
    batch_id: str | None = None
    tag: Tag | None = None
    error_code: str | None = None
    url: str | None = None
    custom_id: Annotated[str | None, Field(description="Of a job outside batches, or of `batch_id`'s.")] = None
    created_after: _Moment = None
    created_before: _Moment = None
    finished_after: _Moment = None
    finished_before: _Moment = None
    project: Annotated[str | None, Field(description="Another project's, by name: for operators.")] = None
    order: Literal["asc", "desc"] = "desc"
    after: Annotated[str | None, Field(description="The last id of the page before.")] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 20

    @property
    def start(self) -> UUID | None:
        """Where the page begins. Raises InvalidInput."""
        return after_id("job", self.after)


def list_selection(conn: Connection, caller: Caller, query: PageQuery) -> Selection:
    """What a list shows. Raises InvalidInput, NotFound, and ApiError for another project if not an operator asks."""
    project_id = caller.project_id
    if query.project is not None:
        if not caller.is_operator:
            message = (
                "this key sees its own project only: leave project out, or use an admin key of the project default"
            )
            raise ApiError(403, code="missing_scope", message=message, param="project")
        project_id = find_project(conn, query.project)
    return Selection(
        project_id=project_id,
        states=[JobState(state) for state in query.state],
        batch_id=parse_id("batch", query.batch_id) if query.batch_id is not None else None,
        model=query.model,
        error_code=query.error_code,
        created_from=query.created_after,
        created_until=query.created_before,
        finished_from=query.finished_after,
        finished_until=query.finished_before,
        url=query.url,
        tag=query.tag,
        custom_id=query.custom_id,
    )


def filter_selection(caller: Caller, given: JobFilter) -> Selection:
    """What a call by filter is about. Everything at once must be asked for, not left over. Raises InvalidInput."""
    conditions = given.model_dump(exclude={"all", "dry_run", "priority_class", "priority"}, exclude_none=True)
    if not conditions and not given.all:
        remedy = 'Give ids or another condition, or "all": true for everything of the project'
        raise InvalidInput([Problem("all", "nothing says which jobs", remedy)])
    if conditions and given.all:
        raise InvalidInput([Problem("all", "stands beside conditions", "Leave it out, or them")])
    return Selection(
        project_id=caller.project_id,
        ids=_ids(given.ids or ()),
        states=[JobState(state) for state in given.states or ()],
        batch_id=parse_id("batch", given.batch_id) if given.batch_id is not None else None,
        model=given.model,
        error_code=given.error_code,
        created_from=given.created_after,
        created_until=given.created_before,
        finished_from=given.finished_after,
        finished_until=given.finished_before,
        url=given.url,
        tag=given.tag,
        custom_id=given.custom_id,
    )


def _ids(shown: Sequence[str]) -> list[UUID]:
    return [parse_id("job", one) for one in shown]
