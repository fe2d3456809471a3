"""Jobs that have ended, with their answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, overload

from pressroom.client.drawing import Picture, gallery, table
from pressroom.client.errors import JobNotSucceeded
from pressroom.client.records import Artifact, Job

_SHOWN_ROWS = 20
_SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a job. `body` is the provider's answer, None where there is none."""

    job: Job
    body: Mapping[str, Any] | None = field(repr=False)

    @property
    def has_succeeded(self) -> bool:
        """Whether there is an answer."""
        return self.job.has_succeeded

    @property
    def answer(self) -> Mapping[str, Any]:
        """The provider's answer. Raises JobNotSucceeded."""
        if self.body is None or not self.job.has_succeeded:
            reason = f" ({self.job.error})" if self.job.error else ""
            raise JobNotSucceeded(f"{self.job.id} has no answer: it is {self.job.state}{reason}")
        return self.body

    @property
    def text(self) -> str:
        """The words of a chat completion or a response, empty where it has none. Raises JobNotSucceeded."""
        return answer_text(self.answer)

    @property
    def images(self) -> Sequence[Artifact]:
        """The pictures that were made, in order. Raises JobNotSucceeded."""
        _ = self.answer
        return self.job.images


@dataclass(frozen=True, slots=True)
class Results(Sequence[Result]):
    """Results in the order of what was asked. Shows itself in a notebook, with its pictures."""

    items: Sequence[Result]
    thumbnails: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Small pictures by artifact, as many as a notebook shows; empty elsewhere."""

    @property
    def texts(self) -> list[str]:
        """The words of each. Raises JobNotSucceeded at the first that has none."""
        return [one.text for one in self.items]

    @property
    def failed(self) -> list[Result]:
        """Those without an answer."""
        return [one for one in self.items if not one.has_succeeded]

    @property
    def cost_usd(self) -> Decimal:
        """What all of them cost."""
        return sum((one.job.cost_usd or Decimal(0) for one in self.items), Decimal(0))

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.items)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | Sequence[Result]:
        return self.items[index]

    def _repr_html_(self) -> str:
        rows = [
            (one.job.custom_id or one.job.id, one.job.state, one.job.cost_usd, _glimpse(one))
            for one in self.items[:_SHOWN_ROWS]
        ]
        drawn = table(("job", "state", "cost $", "answer"), rows, more=len(self.items) - len(rows))
        return drawn + gallery(self._pictures())

    def _pictures(self) -> Iterator[Picture]:
        for one in self.items:
            for image in one.job.images:
                if image.id in self.thumbnails:
                    yield Picture(self.thumbnails[image.id], "image/webp", one.job.custom_id or one.job.id)


def answer_text(body: Mapping[str, Any]) -> str:
    """The words in a chat completion or a response: all of its text, in order."""
    if "choices" in body:
        return "".join(str(choice.get("message", {}).get("content") or "") for choice in body["choices"][:1])
    parts = [
        part
        for item in body.get("output") or ()
        if item.get("type") == "message"
        for part in item.get("content") or ()
        if part.get("type") == "output_text"
    ]
    return "".join(str(part["text"]) for part in parts)


def _glimpse(result: Result) -> str:
    if not result.has_succeeded or result.body is None:
        return str(result.job.error or "")
    said = answer_text(result.body) or (f"{len(result.job.images)} pictures" if result.job.images else "")
    return said if len(said) <= _SHOWN_CHARACTERS else said[: _SHOWN_CHARACTERS - 1] + "…"
