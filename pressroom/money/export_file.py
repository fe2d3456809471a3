"""The provider's own account of a period: usage and costs as its dashboard and its organisation API export them.

Read are JSON (a page of `/organization/usage/*` or `/organization/costs`, several in an array, or one a line) and CSV
(the dashboard's export). Buckets of a minute, an hour or a day are added up to UTC days. What must be there: the model
(`model`, or `line_item` of costs, up to its first comma) and a start time.

    usage of texts     input_tokens (cached ones included), output_tokens, num_model_requests
    usage of images    images, num_model_requests
    costs              amount.value in USD (amount_value in CSV)
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from pressroom.errors import InvalidInput, Problem

_DAY_SECONDS = 86_400
_MOST_BYTES = 512 * 1024 * 1024
_SHOWN = 60
_PROJECTS_SHOWN = 10
_MOST = Decimal(10) ** 15
"""No count and no amount of an account is as large."""
_COSTS = "organization.costs.result"
_READ = ("organization.usage.completions.result", "organization.usage.images.result", _COSTS)
_DATE_ONLY = 10
_FALSE = ("", "false", "0", "null", "none")


@dataclass(frozen=True, slots=True)
class ExportLine:
    """What the provider says of one model on one day, or of a part of it; what it does not say is None."""

    day: date
    model: str
    calls: int | None = None
    input_tokens: int | None = None
    cached_tokens: int = 0
    output_tokens: int | None = None
    images: int | None = None
    usd: Decimal | None = None
    project: str | None = None
    tier: str | None = None
    size: str | None = None


@dataclass(slots=True)
class Export:
    """All lines of a file, and the days it is about: those of its buckets, also of empty ones."""

    lines: list[ExportLine] = field(default_factory=list)
    days: set[date] = field(default_factory=set)
    ignored: dict[str, int] = field(default_factory=dict)
    """How many results there were of kinds that Pressroom makes no calls of."""


def read_export(path: Path, *, projects: Iterable[str] = ()) -> Export:
    """Read a file; of `projects` only, as the provider names them, where any are given.

    Raises InvalidInput naming the line or bucket, and OSError.
    """
    if path.stat().st_size > _MOST_BYTES:
        remedy = f"Export fewer days at a time; at most {_MOST_BYTES // 1024 // 1024} MB are read"
        raise InvalidInput([Problem("file", "is too large", remedy)], source=path.name)
    text = path.read_bytes().decode("utf-8-sig", "replace")
    wanted = frozenset(projects)
    export = Export()
    passed_over: set[str] = set()
    try:
        for line in _read(text, export):
            if not wanted:
                export.lines.append(line)
            elif line.project is None:
                remedy = "Export it grouped by project, or leave --provider-project out"
                raise InvalidInput([Problem("project_id", "is not in the file", remedy)])
            elif line.project in wanted:
                export.lines.append(line)
            else:
                passed_over.add(line.project)
    except InvalidInput as error:
        raise InvalidInput(error.problems, source=path.name) from None
    except csv.Error as error:
        problem = Problem("file", f"is no CSV ({error})", "Give the file as the provider made it")
        raise InvalidInput([problem], source=path.name) from None
    if not export.days:
        remedy = (
            "Give the export of the provider's usage or costs page, or an answer of /v1/organization/usage or /costs"
        )
        raise InvalidInput([Problem("file", "holds no usage and no costs", remedy)], source=path.name)
    if passed_over and not export.lines:
        remedy = f"Give one of: {', '.join(sorted(passed_over)[:_PROJECTS_SHOWN])}"
        problem = Problem("--provider-project", "has nothing in the file", remedy, value=", ".join(sorted(wanted)))
        raise InvalidInput([problem], source=path.name)
    return export


def _read(text: str, export: Export) -> Iterator[ExportLine]:
    start = text.lstrip()[:1]
    return _read_json(text, export) if start in ("{", "[") else _read_csv(text, export)


def _read_json(text: str, export: Export) -> Iterator[ExportLine]:
    for number, bucket in enumerate(_buckets(text), start=1):
        place = f"bucket {number}"
        first = _day(f"{place} start_time", bucket.get("start_time"))
        _check_width(place, bucket.get("start_time"), bucket.get("end_time"))
        export.days.add(first)
        results = bucket.get("results", bucket.get("result"))
        if not isinstance(results, list):
            raise _refuse(f"{place} results", "is not an array", "Give the file as the provider made it")
        for result in results:
            kind = result.get("object") if isinstance(result, dict) else None
            if kind not in _READ:
                name = str(kind)[:_SHOWN]
                export.ignored[name] = export.ignored.get(name, 0) + 1
            else:
                yield _line(f"{place} {kind}", first, {**result, **_amount_of(result)})


def _buckets(text: str) -> Iterator[Mapping[str, Any]]:
    """Of one page, an array of pages or buckets, or one of them a line."""
    try:
        documents = [json.loads(text, parse_float=Decimal)]
    except ValueError:
        documents = [_document(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    for document in documents:
        for page in document if isinstance(document, list) else [document]:
            if not isinstance(page, dict):
                raise _refuse(
                    "file", "holds something that is no page and no bucket", "Give what the provider answered"
                )
            yield from page["data"] if isinstance(page.get("data"), list) else [page]


def _document(number: int, line: str) -> Any:
    try:
        return json.loads(line, parse_float=Decimal)
    except ValueError as error:
        raise _refuse(f"line {number}", f"is not JSON ({error})", "Give the file as the provider made it") from None


def _amount_of(result: Mapping[str, Any]) -> dict[str, Any]:
    amount = result.get("amount")
    if not isinstance(amount, dict):
        return {}
    return {"amount_value": amount.get("value"), "amount_currency": amount.get("currency")}


def _read_csv(text: str, export: Export) -> Iterator[ExportLine]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    names = [name.strip().lower() for name in reader.fieldnames or []]
    reader.fieldnames = names
    if not any(name in names for name in ("start_time", "start_time_iso", "date")):
        remedy = "Give the export of the provider's usage or costs page as it was downloaded"
        raise _refuse("header", "has no start_time, start_time_iso or date", remedy)
    for row in reader:
        place = f"line {reader.line_num}"
        given = row.get("start_time_iso") or row.get("date") or row.get("start_time")
        day = _day(f"{place} start_time", given)
        _check_width(place, row.get("start_time"), row.get("end_time"))
        export.days.add(day)
        yield _line(place, day, row)


def _line(place: str, day: date, row: Mapping[str, Any]) -> ExportLine:
    amount, item = _given(row, "amount_value", "amount", "cost_usd"), _given(row, "model", "line_item")
    if item is None:
        remedy = "Export it grouped by model (usage) or by line item (costs)"
        raise _refuse(f"{place} model", "is missing", remedy)
    currency = _given(row, "amount_currency")
    if amount is not None and currency is not None and str(currency).lower() != "usd":
        raise _refuse(f"{place} amount_currency", "is not usd", "Export costs in US dollars", currency)
    project, size = _given(row, "project_id"), _given(row, "size")
    is_batch = str(row.get("batch") or "").lower() not in _FALSE
    tier = "batch" if is_batch else _given(row, "service_tier")
    return ExportLine(
        day=day,
        model=str(item).partition(",")[0].strip(),
        calls=_count(place, row, "num_model_requests", "num_requests"),
        input_tokens=_count(place, row, "input_tokens"),
        cached_tokens=_count(place, row, "input_cached_tokens") or 0,
        output_tokens=_count(place, row, "output_tokens"),
        images=_count(place, row, "images", "num_images"),
        usd=None if amount is None else _usd(place, amount),
        project=None if project is None else str(project),
        tier=None if tier is None else str(tier),
        size=None if size is None else str(size),
    )


def _given(row: Mapping[str, Any], *names: str) -> Any:
    """The first of these that is there and not empty."""
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _count(place: str, row: Mapping[str, Any], *names: str) -> int | None:
    given = _given(row, *names)
    if given is None:
        return None
    number = _number(given)
    if number is None or number < 0 or number != int(number):
        raise _refuse(f"{place} {names[0]}", "is not a count", "Give the file as the provider made it", given)
    return int(number)


def _usd(place: str, given: Any) -> Decimal:
    number = _number(given)
    if number is None:
        raise _refuse(f"{place} amount", "is not an amount", "Give the file as the provider made it", given)
    return number


def _number(given: Any) -> Decimal | None:
    if isinstance(given, bool):
        return None
    try:
        number = Decimal(str(given).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) < _MOST else None


def _day(field_name: str, given: Any) -> date:
    number = _number(given)
    try:
        if number is not None:
            return datetime.fromtimestamp(int(number), tz=UTC).date()
        shown = str(given)
        if len(shown) <= _DATE_ONLY:
            return date.fromisoformat(shown)
        moment = datetime.fromisoformat(shown)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC).date()
    except (ValueError, OverflowError, OSError):
        remedy = "Give Unix seconds or a date, as in 2026-11-24"
        raise _refuse(field_name, "is not a time", remedy, given) from None


def _check_width(place: str, start: Any, end: Any) -> None:
    first, last = _number(start), _number(end)
    if first is not None and last is not None and last - first > _DAY_SECONDS:
        raise _refuse(f"{place} end_time", "is more than a day after its start_time", "Export it by day")


def _refuse(field_name: str, reason: str, remedy: str, value: Any = None) -> InvalidInput:
    shown = None if value is None else str(value)[:_SHOWN]
    return InvalidInput([Problem(field_name, reason, remedy, value=shown)])
