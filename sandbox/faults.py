"""Faults on demand: which rule hits a call, and the error bodies of those that answer with one."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sandbox import errors
from sandbox.config import Endpoint, FaultKind, FaultRule, Limits
from sandbox.durations import go_duration, whole_seconds
from sandbox.errors import ApiError

# Answered at once instead of the call; nothing is admitted or charged.
REFUSALS: frozenset[FaultKind] = frozenset(
    (
        "http_503",
        "overloaded",
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
        "model_removed",
        "bad_request",
        "auth",
    )
)
# The others strike after the call was admitted, charged and worked on.
PLAIN_503 = b"upstream connect error or disconnect/reset before headers. reset reason: overflow"
TIMEOUT_SECONDS = 600.0
DRIP_SECONDS = 5.0
_QUOTA_MESSAGES: dict[str, str] = {
    "insufficient_quota": (
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
    ),
    "credit_balance_exhausted": "Your organization has run out of credits. Add credits to continue using the API.",
    "organization_spend_limit_exceeded": "Your organization has reached its monthly spend limit.",
    "project_spend_limit_exceeded": "Your project has reached its monthly spend limit.",
    "organization_usage_limit_exceeded": "Your organization has reached its usage limit.",
}


@dataclass(slots=True)
class _Counted:
    rule: FaultRule
    matched: int = 0
    hits: int = 0


class FaultBook:
    """The rules with their counters. The first rule that hits wins; every matching rule counts the call."""

    def __init__(self, rules: Sequence[FaultRule], seed: int) -> None:
        self._rules = [_Counted(rule) for rule in rules]
        self._rng = random.Random(seed)

    def pick(self, endpoint: Endpoint, model: str, text: Callable[[], str], *, account: str = "") -> FaultRule | None:
        """The rule that hits this call; `text` gives its prompt and is called only when a rule asks for it."""
        chosen: FaultRule | None = None
        for counted in self._rules:
            if not _looks_at(counted.rule, endpoint, model, text):
                continue
            if counted.rule.match.account not in (None, account):
                continue
            counted.matched += 1
            if chosen is None and self._hits(counted):
                counted.hits += 1
                chosen = counted.rule
        return chosen

    def _hits(self, counted: _Counted) -> bool:
        rule, number = counted.rule, counted.matched - counted.rule.match.after
        if number <= 0 or (rule.times is not None and counted.hits >= rule.times):
            return False
        if rule.match.every is not None and number % rule.match.every:
            return False
        # Drawn last, so that a call which could not be hit anyway does not move the sequence.
        return rule.match.probability is None or self._rng.random() < rule.match.probability


def _looks_at(rule: FaultRule, endpoint: Endpoint, model: str, text: Callable[[], str]) -> bool:
    match = rule.match
    if match.endpoint != endpoint and (match.endpoint is not None or endpoint == "files"):
        return False
    if match.model is not None and match.model != model:
        return False
    return match.contains is None or match.contains in text()


def refusal_error(
    rule: FaultRule, *, endpoint: Endpoint, model: str, organization: str, limits: Limits | None = None
) -> ApiError:
    """The error that a rule in REFUSALS answers with (http_503 has no JSON body: see PLAIN_503).

    A rate limit is stated as it is in `limits`: callers believe the figure. Where there is none, no figure is given.
    """
    kind = rule.fault
    seconds = 1.0 if rule.seconds is None else rule.seconds
    retry = (("retry-after", str(whole_seconds(seconds))),)
    if kind in _QUOTA_MESSAGES:
        return ApiError(429, _QUOTA_MESSAGES[kind], type="insufficient_quota", code=kind)
    if kind.startswith("rate_limit_"):
        return _rate_limited(kind, seconds, where=f"for {model} in organization {organization}", limits=limits)
    simple: dict[str, ApiError] = {
        "overloaded": ApiError(
            503,
            "Our servers are currently overloaded. Please try again later.",
            type="service_unavailable_error",
            code="server_is_overloaded",
            headers=retry,
        ),
        "slow_down": ApiError(
            429,
            "Your traffic is growing too fast. Please slow down and increase it gradually.",
            type="rate_limit_error",
            code="slow_down",
            headers=retry,
        ),
        "billing_hard_limit": ApiError(400, "Billing hard limit has been reached.", code="billing_hard_limit_reached"),
        "flex_unavailable": ApiError(
            429, "Resource Unavailable", type="resource_unavailable", code="resource_unavailable"
        ),
        "auth": errors.BAD_KEY,
        "bad_request": errors.invalid(
            "user", "Invalid 'user': the sandbox was told to refuse this request.", code="invalid_value"
        ),
    }
    if kind == "model_removed":
        return errors.image_model_missing(model) if endpoint == "images" else errors.chat_model_removed(model)
    return simple[kind]


def _rate_limited(kind: str, seconds: float, *, where: str, limits: Limits | None) -> ApiError:
    limits = limits or Limits()
    label, error_type, per_minute = {
        "rate_limit_requests": ("requests per min (RPM)", "requests", limits.rpm),
        "rate_limit_tokens": ("tokens per min (TPM)", "tokens", limits.tpm),
        "rate_limit_images": ("images per minute (IPM)", "input-images", limits.ipm),
    }[kind]
    amounts = ""
    if per_minute is not None:
        amounts = f": Limit {per_minute:.0f}, Used {per_minute:.0f}, Requested 1"
    message = (
        f"Rate limit reached {where} on {label}{amounts}. "
        f"Please try again in {go_duration(seconds)}. Visit https://platform.openai.com/account/rate-limits to learn "
        "more."
    )
    headers = (("retry-after", str(whole_seconds(seconds))),)
    return ApiError(429, message, type=error_type, code="rate_limit_exceeded", headers=headers)
