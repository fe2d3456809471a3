"""What an unsuccessful call means. Pure: every status, body and broken connection gets one kind.

Decided on `error.code` first, since statuses lie (billing stops come as 429 and as 400, removed models as 404 and as
400); on the message only where the provider's code is not known (OPENAI.md 1.4, 5 and 7 have the shapes).
"""

import enum
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from pressroom.errors import PressroomError
from pressroom.limits.headers import parse_duration

Dimension = Literal["requests", "tokens", "images"]


class FailureKind(enum.StrEnum):
    """What to do about it is decided in retry.py."""

    RATE_LIMITED = "rate_limited"
    """429: this call found no quota. Costs nothing."""
    SLOW_DOWN = "slow_down"
    """429: traffic grows too fast, though within the limits."""
    TRANSIENT = "transient"
    """The provider had a fault, or the call never reached it."""
    UNKNOWN_OUTCOME = "unknown_outcome"
    """Sent, and no whole answer came back: it may have been done, and billed."""
    BILLING_STOP = "billing_stop"
    """The account may not spend any more."""
    MODEL_REMOVED = "model_removed"
    """The endpoint no longer has this model."""
    REFUSED = "refused"
    """This request will never be accepted: invalid, or blocked by moderation."""
    UNAUTHORISED = "unauthorised"
    """The key is not valid, or may not use the model."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One unsuccessful call. `body` is the provider's own answer, as far as it could be read."""

    kind: FailureKind
    code: str
    type: str | None
    message: str
    param: str | None = None
    status_code: int | None = None
    request_id: str | None = None
    retry_after_seconds: float | None = None
    dimension: Dimension | None = None
    body: Any = None
    possibly_billed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def moderated(self) -> bool:
        """Whether the provider's safety system refused it."""
        return self.code in MODERATION_CODES


class ProviderError(PressroomError):
    """A call to the provider did not succeed."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(f"{failure.kind} ({failure.code}): {failure.message}")


BILLING_CODES = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_hard_limit_reached",
        "billing_not_active",
    }
)
MODERATION_CODES = frozenset({"content_policy_violation", "moderation_blocked", "image_content_policy_violation"})

# Matched at the start only: messages about bad input quote the input, which may say anything.
_BILLING_MESSAGE = re.compile(r"billing hard limit has been reached|you exceeded your current quota", re.IGNORECASE)
_REMOVED_MESSAGE = re.compile(r"the model [`'\"][^`'\"]+[`'\"] (does not exist|has been deprecated)", re.IGNORECASE)
# More than a whole minute's limit in one request: a 429 by its status and code, and no waiting helps.
_TOO_LARGE_MESSAGE = re.compile(r"request too large for ", re.IGNORECASE)
_TRY_AGAIN = re.compile(r"try again in ((?:\d+(?:\.\d+)?(?:ms|us|µs|h|m|s))+)", re.IGNORECASE)
_IN_MESSAGE: tuple[tuple[str, Dimension], ...] = (
    ("images per m", "images"),
    ("tokens per ", "tokens"),
    ("requests per ", "requests"),
)
_MAX_MESSAGE = 2_000


def classify(status_code: int, body: Any, headers: Mapping[str, str]) -> Failure:
    """The failure that an answer stands for. `body` is parsed JSON, or text where it was none.

    Header names are looked up in lower case. Total: any status and any body gets a kind.
    """
    error = _error_object(body)
    code, kind_name = _text(error.get("code")), _text(error.get("type"))
    message = _text(error.get("message")) or _fallback_message(status_code, body)
    kind = _kind(status_code, code, kind_name, message)
    return Failure(
        kind=kind,
        code=code or _fallback_code(kind, status_code),
        type=kind_name,
        message=message[:_MAX_MESSAGE],
        param=_text(error.get("param")),
        status_code=status_code,
        request_id=headers.get("x-request-id"),
        retry_after_seconds=retry_after_seconds(headers, message),
        dimension=_dimension(kind_name, message) if kind is FailureKind.RATE_LIMITED else None,
        body=body,
        possibly_billed=_possibly_billed(kind, status_code, error),
        headers=headers,
    )


def never_sent(message: str) -> Failure:
    """The connection could not be made: nothing was done and nothing billed."""
    return Failure(FailureKind.TRANSIENT, "connection_failed", None, message)


def outcome_unknown(code: str, message: str, *, status_code: int | None = None, body: Any = None) -> Failure:
    """The request went out and no whole answer came back, or one that cannot be read (`MalformedReply`)."""
    return Failure(
        FailureKind.UNKNOWN_OUTCOME, code, None, message, status_code=status_code, body=body, possibly_billed=True
    )


def retry_after_seconds(headers: Mapping[str, str], message: str = "") -> float | None:
    """How long the provider asks to wait: by header (milliseconds, seconds or a date), else by its message."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    after = headers.get("retry-after")
    if after is not None:
        seconds = _seconds(after)
        return seconds if seconds is not None else _until(after, headers.get("date"))
    asked = _TRY_AGAIN.search(message)
    return parse_duration(asked[1]) if asked else None


