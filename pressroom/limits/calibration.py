"""What calls take of tokens over what was estimated: learned per deployment, endpoint, kind of job and project.

The limiter is asked for the expected tokens of a call instead of the estimate, which counts every output token that a
request allows. Money is never touched by this: budgets reserve the upper bound.

Arithmetic, and the reading and writing of the table `calibrations`. A process keeps its part in jobs/token_book.py.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, text

Kind = Literal["images", "structured", "plain"]
Key = tuple[int, str, str]
"""Deployment id, endpoint path, kind of job."""

ALPHA = 0.02
"""Weight of one new call in the moving means."""
PRIOR_RATIO, PRIOR_CALLS = 1.0, 10.0
LEAST_RATIO, MOST_RATIO = 0.01, 2.0

_BINS = 32
_BINS_FROM, _BINS_TO = 0.01, 4.0
_MOST_WEIGHT = 1 / ALPHA
_BIN_FORGETS = 0.002


@dataclass(frozen=True, slots=True)
class Calibration:
    """What calls of one kind take. `ratio` and `p95` are actual over estimated tokens; 0 samples say nothing."""

    ratio: float = PRIOR_RATIO
    p95: float = PRIOR_RATIO
    samples: int = 0
    output_tokens_mean: float = 0.0


@dataclass(slots=True)
class Seen:
    """Calls of one key since the last flush, added up."""

    calls: int = 0
    estimated: float = 0.0
    actual: float = 0.0
    output_tokens: float = 0.0
    bins: list[float] = field(default_factory=lambda: [0.0] * _BINS)

    def add(self, estimated: float, actual: float, output_tokens: float) -> None:
        """One call that succeeded; `estimated` is above 0."""
        self.calls += 1
        self.estimated += estimated
        self.actual += actual
        self.output_tokens += output_tokens
        self.bins[_bin(actual / estimated)] += 1.0

    def include(self, other: "Seen") -> None:
        """Calls that were added up elsewhere."""
        self.calls += other.calls
        self.estimated += other.estimated
        self.actual += other.actual
        self.output_tokens += other.output_tokens
        self.bins = [own + one for own, one in zip(self.bins, other.bins, strict=True)]


@dataclass(frozen=True, slots=True)
class Learned:
    """A row of the table: moving means and the decayed counts of ratios."""

    ratio: float = PRIOR_RATIO
    output_tokens_mean: float = 0.0
    samples: int = 0
    bins: Sequence[float] = ()

    def merged(self, seen: Seen) -> "Learned":
        """With what was seen since, by weight: many calls of many processes come out as one after the other would."""
        if seen.calls == 0:
            return self
        share = _share(self.samples, seen.calls)
        mean_share = seen.calls / (min(self.samples, _MOST_WEIGHT) + seen.calls)
        kept = (1 - _BIN_FORGETS) ** seen.calls
        old = self.bins or [0.0] * _BINS
        return Learned(
            ratio=self.ratio + share * (seen.actual / seen.estimated - self.ratio),
            output_tokens_mean=self.output_tokens_mean
            + mean_share * (seen.output_tokens / seen.calls - self.output_tokens_mean),
            samples=self.samples + seen.calls,
            bins=[kept * was + now for was, now in zip(old, seen.bins, strict=True)],
        )

    def calibration(self) -> Calibration:
        """As the estimate of a file wants it."""
        return Calibration(clamped(self.ratio), _quantile(self.bins, 0.95), self.samples, self.output_tokens_mean)


def job_kind(body: Mapping[str, Any]) -> Kind:
    """What sort of request it is, as its tokens are concerned: pictures in, an answer by a schema, or neither."""
    messages = body.get("messages")
    if isinstance(messages, list):
        for message in messages:
            content = message.get("content") if isinstance(message, dict) else None
            if isinstance(content, list) and any(
                isinstance(part, dict) and part.get("type") == "image_url" for part in content
            ):
                return "images"
    if "images" in body or "image" in body:
        return "images"
    wanted = body.get("response_format")
    if body.get("tools") or (isinstance(wanted, dict) and wanted.get("type") in ("json_schema", "json_object")):
        return "structured"
    return "plain"


def expected_ratios(conn: Connection) -> Mapping[Key, Calibration]:
    """What is known of each deployment, endpoint and kind of job, all projects together."""
    rows = conn.execute(text(f"{_COLUMNS} WHERE project_id IS NULL"))
    return {(row.deployment_id, row.url, row.kind): _read(row).calibration() for row in rows}


def read_learned(conn: Connection, deployments: Sequence[int]) -> dict[tuple[Key, UUID | None], Learned]:
    """Every row of these deployments."""
    query = text(f"{_COLUMNS} WHERE deployment_id = ANY(:deployments)")
    rows = conn.execute(query, {"deployments": list(deployments)})
    return {((row.deployment_id, row.url, row.kind), row.project_id): _read(row) for row in rows}


def merge_seen(conn: Connection, seen: Mapping[tuple[Key, UUID | None], Seen]) -> None:
    """Add what this process saw to the rows, which are locked in order of their id.

    Also moves `deployments.token_ratio`, by which dispatch expects a job's tokens.
    """
    keys = sorted(seen, key=lambda one: (one[0], str(one[1] or "")))
    if not keys:
        return
    bound: dict[str, Any] = {
        "deployments": [key[0] for key, _ in keys],
        "urls": [key[1] for key, _ in keys],
        "kinds": [key[2] for key, _ in keys],
        "projects": [project for _, project in keys],
    }
    conn.execute(_MAKE, bound | {"ratio": PRIOR_RATIO, "bins": [0.0] * _BINS})
    rows = conn.execute(_LOCK, bound).all()
    merged = {}
    for row in rows:
        name = ((row.deployment_id, row.url, row.kind), row.project_id)
        merged[name] = _read(row).merged(seen[name])
    conn.execute(
        _UPDATE,
        [
            {
                "id": row.id,
                "ratio": now.ratio,
                "bins": list(now.bins),
                "output": now.output_tokens_mean,
                "samples": now.samples,
            }
            for row, now in zip(rows, merged.values(), strict=True)
        ],
    )
    for deployment in sorted({key[0] for key, _ in keys}):
        _move_token_ratio(
            conn, deployment, [one for (key, project), one in seen.items() if project is None and key[0] == deployment]
        )


def clamped(ratio: float) -> float:
    """Within what is believed of a ratio."""
    return min(MOST_RATIO, max(LEAST_RATIO, ratio))


def _move_token_ratio(conn: Connection, deployment: int, seen: Sequence[Seen]) -> None:
    calls, estimated = sum(one.calls for one in seen), sum(one.estimated for one in seen)
    if not estimated:
        return
    known = conn.execute(_SAMPLES, {"id": deployment}).scalar_one() - calls
    share, ratio = _share(max(0, known), calls), sum(one.actual for one in seen) / estimated
    bound = {"id": deployment, "share": share, "ratio": ratio, "least": LEAST_RATIO, "most": MOST_RATIO}
    conn.execute(_TOKEN_RATIO, bound)


def _share(samples: int, calls: int) -> float:
    """The weight of `calls` new ones: the first few move the prior quickly, then each has ALPHA."""
    weight = min(samples + PRIOR_CALLS, _MOST_WEIGHT)
    return calls / (weight + calls)


def _bin(ratio: float) -> int:
    if ratio <= _BINS_FROM:
        return 0
    return min(_BINS - 1, int(_BINS * math.log(ratio / _BINS_FROM) / math.log(_BINS_TO / _BINS_FROM)))


def _quantile(bins: Sequence[float], share: float) -> float:
    """The upper edge of the bin in which it lies; the prior while nothing is known."""
    total = sum(bins)
    if total <= 0:
        return PRIOR_RATIO
    reached = 0.0
    for index, count in enumerate(bins):
        reached += count
        if reached >= share * total:
            return float(_BINS_FROM * (_BINS_TO / _BINS_FROM) ** ((index + 1) / _BINS))
    return _BINS_TO


def _read(row: Any) -> Learned:
    return Learned(row.ratio, row.output_tokens_mean, row.samples, row.ratio_bins)


_COLUMNS = (
    "SELECT id, deployment_id, url, kind, project_id, ratio, ratio_bins, output_tokens_mean, samples FROM calibrations"
)

_NAMED = """
    unnest(CAST(:deployments AS bigint[]), CAST(:urls AS text[]), CAST(:kinds AS text[]), CAST(:projects AS uuid[]))
