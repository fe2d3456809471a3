"""The sandbox's configuration: one typed object, replaceable while it runs. Unknown fields are refused.

docs/sandbox.md explains each field with examples.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

Endpoint = Literal["chat", "images", "files"]
FILE_FAULTS = frozenset(("http_500", "http_503", "timeout", "cut", "cut_after", "truncated", "slow_drip"))
FaultKind = Literal[
    "http_500",
    "http_503",
    "overloaded",
    "timeout",
    "cut",
    "cut_after",
    "truncated",
    "slow_drip",
    "rate_limit_requests",
    "rate_limit_tokens",
    "rate_limit_images",
    "slow_down",
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_hard_limit",
    "flex_unavailable",
    "moderation",
    "model_removed",
    "bad_request",
    "auth",
]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """Frozen, and no field that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSpec(Strict):
    """One served model."""

    endpoint: Literal["chat", "images"]
    snapshot: str | None = None
    """The dated name that answers carry; the model's own name if null."""
    shares_limits_with: str | None = None
    """The model whose limits this one draws on too."""
    reasoning: bool = False
    """Reasoning models refuse max_tokens and any temperature but 1, and bill hidden reasoning tokens."""
    context_window: int = Field(default=128_000, gt=0)
    max_output_tokens: int = Field(default=16_384, gt=0)
    removed: bool = False
    """Answer as the provider does after a shutdown."""
    shutdown_date: str | None = None


class Limits(Strict):
    """Enforced limits of one model; null is unlimited."""

    rpm: Positive | None = None
    tpm: Positive | None = None
    ipm: Positive | None = None
    rpd: Positive | None = None
    concurrency: Annotated[int, Field(gt=0)] | None = None
    burst_seconds: Positive = 60.0
    """Capacity of the announced bucket, in seconds of its rate: what the limit headers show."""
    credit_seconds: NotNegative | None = None
    """What the announced bucket holds at first (and after a reset), in seconds of its rate; null is all it can."""
    quantum_seconds: Positive | None = None
    """Capacity of the second, hidden bucket, in seconds of its rate; null is none."""
    charge: Literal["P1", "P2"] = "P1"
    """P1 takes the true cost on admission; P2 the input estimate plus max_tokens, trued up at completion."""
    reject_cost: NotNegative = 0.0
    """Requests that a refused call consumes."""
    requests_header: Literal["rpm", "rpd"] = "rpm"
    """Which of the two the x-ratelimit-*-requests headers describe when both are set."""


class Foreign(Strict):
    """Somebody else's steady use of the same account, per minute."""

    rpm: NotNegative = 0.0
    tpm: NotNegative = 0.0
    ipm: NotNegative = 0.0


class FixedLatency(Strict):
    """Always `seconds`."""

    kind: Literal["fixed"]
    seconds: NotNegative


class UniformLatency(Strict):
    """Between `low` and `high` seconds."""

    kind: Literal["uniform"]
    low: NotNegative
    high: NotNegative

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high < self.low:
            raise ValueError(f"high ({self.high}) is below low ({self.low}): swap them")
        return self


class LognormalLatency(Strict):
    """Lognormal around `median` seconds, never above `max_seconds`."""

    kind: Literal["lognormal"]
    median: Positive
    sigma: NotNegative = 0.3
    max_seconds: Positive = 60.0


Latency = Annotated[FixedLatency | UniformLatency | LognormalLatency, Field(discriminator="kind")]


class LatencyByEndpoint(Strict):
    """Time from admission to the answer. Refusals are answered at once."""

    chat: Latency = LognormalLatency(kind="lognormal", median=0.25, sigma=0.3)
    images: Latency = LognormalLatency(kind="lognormal", median=0.4, sigma=0.3)


class Match(Strict):
    """Which calls a fault rule looks at, and which of those it hits. Everything given must hold."""

    endpoint: Endpoint | None = None
    """Null is chat and images; the downloads of pictures ("files") are only hit when named."""
    model: str | None = None
    account: str | None = None
    """Calls with the key `sandbox-<account>`; "" is every other key."""
    contains: str | None = None
    """Hits calls whose prompt or messages contain this text."""
    after: Annotated[int, Field(ge=0)] = 0
    """The first this many matching calls pass."""
    every: Annotated[int, Field(ge=1)] | None = None
    """Hits the n-th, 2n-th, … matching call."""
    probability: Share | None = None


