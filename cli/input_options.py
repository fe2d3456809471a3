"""What `run` and `submit` say about the input: how prompts become requests, and how the batch is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Project
from cli.wording import parse_deadline, parse_usd

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from models import PriorityClass
    from pressroom.batches.ingest import IngestOptions
    from pressroom.batches.read_input import PromptOptions
    from pressroom.jobs.reprioritise import Urgency
    from pressroom.settings import Settings


@dataclass(frozen=True)
class InputOptions:
    """Options for files of prompts; a batch file carries its own requests and takes none of them."""

    model: Annotated[str | None, typer.Option("--model", metavar="MODEL", help="Which model gets the prompts.")] = None
    column: Annotated[
        str | None,
        typer.Option("--column", metavar="NAME", help="The .csv or .tsv column with the prompts. [default: prompt]"),
    ] = None
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Images: 256x256, 512x512, 1024x1024, …")
    ] = None
    n: Annotated[int | None, typer.Option("--n", min=1, metavar="N", help="Answers or images for each prompt.")] = None
    quality: Annotated[str | None, typer.Option("--quality", metavar="WORD", help="Images: what the model offers.")] = (
        None
    )
    response_format: Annotated[
        str | None, typer.Option("--response-format", metavar="url|b64_json", help="Images: how the output has them.")
    ] = None
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, metavar="N", help="Texts: longest answer.")
    ] = None
    system: Annotated[str | None, typer.Option("--system", metavar="TEXT", help="Texts: the system message.")] = None
    temperature: Annotated[float | None, typer.Option("--temperature", metavar="NUMBER", help="Texts: 0 to 2.")] = None
    url: Annotated[
        str | None, typer.Option("--url", metavar="PATH", help="The endpoint, for a model that the catalog lacks.")
    ] = None
    body: Annotated[
        list[str] | None,
        typer.Option("--body", metavar="NAME=JSON", help="Any other field of the request; may be repeated."),
    ] = None

    def prompt_options(self) -> PromptOptions:
        """As `pressroom.batches` takes them. Raises InvalidInput."""
        from pressroom.batches.read_input import PromptOptions

        return PromptOptions(
            model=self.model,
            column=self.column,
            size=self.size,
            n=self.n,
            quality=self.quality,
            response_format=self.response_format,
            max_tokens=self.max_tokens,
            system=self.system,
            temperature=self.temperature,
            url=self.url,
            extra=_body_fields(self.body or []),
        )


@dataclass(frozen=True)
class BatchOptions:
    """How the batch is kept."""

    priority_class: Annotated[
        str, typer.Option("--class", metavar="CLASS", help="interactive, normal or bulk: the share of quota it gets.")
    ] = "normal"
    priority: Annotated[
        int,
        typer.Option(
            "--priority", metavar="N", min=-100, max=100, help="Order within the project's class: smaller is sooner."
        ),
    ] = 0
    deadline: Annotated[
        str | None,
        typer.Option(
            "--deadline", metavar="TIME", help="When jobs not done expire: 2026-11-24T10:30, or 90m, 2h, 7d from now."
        ),
    ] = None
    max_attempts: Annotated[
        int | None,
        typer.Option(
            "--max-attempts",
            metavar="N",
            min=1,
            max=100,
            envvar="PRESSROOM_MAX_ATTEMPTS",
            help="Calls of a job that may fail before it fails; a 429 does not count. [default: 5]",
        ),
    ] = None
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", metavar="KEY=VALUE", help="Kept with the batch; may be repeated.")
    ] = None
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="USD",
            help="What the batch may cost at most, as 5.00: then its jobs wait until the budget is raised.",
        ),
    ] = None
    project: Project = None

    def budget_usd(self) -> Decimal | None:
        """The amount. Raises InvalidInput."""
        from pressroom.errors import InvalidInput, Problem

        if self.budget is None:
            return None
        amount = parse_usd("--budget", self.budget)
        if not amount.is_finite() or amount <= 0:
            remedy = "Give US dollars, as in 5.00"
            raise InvalidInput([Problem("--budget", "is not an amount above 0", remedy, value=self.budget)])
        return amount

    def ingest_options(self, engine: Engine, settings: Settings) -> IngestOptions:
        """As `pressroom.batches` takes them. Raises InvalidInput, NotFound."""
        from pressroom.batches.ingest import IngestOptions
        from pressroom.jobs.queries import find_project

        priority_class = parse_class(self.priority_class)
        deadline = parse_deadline(self.deadline, now=datetime.now(UTC))
        with engine.connect() as conn:
            project_id = find_project(conn, self.project)
        return IngestOptions(
            project_id=project_id,
            base_url=settings.provider,
            priority_class=priority_class,
            priority=self.priority,
            deadline=deadline,
            max_attempts=settings.max_attempts if self.max_attempts is None else self.max_attempts,
            metadata=_pairs("--metadata", self.metadata or []),
            budget_usd=self.budget_usd(),
        )


@dataclass(frozen=True)
class UrgencyOptions:
    """What queued jobs change to."""

    to_class: Annotated[str | None, typer.Option("--class", metavar="CLASS", help="interactive, normal or bulk.")] = (
        None
    )
    to_priority: Annotated[
        int | None,
        typer.Option(
            "--priority", metavar="N", min=-100, max=100, help="Order within the project's class: smaller is sooner."
        ),
    ] = None

    def urgency(self) -> Urgency:
        """As `reprioritise` takes it. Raises InvalidInput."""
        from pressroom.errors import InvalidInput, Problem
        from pressroom.jobs.reprioritise import Urgency

        if self.to_class is None and self.to_priority is None:
            remedy = "Give --class, --priority, or both"
            raise InvalidInput([Problem("--class", "nothing says what to change to", remedy)])
        return Urgency(parse_class(self.to_class) if self.to_class is not None else None, self.to_priority)


def parse_class(name: str) -> PriorityClass:
    """A priority class by name. Raises InvalidInput."""
    from models import PriorityClass
    from pressroom.errors import InvalidInput, Problem

    if name not in list(PriorityClass):
        remedy = f"Use one of {', '.join(PriorityClass)}"
        raise InvalidInput([Problem("--class", "is not a priority class", remedy, value=name)])
    return PriorityClass(name)


def _pairs(option: str, pairs: list[str]) -> dict[str, str]:
    from pressroom.errors import InvalidInput, Problem

    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise InvalidInput([Problem(option, "is not NAME=VALUE", "Write it as in team=prints", value=pair)])
        found[name.strip()] = value
    return found


def _body_fields(pairs: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in _pairs("--body", pairs).items():
        try:
            fields[name] = json.loads(value)
        except ValueError:
            fields[name] = value  # a bare word needs no quotes
    return fields
