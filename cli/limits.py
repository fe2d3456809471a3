"""`--limit` of a run: read, held against the models of the input, and put in force once the input is accepted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.context import System
    from pressroom.batches.read_input import PromptOptions
    from pressroom.limits.pool_limits import PoolLimits


def read_limits(options: Iterable[str]) -> dict[str, PoolLimits]:
    """All `--limit` options by model. Raises InvalidInput that names the option, the model and the limit."""
    from pressroom.errors import InvalidInput
    from pressroom.limits.pool_limits import parse_limits

    given = list(options)
    for option in given:
        try:
            parse_limits([option])
        except InvalidInput as error:
            model = option.rpartition(":")[0].strip()
            problems = [
                replace(problem, field=f"--limit {model}: {problem.field.removeprefix('--limit').strip() or 'limit'}")
                for problem in error.problems
            ]
            raise InvalidInput(problems if model else error.problems) from None
    return parse_limits(given)


def check_models(limits: Mapping[str, PoolLimits], path: Path, prompts: PromptOptions) -> None:
    """Raises InvalidInput for limits of a model that the input does not ask for.

    Reads no further than to the last of the models named; a file that is refused anyway is left to who takes it in.
    """
    from pressroom.batches.read_input import read_lines
    from pressroom.errors import InvalidInput, Problem

    missing, models = set(limits), set[str]()
    if not missing:
        return
    for line in read_lines(path, prompts):
        if line.problems:
            return
        model = line.body.get("model")
        if isinstance(model, str):
            models.add(model)
            missing.discard(model)
        if not missing:
            return
    remedy = f"Its models are {', '.join(sorted(models))}" if models else "It names no model"
    reason = f"names a model that {path.name} does not ask for"
    raise InvalidInput([Problem("--limit", reason, remedy, value=model) for model in sorted(missing)])


@contextlib.contextmanager
def limits_in_force(system: System, limits: Mapping[str, PoolLimits], *, keep: bool) -> Iterator[None]:
    """Set them, in the books and in the limiter; without `keep`, what was before is put back at the end."""
    from pressroom.jobs import deployments

    before: dict[str, dict[str, float]] = {}
    for model, asked in limits.items():
        with system.engine.begin() as conn:
            row = deployments.ensure_deployment(conn, system.settings.provider, model)
            before[model] = row.explicit_limits
            holds = deployments.replace_limits(conn, row, deployments.explicit_limits(asked))
        system.limiter.set_limits(row.pool, holds)
    try:
        yield
    finally:
        if not keep:
            for model, explicit in before.items():
                _restore(system, model, explicit)


def _restore(system: System, model: str, explicit: dict[str, float]) -> None:
    from pressroom.jobs import deployments

    with system.engine.begin() as conn:
        row = deployments.find_deployment(conn, system.settings.provider, model)
        holds = deployments.replace_limits(conn, row, explicit)
    system.limiter.set_limits(row.pool, holds)
