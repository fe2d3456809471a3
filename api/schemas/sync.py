"""Synchronous calls on the wire: the provider's own requests and answers, and what is said when a job takes long."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

_CHAT: dict[str, JsonValue] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Name three typefaces."}],
    "max_tokens": 60,
}
_IMAGE: dict[str, JsonValue] = {"model": "dall-e-2", "prompt": "a printing press, woodcut", "size": "256x256", "n": 1}


class _AsProvided(BaseModel):
    """Fields that are not named here are passed on as they are; what a model does not take is refused by name."""

    model_config = ConfigDict(extra="allow")


class ChatRequest(_AsProvided):
    """A chat completion, as the provider takes it."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_CHAT]})

    model: str
    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool | None = Field(None, description="The answer in chunks, once it is complete.")
    stream_options: dict[str, bool] | None = Field(None, description="`include_usage` adds a last chunk with it.")


class ImageRequest(_AsProvided):
    """Pictures from a prompt, as the provider takes it."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_IMAGE]})

    model: str
    prompt: str = Field(min_length=1)
    n: int | None = Field(None, ge=1, le=10)
    size: str | None = None
    response_format: Literal["url", "b64_json"] | None = Field(
        None, description="A `url` is good for an hour; the picture stays, as an artifact of the job."
    )


class AnyRequest(_AsProvided):
    """A request as the provider takes it at this endpoint."""

    model: str


class ProviderAnswer(_AsProvided):
    """The provider's own answer."""


class ProviderError(BaseModel):
    """An error: the provider's own, or one of ours, which has `docs` too."""

    error: dict[str, Any] = Field(
        examples=[{"message": "Invalid prompt", "type": "invalid_request_error", "param": "prompt", "code": None}]
    )


class PendingJob(BaseModel):
    """A job that has not ended within the wait; also at `Location`."""

    id: str = Field(examples=["job_01993f2c6ad07c2f9a3e5d8b1c0f4e21"])
    object: Literal["job"] = "job"
    job_url: str = Field(description="What became of it.", examples=["/v1/jobs/job_01993f2c6ad07c2f9a3e5d8b1c0f4e21"])
    result_url: str = Field(
        description="The provider's answer, once it is there.",
        examples=["/v1/jobs/job_01993f2c6ad07c2f9a3e5d8b1c0f4e21/result"],
    )