"""

_MAKE = text(
    f"""
    INSERT INTO calibrations (deployment_id, url, kind, project_id, ratio, ratio_bins, output_tokens_mean)
    SELECT t.deployment_id, t.url, t.kind, t.project_id, :ratio, CAST(:bins AS float8[]), 0
    FROM {_NAMED} AS t (deployment_id, url, kind, project_id)
    WHERE NOT EXISTS (SELECT 1 FROM calibrations c WHERE c.deployment_id = t.deployment_id AND c.url = t.url
      AND c.kind = t.kind AND c.project_id IS NOT DISTINCT FROM t.project_id)
    ON CONFLICT DO NOTHING
    """  # noqa: S608  constants of this module
)

_LOCK = text(
    f"""
    SELECT c.* FROM calibrations c JOIN {_NAMED} AS t (deployment_id, url, kind, project_id)
      ON c.deployment_id = t.deployment_id AND c.url = t.url AND c.kind = t.kind
      AND c.project_id IS NOT DISTINCT FROM t.project_id
    ORDER BY c.id FOR UPDATE OF c
    """  # noqa: S608  constants of this module
)

_UPDATE = text(
    """
    UPDATE calibrations SET ratio = :ratio, ratio_bins = CAST(:bins AS float8[]), output_tokens_mean = :output,
      samples = :samples WHERE id = :id
    """
)

_SAMPLES = text(
    "SELECT coalesce(sum(samples), 0)::bigint FROM calibrations WHERE deployment_id = :id AND project_id IS NULL"
)

_TOKEN_RATIO = text(
    """
    UPDATE deployments SET token_ratio = least(:most, greatest(:least, token_ratio + :share * (:ratio - token_ratio)))
    WHERE id = :id
    """
)
