"""`/v1/artifacts` on the wire."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.values import Moment


class Artifact(BaseModel):
    """A stored object. Its content is at `content_url`, for whoever has a key of its project."""

    id: str = Field(examples=["art_01993f2c6ad07c2f9a3e5d8b1c0f4e21"])
    object: Literal["artifact"] = "artifact"
    kind: Literal["image", "thumbnail", "input", "output"]
    job_id: str | None
    batch_id: str | None
    position: int = Field(description="Of several of a job: which.")
    content_type: str
    size_bytes: int
    sha256: str
    width: int | None
    height: int | None
    content_url: str
    thumbnail_url: str | None
    created_at: Moment


class ArtifactPage(BaseModel):
    """A page of artifacts. `after=<last_id>` gives the next one."""

    object: Literal["list"] = "list"
    data: Sequence[Artifact]
    first_id: str | None
    last_id: str | None
    has_more: bool
