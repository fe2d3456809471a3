"""Who runs in `python -m benchmarks rivals`, and with what options. docs/rivals.md says why these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_CELERY = {"at_once": 50, "max_retries": 10, "backoff_max_seconds": 60}


@dataclass(frozen=True, slots=True)
class Contestant:
    """`workers`: of Pressroom itself, else 0. `environment` names the lock, `program` the module of a rival."""

    name: str
    title: str
    workers: int = 0
    environment: str = ""
    program: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


CONTESTANTS = (  # in the order in which they start: Pressroom runs once at a time
    Contestant("pressroom-1", "Pressroom, 1 worker", workers=1),
    Contestant("oaib", "oaib", environment="oaib", program="rival_oaib"),
    Contestant("curator", "bespokelabs-curator", environment="curator", program="rival_curator"),
    Contestant(
        "sdk",
        "OpenAI SDK, 50 at once, 10 retries",
        environment="sdk",
        program="rival_sdk",
        options={"at_once": 50, "max_retries": 10},
    ),
    Contestant("pressroom-2", "Pressroom, 2 workers", workers=2),
    Contestant(
        "celery-retry",
        "Celery, retries with backoff",
        environment="celery",
        program="rival_celery",
        options=_CELERY | {"rate_limit": None},
    ),
    Contestant(
        "celery-rate",
        "Celery, rate_limit and retries",
        environment="celery",
        program="rival_celery",
        options=_CELERY | {"rate_limit": "500/m"},
    ),
)


def titled(name: str) -> Contestant:
    """The one of that name."""
    return next(one for one in CONTESTANTS if one.name == name)


def chosen(names: Sequence[str]) -> list[Contestant]:
    """Those that the names, or the starts of names, mean. Raises LookupError."""
    unknown = [name for name in names if not any(one.name.startswith(name) for one in CONTESTANTS)]
    if unknown:
        known = ", ".join(one.name for one in CONTESTANTS)
        raise LookupError(f"nobody is called {', '.join(unknown)}; there are {known}")
    return [one for one in CONTESTANTS if any(one.name.startswith(name) for name in names)]