class FaultRule(Strict):
    """A fault on demand."""

    fault: FaultKind
    match: Match = Match()
    times: Annotated[int, Field(ge=1)] | None = None
    """Stops after this many hits; null never stops."""
    seconds: NotNegative | None = None
    """timeout: how long it stalls (600); slow_drip: how long the body takes (5); 429 and 503: Retry-After (1)."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.match.endpoint == "files" and self.fault not in FILE_FAULTS:
            raise ValueError(f"{self.fault} cannot happen to files; use one of {', '.join(sorted(FILE_FAULTS))}")
        return self


class ChatText(Strict):
    """How long generated answers are, and how much of the input counts as cached."""

    median_tokens: Positive = 60.0
    sigma: NotNegative = 0.6
    default_max_tokens: Annotated[int, Field(gt=0)] = 512
    """Bound on the answer when the request sets none."""
    cached_share: Share = 0.0


_LUNA = {"context_window": 1_050_000, "max_output_tokens": 128_000, "reasoning": True}


def default_models() -> dict[str, ModelSpec]:
    """dall-e-2, gpt-4o-mini and the current small chat models."""
    return {
        "dall-e-2": ModelSpec(endpoint="images"),
        "gpt-4o-mini": ModelSpec(endpoint="chat", snapshot="gpt-4o-mini-2024-07-18", shutdown_date="2027-01-14"),
        "gpt-4o-mini-2024-07-18": ModelSpec(
            endpoint="chat", shares_limits_with="gpt-4o-mini", shutdown_date="2027-01-14"
        ),
        "gpt-6-luna": ModelSpec(endpoint="chat", **_LUNA),
        "gpt-5.6-luna": ModelSpec(endpoint="chat", **_LUNA),
        "gpt-5.4-mini": ModelSpec(endpoint="chat", context_window=400_000, max_output_tokens=128_000, reasoning=True),
        "gpt-5.4-nano": ModelSpec(
            endpoint="chat",
            context_window=400_000,
            max_output_tokens=128_000,
            reasoning=True,
            shutdown_date="2027-04-01",
        ),
    }


class Config(Strict):
    """Everything that can be set, at the start or through /sandbox/config."""

    models: dict[str, ModelSpec] = Field(default_factory=default_models)
    limits: dict[str, Limits] = Field(default_factory=dict)
    """By model; "*" stands for every model without its own entry, each with an account of its own.

    `model@b` is the account of the key `sandbox-b`, which has the model's own limits where it has no entry."""
    foreign: dict[str, Foreign] = Field(default_factory=dict)
    latency: LatencyByEndpoint = LatencyByEndpoint()
    faults: list[FaultRule] = Field(default_factory=list)
    chat: ChatText = ChatText()
    seed: int = 0
    """Seeds latencies and probabilities. Texts and pictures depend on the request alone."""
    organization: str = "org-sandbox"
    file_seconds: Positive = 3600.0
    """How long a picture's URL works."""
    retry_after: Literal["seconds", "both", "none"] = "seconds"
    """429 headers: Retry-After, that and retry-after-ms, or neither."""
    keep_calls: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    """How many recent calls /sandbox/calls remembers."""

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for section, names in (("limits", self.limits), ("foreign", self.foreign)):
            for name in names:
                model = name.partition("@")[0]
                if model not in self.models and not (name == "*" and section == "limits"):
                    raise ValueError(
                        f"{section}.{name}: no such model; add it to models or use one of {sorted(self.models)}"
                    )
        for name, spec in self.models.items():
            other = spec.shares_limits_with
            if other is not None and other not in self.models:
                raise ValueError(f"models.{name}.shares_limits_with: {other!r} is not in models")
        return self


class ConfigError(ValueError):
    """A configuration that cannot be used: names each field, its value and what is wrong."""


def parse_config(data: Mapping[str, Any]) -> Config:
    """Validate a whole configuration; raises ConfigError."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError("; ".join(_problem(detail) for detail in error.errors(include_url=False))) from error


def _problem(detail: ErrorDetails) -> str:
    where = ".".join(str(part) for part in detail["loc"]) or "config"
    if detail["type"] == "extra_forbidden":
        known = f" (fields: {', '.join(Config.model_fields)})" if len(detail["loc"]) == 1 else ""
        return f"{where}: no such field{known}; docs/sandbox.md lists them all"
    return f"{where}: {detail['msg']} (got {repr(detail['input'])[:80]})"


def patch_config(config: Config, patch: Mapping[str, Any]) -> Config:
    """Apply a JSON merge patch (RFC 7386: null removes a key, lists are replaced); raises ConfigError."""
    return parse_config(_merge(config.model_dump(), patch))


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    if "kind" in patch and patch["kind"] != merged.get("kind"):
        merged = {}  # another kind of latency has other fields
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged
