"""What a program asks for: requests, how they are to be treated, and rows made into requests."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar

from pressroom.client.errors import BadReference
from pressroom.client.records import Job

CHAT = "/v1/chat/completions"
MAX_JOBS = 1000
"""In one request to the API."""

_T = TypeVar("_T")


class Treatment(TypedDict, total=False):
    """How jobs are treated. Times need a UTC offset; smaller priorities are sooner, within the project's class."""

    priority_class: Literal["interactive", "normal", "bulk"]
    priority: int
    run_at: datetime
    deadline: datetime
    max_attempts: int
    tags: Sequence[str]
    metadata: Mapping[str, str]
    depends_on: Sequence["Job | str"]
    on_dependency_failure: Literal["fail", "run"]


@dataclass(frozen=True, slots=True)
class JobRequest:
    """One request to a model. `depends_on` are jobs, their ids, or `custom_id`s of the same call."""

    url: str
    body: Mapping[str, Any]
    custom_id: str | None = None
    depends_on: Sequence["Job | str"] = ()

    @classmethod
    def of(cls, given: "Asked") -> "JobRequest":
        """A request as it is, or a line of a batch file. Raises BadReference."""
        if isinstance(given, JobRequest):
            return given
        if not isinstance(given.get("url"), str) or not isinstance(given.get("body"), Mapping):
            raise BadReference(
                f"a request needs `url` and `body`, as a line of a batch file has them (got {sorted(given)})"
            )
        return cls(given["url"], given["body"], given.get("custom_id"), given.get("depends_on") or ())


Asked: TypeAlias = JobRequest | Mapping[str, Any]
"""A request, or a line of a batch file."""

Row: TypeAlias = Mapping[str, Any] | str
"""What a template is filled with: names with values, or one word that is called `row`."""

Template: TypeAlias = str | Callable[[Any], str | Mapping[str, Any]]
"""Words with `{name}`s, or a function that makes the words, or the whole body, of a row."""


def wire_job(request: JobRequest, treatment: Treatment) -> dict[str, Any]:
    """A job as the API takes it."""
    wire: dict[str, Any] = {"url": request.url, "body": dict(request.body)}
    if request.custom_id is not None:
        wire["custom_id"] = request.custom_id
    for name, value in treatment.items():
        wire["class" if name == "priority_class" else name] = _wire_value(name, value)
    needs = [*request.depends_on, *treatment.get("depends_on", ())]
    if needs:
        wire["depends_on"] = [job_id(one) for one in needs]
    return wire


def job_id(job: "Job | str") -> str:
    """A job's id. Raises BadReference for what cannot be one."""
    found = job.id if isinstance(job, Job) else job
    if not isinstance(found, str) or not found or "/" in found:
        raise BadReference(f"not a job, nor the id of one: {found!r}")
    return found


def mapped(
    template: Template, rows: Iterable[Row], *, model: str, url: str, body: Mapping[str, Any]
) -> list[JobRequest]:
    """A request for every row. Words become a chat's message, a response's input, or a picture's prompt."""
    return [JobRequest(url, _body_of(_fill(template, row), model, url, body)) for row in rows]


def chunks(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Lists of at most `size`."""
    stream = iter(items)
    while chunk := list(islice(stream, size)):
        yield chunk


def batch_line(request: JobRequest, number: int) -> bytes:
    """A line of a batch file; a request without a name is called by its place."""
    name = request.custom_id or f"request-{number}"
    line = {"custom_id": name, "method": "POST", "url": request.url, "body": dict(request.body)}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _fill(template: Template, row: Row) -> str | Mapping[str, Any]:
    if not isinstance(template, str):
        return template(row)
    names = {"row": row, **(row if isinstance(row, Mapping) else {})}
    try:
        return template.format_map(names)
    except (KeyError, IndexError, ValueError) as error:
        raise BadReference(
            f"the template cannot be filled from a row with {sorted(names)} ({error!r}): write {{{{ and }}}} for braces"
        ) from None


def _body_of(made: str | Mapping[str, Any], model: str, url: str, common: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(made, str):
        return {"model": model, **common, **made}
    if url == CHAT:
        return {"model": model, **common, "messages": [*common.get("messages", ()), {"role": "user", "content": made}]}
    return {"model": model, **common, "prompt" if url.startswith("/v1/images/") else "input": made}


def _wire_value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise BadReference(f"{name} has no UTC offset: {value!r}; give one, as datetime.now(UTC)")
        return value.isoformat()
    if name == "metadata":
        return dict(value)
    return value if isinstance(value, str | int) or name == "depends_on" else list(value)
