"""The limits of one model at work: admit, refuse, true up, and the headers that tell of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sandbox.buckets import Bucket
from sandbox.config import Config, Foreign, Limits, ModelSpec
from sandbox.durations import go_duration

Dimension = Literal["requests", "tokens", "images", "day", "concurrent"]
_LABEL: dict[Dimension, str] = {
    "requests": "requests per min (RPM)",
    "tokens": "tokens per min (TPM)",
    "images": "images per minute (IPM)",
    "day": "requests per day (RPD)",
    "concurrent": "concurrent requests",
}
# OpenAI names the dimension in error.type; a recorded image-limit body says "input-images".
_ERROR_TYPE: dict[Dimension, str] = {
    "requests": "requests",
    "tokens": "tokens",
    "images": "input-images",
    "day": "requests",
    "concurrent": "requests",
}
DAY_SECONDS = 86_400.0
_FORGIVEN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call takes from each dimension."""

    tokens: float = 0.0
    images: float = 0.0
    requests: float = 1.0

    def of(self, dimension: Dimension) -> float:
        """The amount in `dimension`."""
        if dimension == "tokens":
            return self.tokens
        return self.images if dimension == "images" else self.requests


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call was not admitted. `wait_seconds` is None when waiting cannot help."""

    dimension: Dimension
    limit: float
    used: float
    requested: float
    wait_seconds: float | None

    @property
    def error_type(self) -> str:
        """`error.type` of the 429."""
        return _ERROR_TYPE[self.dimension]

    def message(self, model: str, organization: str) -> str:
        """The provider's sentence for it."""
        where = f"for {model} in organization {organization} on {_LABEL[self.dimension]}"
        amounts = f"Limit {self.limit:.0f}"
        if self.wait_seconds is None:
            return (
                f"Request too large {where}: {amounts}, Requested {self.requested:.0f}. The input or output tokens "
                "must be reduced in order to run successfully. Visit "
                "https://platform.openai.com/account/rate-limits to learn more."
            )
        return (
            f"Rate limit reached {where}: {amounts}, Used {self.used:.0f}, Requested {self.requested:.0f}. "
            f"Please try again in {go_duration(self.wait_seconds)}. "
            "Visit https://platform.openai.com/account/rate-limits to learn more."
        )


@dataclass(slots=True)
class Meter:
    """One dimension: the announced bucket, and the hidden one if there is a quantum."""

    dimension: Dimension
    limit: float
    announced: Bucket
    quantum: Bucket | None

    def buckets(self) -> tuple[Bucket, ...]:
        """Those that a call must fit."""
        return (self.announced,) if self.quantum is None else (self.announced, self.quantum)


class Account:
    """The limits of one model (or of several that share them). Times are seconds of one monotonic clock."""

    def __init__(self, limits: Limits, foreign: Foreign, *, now: float) -> None:
        self.limits = limits
        self.foreign = foreign
        self.in_flight = 0
        per_minute: tuple[tuple[Dimension, float | None, float], ...] = (
            ("requests", limits.rpm, foreign.rpm),
            ("tokens", limits.tpm, foreign.tpm),
            ("images", limits.ipm, foreign.ipm),
        )
        self._meters = [
            _meter(dimension, limit, drain / 60, limits=limits, now=now)
            for dimension, limit, drain in per_minute
            if limit is not None
        ]
        if limits.rpd is not None:
            day = Bucket.full(limits.rpd / DAY_SECONDS, limits.rpd, foreign=foreign.rpm / 60, now=now)
            self._meters.append(Meter("day", limits.rpd, day, None))

    def admit(self, cost: Cost, now: float) -> Refusal | None:
        """Take `cost` from every dimension at once, or take nothing (but the refusal's price) and say why not."""
        refusal = self._refusal(cost, now)
        if refusal is None:
            for meter in self._meters:
                for bucket in meter.buckets():
                    bucket.take(now, cost.of(meter.dimension))
            self.in_flight += 1
        elif self.limits.reject_cost:
            for meter in self._meters:
                if meter.dimension in ("requests", "day"):
                    for bucket in meter.buckets():
                        bucket.spoil(now, self.limits.reject_cost)
        return refusal

    def _refusal(self, cost: Cost, now: float) -> Refusal | None:
        most = self.limits.concurrency
        if most is not None and self.in_flight >= most:
            return Refusal("concurrent", most, self.in_flight, 1, wait_seconds=1.0)
        worst: Refusal | None = None
        for meter in self._meters:
            amount = cost.of(meter.dimension)
            if amount > max(meter.limit, meter.announced.capacity):
                return Refusal(meter.dimension, meter.limit, 0, amount, wait_seconds=None)
            wait = max(bucket.wait(now, amount) for bucket in meter.buckets()) if amount else 0.0
            if wait > 0 and (worst is None or wait > (worst.wait_seconds or 0)):
                # What is stated is the limit a minute, whatever the bucket holds: callers believe the figure.
                used = meter.limit - max(0.0, meter.announced.level_at(now))
                worst = Refusal(meter.dimension, meter.limit, max(0.0, used), amount, wait_seconds=wait)
        return worst

    def finish(self, now: float, *, token_difference: float = 0.0) -> None:
        """A call ended; `token_difference` is its true cost less what was taken on admission."""
        self.in_flight -= 1
        if token_difference:
            for meter in self._meters:
                if meter.dimension == "tokens":
                    for bucket in meter.buckets():
                        bucket.take(now, token_difference)

    def forgive(self, now: float, stalled_seconds: float) -> None:
        """The sandbox stood still so long: calls that queued up meanwhile came in time."""
        for meter in self._meters:
            for bucket in meter.buckets():
                bucket.forgive(now, stalled_seconds, _FORGIVEN_SECONDS)

    def take_over(self, former: "Account", now: float) -> None:
        """Go on where the same account stood under other limits: buckets are as full as they were, in shares of 1."""
        self.in_flight = former.in_flight
        meters = {meter.dimension: meter for meter in former._meters}
        for meter in self._meters:
            if (old := meters.get(meter.dimension)) is not None:
                meter.announced.level = meter.announced.capacity * old.announced.share_at(now)
                if meter.quantum is not None and old.quantum is not None:
                    meter.quantum.level = meter.quantum.capacity * old.quantum.share_at(now)

    def headers(self, now: float) -> list[tuple[str, str]]:
        """The x-ratelimit headers at `now`. There are none for images: the provider documents none."""
        headers: list[tuple[str, str]] = []
        for meter in self._meters:
            name = self._header_name(meter)
            if name is None:
                continue
            bucket = meter.announced
            level = min(bucket.capacity, bucket.level_at(now))
            headers.append((f"x-ratelimit-limit-{name}", f"{bucket.capacity:.0f}"))
            headers.append((f"x-ratelimit-remaining-{name}", str(max(0, int(level + 1e-9)))))
            headers.append((f"x-ratelimit-reset-{name}", go_duration((bucket.capacity - level) / bucket.rate)))
        return headers

    def _header_name(self, meter: Meter) -> str | None:
        if meter.dimension == "tokens":
            return "tokens"
        if meter.dimension == "images":
            return None
        both = self.limits.rpm is not None and self.limits.rpd is not None
        shown = "day" if both and self.limits.requests_header == "rpd" else "requests"
        return "requests" if not both or meter.dimension == shown else None


def _meter(dimension: Dimension, per_minute: float, drain: float, *, limits: Limits, now: float) -> Meter:
    rate = per_minute / 60
    announced = Bucket.full(rate, rate * limits.burst_seconds, foreign=drain, now=now)
    if limits.credit_seconds is not None:
        announced.level = min(announced.capacity, rate * limits.credit_seconds)
    quantum = None
    if limits.quantum_seconds is not None:
        quantum = Bucket.full(rate, max(1.0, rate * limits.quantum_seconds), foreign=drain, now=now)
    return Meter(dimension, per_minute, announced, quantum)


class Accounts:
    """The accounts of all models, made on first use and kept level when the configuration changes elsewhere."""

    def __init__(self, config: Config, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._accounts: dict[str, Account] = {}

    def group(self, model: str, spec: ModelSpec, holder: str = "") -> str:
        """The name of the account that `model` draws on: `gpt-4o-mini`, or `gpt-4o-mini@b` for the holder `b`."""
        own = model in self._config.limits or f"{model}@{holder}" in self._config.limits
        shared = model if own or spec.shares_limits_with is None else spec.shares_limits_with
        return f"{shared}@{holder}" if holder else shared

    def of(self, group: str) -> Account:
        """The account of a group."""
        account = self._accounts.get(group)
        if account is None:
            limits, foreign = self._terms(group)
            account = self._accounts[group] = Account(limits, foreign, now=self._clock())
        return account

    def reconfigure(self, config: Config) -> None:
        """Accounts whose limits stay as they were keep their levels; the others stay as full as they were."""
        self._config = config
        for group, account in list(self._accounts.items()):
            if self._terms(group) != (account.limits, account.foreign):
                del self._accounts[group]
                self.of(group).take_over(account, self._clock())

    def forgive(self, stalled_seconds: float) -> None:
        """Let every account take at once what came while the sandbox stood still."""
        for account in self._accounts.values():
            account.forgive(self._clock(), stalled_seconds)

    def refill(self) -> None:
        """Fill every bucket."""
        for group in list(self._accounts):
            self._renew(group)

    def _renew(self, group: str) -> None:
        in_flight = self._accounts.pop(group).in_flight
        self.of(group).in_flight = in_flight

    def _terms(self, group: str) -> tuple[Limits, Foreign]:
        model = group.partition("@")[0]
        limits = (self._config.limits.get(name) for name in (group, model, "*"))
        return next(filter(None, limits), Limits()), self._config.foreign.get(group) or Foreign()
