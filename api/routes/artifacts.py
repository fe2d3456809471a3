"""`/v1/artifacts`: pictures and their thumbnails, by the jobs that made them."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import RedirectResponse

from api.auth import Caller, Reads
from api.content import StoredContent, stored_response
from api.job_views import artifact_view
from api.schemas.artifacts import Artifact, ArtifactPage
from api.services import Services, Serving
from api.threads import in_thread
from api.wire_ids import after_id, path_id
from models import ArtifactKind
from pressroom.ids import parse_id, show_id
from pressroom.jobs.artifacts import ArtifactPlace, StoredArtifact, find_artifact, find_thumbnail, list_artifacts

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"])

MAX_PAGE = 1000
LINK_SECONDS = 300
"""How long the address of a redirect is good for."""

_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif"}

IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", description="ETags that the client has.")]
Range = Annotated[str | None, Header(alias="Range", description="One range of bytes: `bytes=0-1023`.")]
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "The whole."},
    206: {"content": {"application/octet-stream": {}}, "description": "The range."},
    304: {"description": "The client has it already."},
    307: {"description": "It is at the address in `Location`, for some minutes."},
    416: {"description": "The range is beyond the end."},
}


@router.get("", summary="List artifacts")
async def get_artifacts(
    services: Serving,
    caller: Reads,
    *,
    job_id: Annotated[str | None, Query(description="Of this job.")] = None,
    batch_id: Annotated[str | None, Query(description="Of all jobs of this batch.")] = None,
    kind: Annotated[ArtifactKind | None, Query(description="Only these.")] = None,
    after: Annotated[str | None, Query(description="The last id of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> ArtifactPage:
    """Those of a job, or of a batch's jobs, by job, kind and position."""
    place = ArtifactPlace(
        job_id=parse_id("job", job_id) if job_id is not None else None,
        batch_id=parse_id("batch", batch_id) if batch_id is not None else None,
        kind=kind,
        after=after_id("art", after),
    )

    def work() -> ArtifactPage:
        with services.database.connect() as conn:
            rows = list_artifacts(conn, caller.project_id, place, limit=limit + 1)
        data = [artifact_view(row) for row in rows[:limit]]
        first, last = (data[0].id, data[-1].id) if data else (None, None)
        return ArtifactPage(data=data, first_id=first, last_id=last, has_more=len(rows) > limit)

    return await in_thread(work)


@router.get("/{artifact_id}", summary="Look at an artifact")
async def get_artifact(artifact_id: str, services: Serving, caller: Reads) -> Artifact:
    """What is known of it."""
    return artifact_view(await in_thread(_find, services, caller, artifact_id))


@router.get("/{artifact_id}/content", summary="Read an artifact", response_class=Response, responses=_CONTENT)
async def get_content(
    artifact_id: str,
    services: Serving,
    caller: Reads,
    *,
    wanted_range: Range = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The object itself, whole or a range. Where clients can reach the store, they are sent there."""
    found = await in_thread(_find, services, caller, artifact_id)
    return await _content(services, found, wanted_range, if_none_match)


@router.get("/{artifact_id}/thumbnail", summary="Read a thumbnail", response_class=Response, responses=_CONTENT)
async def get_thumbnail(
    artifact_id: str,
    services: Serving,
    caller: Reads,
    *,
    wanted_range: Range = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The small one of a picture."""
    found = await in_thread(_find_thumbnail, services, caller, artifact_id)
    return await _content(services, found, wanted_range, if_none_match)


async def _content(services: Services, found: StoredArtifact, wanted: str | None, known: str | None) -> Response:
    # What is stored under an id never changes.
    etag = f'"{found.sha256}"'
    headers = {"ETag": etag, "Cache-Control": "private, max-age=31536000, immutable"}
    if known is not None and (known.strip() == "*" or etag in (one.strip() for one in known.split(","))):
        return Response(status_code=304, headers=headers)
    if services.settings.redirects_to_store:
        url = services.store.presigned_url(found.key, expires_seconds=LINK_SECONDS)
        return RedirectResponse(url, 307, {"Cache-Control": "no-store"})
    # Asked before anything is sent: a store that is away is a 503 and no answer that breaks off.
    await in_thread(services.store.head, found.key)
    name = f"{show_id('art', found.id)}{_SUFFIXES.get(found.content_type, '')}"
    content = StoredContent(found.key, found.byte_size, name, found.content_type)
    response = stored_response(services.store, content, wanted)
    response.headers.update({**headers, "X-Content-Type-Options": "nosniff"})
    return response


def _find(services: Services, caller: Caller, artifact_id: str) -> StoredArtifact:
    with services.database.connect() as conn:
        return find_artifact(conn, caller.project_id, path_id("art", artifact_id))


def _find_thumbnail(services: Services, caller: Caller, artifact_id: str) -> StoredArtifact:
    with services.database.connect() as conn:
        return find_thumbnail(conn, caller.project_id, path_id("art", artifact_id))
