"""Reads `models.toml` into a frozen `Catalog`."""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from pressroom.catalog.entries import DEFAULT_LIMIT_TIER, CatalogModel
from pressroom.errors import InvalidInput, Problem

CATALOG_FILE = Path(__file__).with_name("models.toml")
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Alive:
    """The endpoint serves the model, or is taken at its word. `shutdown` is set when an end has been announced."""

    shutdown: date | None = None
    successor: str | None = None


@dataclass(frozen=True, slots=True)
class Dead:
    """The endpoint no longer serves the model since `since`."""

    reason: str
    since: date
    successor: str | None


@dataclass(frozen=True, slots=True)
class Catalog:
    """The known models by name, dated snapshots included."""

    models: Mapping[str, CatalogModel]

    def model(self, name: str) -> CatalogModel | None:
        """The entry of a model or of one of its snapshots; None for a model the catalog does not know."""
        return self.models.get(name)

    def pool_of(self, model: str) -> str:
        """The name of the limit group that the model's calls draw on: its family's, or its own when unknown."""
        entry = self.models.get(model)
        return entry.pool if entry is not None else model

    def priced(self, url: str | None = None) -> list[str]:
        """The models (without snapshots) that have a price, at this endpoint or at any."""
        return [
            entry.name
            for entry in self.models.values()
            if entry.prices and entry.name == entry.family and (url is None or url in entry.endpoints)
        ]

    def limits_for(self, model: str, *, tier: str = DEFAULT_LIMIT_TIER) -> dict[str, int]:
        """The catalog's limits by dimension (`rpm`, `rpd`, `tpm`, `tpd`, `ipm`); empty when it knows none."""
        entry = self.models.get(model)
        found = next((limit for limit in entry.limits if limit.tier == tier), None) if entry is not None else None
        return found.as_dimensions() if found is not None else {}

    def lifecycle(self, model: str, base_url: str, *, on: date) -> Alive | Dead:
        """Whether `base_url` serves the model on that day.

        A shutdown date holds for the host it was announced for only; any other endpoint (`sandbox:` too) is taken at
        its word, and so is a model that the catalog does not know.
        """
        entry = self.models.get(model)
        if entry is None or entry.lifecycle is None or urlsplit(base_url).hostname != entry.lifecycle.host:
            return Alive()
        life = entry.lifecycle
        if on < life.shutdown:
            return Alive(life.shutdown, life.successor)
        return Dead(f"{life.host} shut {model} down on {life.shutdown.isoformat()}", life.shutdown, life.successor)

    def dead_model_problem(self, model: str, base_url: str, *, on: date) -> Problem | None:
        """The problem to refuse a submission with when the endpoint no longer serves the model; None when it does."""
        state = self.lifecycle(model, base_url, on=on)
        if isinstance(state, Alive):
            return None
        instead = f"Ask for its successor {state.successor} instead" if state.successor else "Ask for another model"
        remedy = f"{instead}, or set OPENAI_BASE_URL to an endpoint that still serves {model}"
        return Problem("model", state.reason, remedy, value=model, code="model_not_found")


def close_model(model: str, known: Collection[str]) -> str | None:
    """The known name that is most like it, if any is."""
    return next(iter(get_close_matches(model[:_LONGEST_NAME], known, n=1, cutoff=0.6)), None)


def other_models(model: str, known: Collection[str]) -> str:
    """The remedy for a name that nothing is known of: the nearest name, and all there are."""
    near = close_model(model, known)
    guess = f"Did you mean {near}? " if near else ""
    there_are = f"There are: {', '.join(known)}" if known else "There are none"
    return f"{guess}{there_are}"


def load_catalog(path: Path = CATALOG_FILE) -> Catalog:
    """Read and check a catalog file. Raises InvalidInput naming the place in the file.

    Numbers with a point are read as exact decimals, never as floats.
    """
    with path.open("rb") as file:
        try:
            document = tomllib.load(file, parse_float=Decimal)
        except tomllib.TOMLDecodeError as error:
            remedy = "Mend the TOML syntax at the place named"
            raise InvalidInput([Problem("catalog", str(error), remedy)], source=str(path)) from None
    models: dict[str, CatalogModel] = {}
    problems: list[Problem] = []
    for family, fields in document.get("models", {}).items():
        try:
            for entry in _family(family, fields):
                if entry.name in models:
                    problems.append(Problem(f"models.{entry.name}", "is named twice", "Keep one of the two entries"))
                models[entry.name] = entry
        except ValidationError as error:
            problems.extend(_as_problems(family, error))
    problems.extend(_unknown_successors(models))
    if problems:
        raise InvalidInput(problems, source=str(path))
    return Catalog(models)


def _family(family: str, fields: Mapping[str, Any]) -> list[CatalogModel]:
    names = [family, *fields.get("snapshots", [])]
    pool = fields.get("pool", family)
    return [CatalogModel.model_validate({**fields, "name": name, "family": family, "pool": pool}) for name in names]


def _as_problems(family: str, error: ValidationError) -> list[Problem]:
    remedy = "Give the figure in the form that docs/catalog.md describes"
    return [
        Problem(
            ".".join([f"models.{family}", *map(str, found["loc"])]), found["msg"], remedy, value=repr(found["input"])
        )
        for found in error.errors()
    ]


def _unknown_successors(models: Mapping[str, CatalogModel]) -> list[Problem]:
    remedy = "Add the successor to the catalog, or leave the field out"
    return [
        Problem(
            f"models.{entry.name}.lifecycle.successor", "is not in the catalog", remedy, value=entry.lifecycle.successor
        )
        for entry in models.values()
        if entry.lifecycle is not None and entry.lifecycle.successor is not None
        if entry.lifecycle.successor not in models
    ]


@cache
def catalog() -> Catalog:
    """The shipped catalog, read once per process."""
    return load_catalog()
