"""What the API tells of, as typed records. `raw` is the object as it came, with whatever a newer server adds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias, TypeVar

from pressroom.client.drawing import card

JobState: TypeAlias = Literal["blocked", "queued", "leased", "running", "succeeded", "failed", "cancelled", "expired"]
BatchStatus: TypeAlias = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
FINAL_STATES: frozenset[str] = frozenset({"succeeded", "failed", "cancelled", "expired"})
FINAL_STATUSES: frozenset[str] = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class Artifact:
    """A picture in the store, with the address of its bytes and of a small version of it."""

    id: str
    kind: str
    content_type: str
    size_bytes: int
    position: int
    width: int | None
    height: int | None
    sha256: str
    content_path: str
    thumbnail_path: str | None
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Artifact":
        """From the wire."""
        return cls(
            id=raw["id"],
            kind=raw["kind"],
            content_type=raw["content_type"],
            size_bytes=raw["size_bytes"],
            position=raw["position"],
            width=raw["width"],
            height=raw["height"],
            sha256=raw["sha256"],
            content_path=_path(raw["content_url"]),
            thumbnail_path=_path(raw["thumbnail_url"]) if raw.get("thumbnail_url") else None,
            raw=raw,
        )

    @property
    def suffix(self) -> str:
        """`.png`, by its type."""
        return "." + self.content_type.partition("/")[2].partition("+")[0].replace("jpeg", "jpg")


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job did not succeed: the provider's own words, if it came to a call."""

    code: str | None
    message: str | None
    param: str | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.code else self.message or "no reason was given"


@dataclass(frozen=True, slots=True)
class Waits:
    """What a job that has not started waits for."""

    reason: str
    message: str
    jobs_ahead: int | None
    estimated_start: datetime | None


@dataclass(frozen=True, slots=True)
class Job:
    """One request to one model, and what became of it so far. `artifacts` are there when it was asked for by itself."""

    id: str
    state: JobState
    url: str
    model: str
    is_sandbox: bool
    custom_id: str | None
    batch_id: str | None
    priority_class: str
    priority: int
    tags: Sequence[str]
    metadata: Mapping[str, str]
    est_cost_usd: Decimal
    cost_usd: Decimal | None
    at_risk_usd: Decimal | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    waits: Waits | None
    error: JobError | None
    artifacts: Sequence[Artifact]
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Job":
        """From the wire: a job of a list, or with all its details."""
        return cls(
            id=raw["id"],
            state=raw["state"],
            url=raw["url"],
            model=raw["model"],
            is_sandbox=raw["sandbox"],
            custom_id=raw["custom_id"],
            batch_id=raw["batch_id"],
            priority_class=raw["class"],
            priority=raw["priority"],
            tags=tuple(raw["tags"]),
            metadata=dict(raw["metadata"]),
            est_cost_usd=Decimal(raw["est_cost_usd"]),
            cost_usd=_usd(raw["cost_usd"]),
            at_risk_usd=_usd(raw["at_risk_usd"]),
            created_at=datetime.fromisoformat(raw["created_at"]),
            started_at=_moment(raw["started_at"]),
            finished_at=_moment(raw["finished_at"]),
            waits=_waits(raw.get("waits")),
            error=_error(raw),
            artifacts=tuple(Artifact.of(one) for one in raw.get("artifacts") or ()),
            raw=raw,
        )

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINAL_STATES

    @property
    def has_succeeded(self) -> bool:
        """Whether there is an answer."""
        return self.state == "succeeded"

    @property
    def images(self) -> Sequence[Artifact]:
        """Its pictures, in order."""
        return sorted((one for one in self.artifacts if one.kind == "image"), key=lambda one: one.position)

    def _repr_html_(self) -> str:
        facts = [
            ("model", self.model),
            ("custom id", self.custom_id),
            ("batch", self.batch_id),
            ("waits for", self.waits.message if self.waits else None),
            ("error", self.error),
            ("cost", f"${self.cost_usd}" if self.cost_usd is not None else f"at most ${self.est_cost_usd}"),
            ("at risk", f"${self.at_risk_usd}" if self.at_risk_usd else None),
            ("pictures", len(self.images) or None),
            ("sandbox", "the answer is made up, and nothing was billed" if self.is_sandbox else None),
        ]
        return card(self.id, self.state, facts)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An uploaded or written file."""

    id: str
    filename: str
    purpose: str
    size_bytes: int
    created_at: datetime
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "StoredFile":
        """From the wire."""
        created_at = datetime.fromtimestamp(raw["created_at"], UTC)
        return cls(raw["id"], raw["filename"], raw["purpose"], raw["bytes"], created_at, raw)


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs submitted together as one file. `failed` counts all that ended without an answer."""

    id: str
    status: BatchStatus
    total: int
    completed: int
    failed: int
    input_file_id: str | None
    output_file_id: str | None
    error_file_id: str | None
    metadata: Mapping[str, str]
    problems: Sequence[str]
    created_at: datetime
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Batch":
        """From the wire."""
        counts = raw.get("request_counts") or {}
        problems = (raw.get("errors") or {}).get("data") or ()
        return cls(
            id=raw["id"],
            status=raw["status"],
            total=counts.get("total", 0),
            completed=counts.get("completed", 0),
            failed=counts.get("failed", 0),
            input_file_id=raw.get("input_file_id"),
            output_file_id=raw.get("output_file_id"),
            error_file_id=raw.get("error_file_id"),
            metadata=dict(raw.get("metadata") or {}),
            problems=tuple(_problem(one) for one in problems),
            created_at=datetime.fromtimestamp(raw["created_at"], UTC),
            raw=raw,
        )

    @property
    def has_ended(self) -> bool:
        """Whether all its jobs have, and its files are written."""
        return self.status in FINAL_STATUSES

    def _repr_html_(self) -> str:
        facts = [
            ("jobs", f"{self.completed + self.failed:,} of {self.total:,} done, {self.failed:,} without an answer"),
            ("problems", "; ".join(self.problems) or None),
            ("output file", self.output_file_id),
            ("error file", self.error_file_id),
        ]
        return card(self.id, self.status, facts)


Work = TypeVar("Work", Job, Batch)
"""What can be waited for and cancelled."""


def _path(url: str) -> str:
    """Below the API's address: a server behind a proxy may not know its own."""
    _, found, rest = url.partition("/v1/")
    return f"/v1/{rest}" if found else url


def _usd(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _waits(raw: Mapping[str, Any] | None) -> Waits | None:
    if raw is None:
        return None
    return Waits(raw["reason"], raw["message"], raw.get("jobs_ahead"), _moment(raw.get("estimated_start")))


def _error(raw: Mapping[str, Any]) -> JobError | None:
    told = raw.get("error")
    if told is not None:
        return JobError(told.get("code"), told.get("message"), told.get("param"))
    return JobError(raw["error_code"], None) if raw.get("error_code") else None


def _problem(raw: Mapping[str, Any]) -> str:
    line = f"line {raw['line']}: " if raw.get("line") else ""
    return f"{line}{raw.get('message')}"
