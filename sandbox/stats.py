"""What was called: counts for assertions, and the recent calls themselves."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 20
NO_MODEL = "(none)"


@dataclass(slots=True)
class Call:
    """One call to an API endpoint, filled in while it is answered."""

    time: float
    """Unix time of arrival."""
    request_id: str
    endpoint: str
    marker: str
    """The X-Client-Request-Id that the caller sent."""
    digest: bytes = b""
    """First 16 bytes of the body's sha256."""
    model: str = NO_MODEL
    account: str = ""
    status: int = 0
    """0: no answer was sent."""
    code: str = ""
    fault: str = ""
    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    images: int = 0
    delivered: bool = True
    """False when the answer did not reach the client whole."""

    def as_json(self) -> dict[str, Any]:
        """For /sandbox/calls."""
        return {
            "time": self.time,
            "request_id": self.request_id,
            "endpoint": self.endpoint,
            "model": self.model,
            "account": self.account,
            "status": self.status or None,
            "code": self.code or None,
            "fault": self.fault or None,
            "seconds": round(self.seconds, 6),
            "client_request_id": self.marker or None,
            "body_sha256_prefix": self.digest.hex(),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "images": self.images,
            "delivered": self.delivered,
        }


@dataclass(slots=True)
class Tally:
    """Counts of one model, or of all."""

    calls: int = 0
    ok: int = 0
    """Answered 200, whole."""
    lost: int = 0
    """Worked on and charged, but the answer did not reach the client whole: cut, timed out, truncated, client gone."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    images: int = 0
    lost_tokens: int = 0
    lost_images: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    by_error: Counter[str] = field(default_factory=Counter)

    def enter(self) -> None:
        """A call starts being worked on."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def leave(self) -> None:
        """It is no longer worked on."""
        self.in_flight -= 1

    def add(self, call: Call) -> None:
        """Count an ended call."""
        self.calls += 1
        self.by_status[str(call.status) if call.status else "none"] += 1
        if call.code:
            self.by_error[call.code] += 1
        if call.delivered and call.status == 200:
            self.ok += 1
            self.prompt_tokens += call.prompt_tokens
            self.completion_tokens += call.completion_tokens
            self.images += call.images
        elif call.prompt_tokens or call.images:
            self.lost += 1
            self.lost_tokens += call.prompt_tokens + call.completion_tokens
            self.lost_images += call.images

    def as_json(self) -> dict[str, Any]:
        """For /sandbox/stats."""
        return {name: getattr(self, name) for name in self.__slots__}


class Stats:
    """Everything counted since the start or the last reset."""

    def __init__(self, keep_calls: int) -> None:
        self.total = Tally()
        self.models: dict[str, Tally] = {}
        self.accounts: dict[str, Tally] = {}
        """Of models under an account of its own, as `model@account`."""
        self.stalls = 0
        self.stalled_seconds = 0.0
        """Times that this process stood still for 50 ms or more, and for how long in all: its machine was too busy."""
        self._calls: deque[Call] = deque(maxlen=keep_calls)
        self._faults: Counter[str] = Counter()
        self._sent: Counter[bytes] = Counter()
        self._answered: Counter[bytes] = Counter()
        self._markers: Counter[str] = Counter()

    def model(self, name: str) -> Tally:
        """The counts of one model, made on first use."""
        tally = self.models.get(name)
        if tally is None:
            tally = self.models[name] = Tally()
        return tally

    def add(self, call: Call) -> None:
        """Count an ended call."""
        self.total.add(call)
        self.model(call.model).add(call)
        if call.account:
            self.accounts.setdefault(f"{call.model}@{call.account}", Tally()).add(call)
        self._calls.append(call)
        if call.fault:
            self.count_fault(call.fault)
        if call.digest:
            self._sent[call.digest] += 1
            if call.delivered and call.status == 200:
                self._answered[call.digest] += 1
        if call.marker:
            self._markers[call.marker] += 1

    def count_fault(self, kind: str) -> None:
        """A fault rule hit something."""
        self._faults[kind] += 1

    def keep(self, calls: int) -> None:
        """Change how many recent calls are remembered."""
        if calls != self._calls.maxlen:
            self._calls = deque(self._calls, maxlen=calls)

    def reset(self) -> None:
        """Forget all but the calls in flight."""
        fresh = Stats(self._calls.maxlen or 1)
        for name, tally in self.models.items():
            if tally.in_flight:
                fresh.models[name] = Tally(in_flight=tally.in_flight, max_in_flight=tally.in_flight)
        in_flight = self.total.in_flight
        self.__dict__.update(fresh.__dict__)
        self.total.in_flight = self.total.max_in_flight = in_flight

    def recent(self, limit: int, model: str | None = None) -> list[dict[str, Any]]:
        """The last `limit` calls (of one model), newest first."""
        found: list[dict[str, Any]] = []
        for call in self._newest_first():
            if len(found) >= limit:
                break
            if model is None or call.model == model:
                found.append(call.as_json())
        return found

    def _newest_first(self) -> Iterator[Call]:
        return reversed(self._calls)

    def as_json(self) -> dict[str, Any]:
        """For /sandbox/stats."""
        return {
            "totals": self.total.as_json(),
            "models": {name: tally.as_json() for name, tally in sorted(self.models.items())},
            "accounts": {name: tally.as_json() for name, tally in sorted(self.accounts.items())},
            "stalls": {"count": self.stalls, "seconds": round(self.stalled_seconds, 3)},
            "faults": dict(self._faults),
            "requests": {
                **_repeats(self._sent, bytes.hex),
                "answered_more_than_once": sum(1 for n in self._answered.values() if n > 1),
            },
            "client_request_ids": {
                "calls_with_one": self._markers.total(),
                **_repeats(self._markers, str),
            },
        }


def _repeats(counts: Counter[Any], show: Any) -> dict[str, Any]:
    repeated = [key for key, n in counts.items() if n > 1]
    return {
        "distinct": len(counts),
        "repeated": len(repeated),
        "repeated_examples": [show(key) for key in repeated[:EXAMPLES]],
    }
