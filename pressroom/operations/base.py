"""What an operation is: the thing a job can do at one endpoint, as pure functions over request and response."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from pressroom.errors import PressroomError, Problem
from pressroom.money.prices import PriceRow
from pressroom.money.usage import Usage as Usage

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request will take: for the limiter (tokens, images), and its cost in USD.

    `cost_usd` is the upper bound (every output token the request allows), `expected_usd` the likely figure.
    `input_tokens` and `output_tokens` are what is likely, without margins.
    """

    tokens: int
    images: int
    cost_usd: Decimal
    expected_usd: Decimal
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ReturnedImage:
    """One picture of a response: base64 text, or a URL that dies within the hour. Exactly one is set."""

    position: int
    b64: str | None
    url: str | None
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful response taken apart: `body` without the pictures, the pictures, and the usage to bill."""

    body: dict[str, Any]
    images: Sequence[ReturnedImage]
    usage: Usage


class MalformedReply(PressroomError):
    """The provider answered 200 with something that is not an answer; whether it billed is unknown."""


class Operation(Protocol):
    """One endpoint's contract. Pure: no I/O, no clock."""

    url: str
    """The path as in a batch file, `/v1/chat/completions`."""

    def problems(self, body: Body) -> list[Problem]:
        """Everything wrong with the body, by field; empty when it can be sent."""

    def estimate(self, body: Body, price: PriceRow) -> Estimate:
        """Tokens, images and cost before sending. `body` has no problems."""

    def outgoing(self, body: Body) -> dict[str, Any]:
        """The body to send, which may differ from what was asked for (pictures are always fetched as base64)."""

    def read(self, body: Body, response: Any) -> Reply:
        """Take a 200 response apart. Raises MalformedReply."""
