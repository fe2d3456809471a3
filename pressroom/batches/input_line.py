"""What every kind of input is read into."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pressroom.errors import Problem


@dataclass(slots=True)
class InputLine:
    """A request as an input line asks for it: well formed, its contents not yet checked. Or `problems`, and no request.

    `number` is the 1-based line of the file where it starts; `body_json` is `body` as JSON text; `source` is the line
    of a batch file as it was read.
    """

    number: int
    custom_id: str
    url: str
    body: dict[str, Any]
    body_json: str
    problems: Sequence[Problem] = ()
    source: bytes | None = None


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """How prompts become requests; None leaves an option out. They do not apply to files in the batch format.

    `column` names the column of a .csv or .tsv, `url` the endpoint where the catalog cannot tell; `size`, `quality`
    and `response_format` are for pictures, `max_tokens`, `system` and `temperature` for text, `n` for both.
    """

    model: str | None = None
    column: str | None = None
    size: str | None = None
    max_tokens: int | None = None
    n: int | None = None
    response_format: str | None = None
    quality: str | None = None
    system: str | None = None
    temperature: float | None = None
    url: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of the body, passed on as they are."""


def bad_line(*problems: Problem) -> InputLine:
    """A line that is no request."""
    return InputLine(problems[0].line or 0, "", "", {}, "", problems)
