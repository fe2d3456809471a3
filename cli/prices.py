"""`pressroom prices`: what models cost, and setting a price of your own."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import load_settings, open_system
from cli.option_groups import grouped
from cli.options import Json, examples, program
from cli.terminal import answer, answer_json, answer_table
from cli.wording import shortened

if TYPE_CHECKING:
    from decimal import Decimal

    from pressroom.money.operator_prices import ListedPrice
    from pressroom.money.prices import PriceRow

group = typer.Typer(help="Prices: list them, set one.", no_args_is_help=True, rich_markup_mode=None)

_COLUMNS = ("MODEL", "TIER", "FROM", "INPUT", "CACHED", "OUTPUT", "IMAGE IN", "IMAGE OUT", "PER IMAGE", "BY", "STATE")
_RIGHT = ("INPUT", "CACHED", "OUTPUT", "IMAGE IN", "IMAGE OUT")
_USD = "USD"


def add_to(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(group, name="prices")


@group.command(
    "list",
    epilog=examples("pressroom prices list", "pressroom prices list --model gpt-4o-mini --at 2026-12-01 --json"),
)
def list_(
    ctx: typer.Context,
    *,
    model: Annotated[str | None, typer.Option("--model", metavar="MODEL", help="Of one model.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="DATE", help="Only what is in force on this day (UTC).")
    ] = None,
    as_json: Json = False,
) -> None:
    """List prices: US dollars per million tokens by kind, and per picture by size and quality.

    Without --at, also those that are past and those that are to come.
    """
    from pressroom.money.operator_prices import list_prices
    from pressroom.money.price_book import sync_catalog_prices

    day = _day("--at", at)
    with open_system(load_settings(ctx.obj), create=True) as system:
        system.prepare_local()
        with system.engine.connect() as conn:
            sync_catalog_prices(conn)  # seen here, and not kept: listing changes nothing
            rows = list_prices(conn, model=model, at=day, today=datetime.now(UTC).date())
            conn.rollback()
    if model is not None and not rows:
        from pressroom.errors import NotFound

        when = "" if day is None else f" that is in force on {day}"
        remedy = (
            f"`{program()} prices list` shows all there are, and `{program()} prices set {shortened(model)} …` adds one"
        )
        raise NotFound(f"{shortened(model)} has no price{when}: {remedy}")
    if as_json:
        answer_json([_record(listed) for listed in rows])
        return
    answer_table(_COLUMNS, [_cells(listed) for listed in rows], right=_RIGHT)


@dataclass(frozen=True)
class PriceOptions:
    """US dollars as typed, by column of the table."""

    input_usd: Annotated[
        str | None, typer.Option("--input", metavar=_USD, help="A million input tokens.", show_default=False)
    ] = None
    cached_input_usd: Annotated[
        str | None,
        typer.Option("--cached-input", metavar=_USD, help="A million cached input tokens. [default: as --input]"),
    ] = None
    cache_write_usd: Annotated[
        str | None, typer.Option("--cache-write", metavar=_USD, help="A million tokens written to the cache.")
    ] = None
    output_usd: Annotated[
        str | None, typer.Option("--output", metavar=_USD, help="A million output tokens, reasoning included.")
    ] = None
    image_input_usd: Annotated[
        str | None, typer.Option("--image-input", metavar=_USD, help="A million tokens of pictures sent.")
    ] = None
    cached_image_input_usd: Annotated[
        str | None, typer.Option("--cached-image-input", metavar=_USD, help="The same, cached.")
    ] = None
    image_output_usd: Annotated[
        str | None, typer.Option("--image-output", metavar=_USD, help="A million tokens of pictures made.")
    ] = None

    def given(self) -> dict[str, str]:
        """Those that were given."""
        typed = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: amount for name, amount in typed.items() if amount is not None}


@group.command(
    "set",
    epilog=examples(
        "pressroom prices set gpt-4o-mini --input 0.15 --cached-input 0.075 --output 0.60",
        "pressroom prices set gpt-6-luna --tier flex --output 0.24 --from 2026-12-01 --source 'contract 4711'",
        "pressroom prices set my-painter --image 1024x1024=0.02 --image 1024x1024/high=0.08",
    ),
)
@grouped
def set_(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As jobs ask for it.")],
    *,
    usd: PriceOptions,
    image: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="SIZE=USD", help="A picture: 1024x1024=0.02 or 1024x1024/high=0.08; repeat."),
    ] = None,
    tier: Annotated[
        str, typer.Option("--tier", metavar="TIER", help="default, flex, priority, scale or batch.")
    ] = "default",
    from_: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="In force from this day on (UTC). [default: today]")
    ] = None,
    source: Annotated[
        str, typer.Option("--source", metavar="TEXT", help="Where the figures come from.")
    ] = "set by hand",
    as_json: Json = False,
) -> None:
    """Set a model's price from a day on. It wins over the catalog's; what calls were billed by before stays.

    What is not given stays as it is in force on that day; none takes a price away. Workers use it within seconds.
    """
    from pressroom.money.operator_prices import ListedPrice, parse_change, set_price
    from pressroom.money.price_book import sync_catalog_prices

    today = datetime.now(UTC).date()
    change = parse_change(
        model,
        tier=tier,
        effective_from=_day("--from", from_) or today,
        source=source,
        usd=usd.given(),
        images=image or [],
    )
    with open_system(load_settings(ctx.obj), create=True) as system:
        system.prepare_local()
        with system.engine.begin() as conn:
            sync_catalog_prices(conn)
            row = set_price(conn, change)
    listed = ListedPrice(row, change.source, "in force" if row.effective_from <= today else "to come")
    if as_json:
        answer_json(_record(listed))
        return
    answer(f"{row.model} ({row.service_tier}) from {row.effective_from} on: {_in_words(row)}")


def _day(option: str, typed: str | None) -> date | None:
    from pressroom.errors import InvalidInput, Problem

    try:
        return date.fromisoformat(typed) if typed is not None else None
    except ValueError:
        raise InvalidInput([Problem(option, "is not a date", "Write it as in 2026-12-01", value=typed)]) from None


def _in_words(row: PriceRow) -> str:
    from pressroom.money.prices import OPTIONS

    kinds = [
        f"{option.removeprefix('--').replace('-', ' ')} {_plain(getattr(row, name))}"
        for name, option in OPTIONS.items()
        if name != "per_image" and getattr(row, name) is not None
    ]
    tokens = [f"{', '.join(kinds)} USD per million tokens"] if kinds else []
    pictures = [f"{_pictures(row)} USD per picture"] if row.per_image else []
    return "; ".join(tokens + pictures)


def _pictures(row: PriceRow) -> str:
    return ", ".join(f"{key} {_plain(usd)}" for key, usd in sorted(row.per_image.items()))


def _record(listed: ListedPrice) -> dict[str, Any]:
    row = listed.row
    from pressroom.money.prices import OPTIONS

    return {
        "id": row.id,
        "model": row.model,
        "service_tier": row.service_tier,
        "effective_from": row.effective_from.isoformat(),
        **{name: _plain(getattr(row, name)) for name in OPTIONS if name != "per_image"},
        "per_image": {key: _plain(usd) for key, usd in row.per_image.items()},
        "origin": row.origin,
        "source": listed.source,
        "state": listed.state,
    }


def _cells(listed: ListedPrice) -> list[str]:
    row = listed.row
    kinds = (row.input_usd, row.cached_input_usd, row.output_usd, row.image_input_usd, row.image_output_usd)
    return [
        row.model,
        row.service_tier,
        row.effective_from.isoformat(),
        *(_plain(usd) or "-" for usd in kinds),
        shortened(_pictures(row)) or "-",
        row.origin,
        listed.state,
    ]


def _plain(usd: Decimal | None) -> str | None:
    """`0.15`, whatever places the table keeps."""
    return None if usd is None else f"{usd.normalize():f}"