def _kind(status_code: int, code: str | None, kind_name: str | None, message: str) -> FailureKind:
    if code in BILLING_CODES or kind_name == "insufficient_quota" or _BILLING_MESSAGE.match(message):
        return FailureKind.BILLING_STOP
    if code == "slow_down":
        return FailureKind.SLOW_DOWN
    if code == "model_not_found" or (status_code in (400, 404) and _REMOVED_MESSAGE.match(message)):
        return FailureKind.MODEL_REMOVED
    if status_code == 429 and _TOO_LARGE_MESSAGE.match(message):
        return FailureKind.REFUSED
    if status_code == 429 or code == "rate_limit_exceeded":
        return FailureKind.RATE_LIMITED
    if status_code in (401, 403):
        return FailureKind.UNAUTHORISED
    if status_code in (408, 409, 425) or status_code >= 500:
        return FailureKind.TRANSIENT
    if 300 <= status_code < 500:
        return FailureKind.REFUSED
    return FailureKind.UNKNOWN_OUTCOME


def _possibly_billed(kind: FailureKind, status_code: int, error: Mapping[str, Any]) -> bool:
    """No rule is published for most of these; where one may have been billed, it stays on the books as at risk.

    A timeout reported by the provider's own gateway is like one of ours; a block of the finished picture comes after
    the work.
    """
    if kind is FailureKind.REFUSED:
        details = error.get("moderation_details")
        return isinstance(details, Mapping) and details.get("moderation_stage") == "output"
    if kind is FailureKind.TRANSIENT:
        return status_code in (408, 504)
    return kind is FailureKind.UNKNOWN_OUTCOME


def _error_object(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        return {}
    inner = body.get("error")
    if isinstance(inner, str):
        return {"message": inner}
    return inner if isinstance(inner, Mapping) else body


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _fallback_message(status_code: int, body: Any) -> str:
    said = f": {body[:200]}" if isinstance(body, str) and body.strip() else " and no error object"
    return f"the provider answered {status_code}{said}"


def _fallback_code(kind: FailureKind, status_code: int) -> str:
    names = {
        FailureKind.RATE_LIMITED: "rate_limit_exceeded",
        FailureKind.BILLING_STOP: "insufficient_quota",
        FailureKind.MODEL_REMOVED: "model_not_found",
    }
    return names.get(kind, f"http_{status_code}")


def _dimension(kind_name: str | None, message: str) -> Dimension | None:
    lowered = message.lower()
    if "concurrent" in lowered:
        # Calls at once are no rate: slowing one down would not help.
        return None
    for words, dimension in _IN_MESSAGE:
        if words in lowered:
            return dimension
    if kind_name == "requests":
        return "requests"
    return "tokens" if kind_name == "tokens" else None


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _until(http_date: str, sent_at: str | None) -> float | None:
    """Seconds from the answer's own Date to the date given, so that our clock does not matter."""
    if sent_at is None:
        return None
    try:
        return max(0.0, (parsedate_to_datetime(http_date) - parsedate_to_datetime(sent_at)).total_seconds())
    except (TypeError, ValueError):
        return None
