from typing import Any

import pytest

from pressroom.providers.failures import (
    BILLING_CODES,
    FailureKind,
    ProviderError,
    classify,
    never_sent,
    outcome_unknown,
    retry_after_seconds,
)

KIND = FailureKind
IPM_MESSAGE = (
    "Rate limit reached for gpt-image-2 in organization org-1 on images per minute (IPM): Limit 5, Used 5, "
    "Requested 1. Please try again in 12s. Visit https://platform.openai.com/account/rate-limits to learn more."
)


def _error(message: str = "m", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "param": None, "code": None, **fields}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (429, _error(code="rate_limit_exceeded", type="requests"), KIND.RATE_LIMITED, "rate_limit_exceeded"),
        (429, _error("Resource Unavailable"), KIND.RATE_LIMITED, "rate_limit_exceeded"),
        (429, "Too many requests", KIND.RATE_LIMITED, "rate_limit_exceeded"),
        (
            429,
            _error(
                "Request too large for gpt-4o-mini in organization org-1 on tokens per min (TPM): Limit 10, "
                "Requested 20.",
                code="rate_limit_exceeded",
                type="tokens",
            ),
            KIND.REFUSED,
            "rate_limit_exceeded",
        ),
        (429, _error(code="slow_down", type="rate_limit_error"), KIND.SLOW_DOWN, "slow_down"),
        (429, _error(code="insufficient_quota", type="insufficient_quota"), KIND.BILLING_STOP, "insufficient_quota"),
        (429, _error(code="a_new_stop", type="insufficient_quota"), KIND.BILLING_STOP, "a_new_stop"),
        (400, _error("Billing hard limit has been reached."), KIND.BILLING_STOP, "insufficient_quota"),
        (
            400,
            _error("Billing hard limit has been reached.", code="billing_hard_limit_reached"),
            KIND.BILLING_STOP,
            "billing_hard_limit_reached",
        ),
        (
            404,
            _error("The model `gpt-3.5-turbo-1106` has been deprecated, learn more", code="model_not_found"),
            KIND.MODEL_REMOVED,
            "model_not_found",
        ),
        (400, _error("The model 'dall-e-2' does not exist."), KIND.MODEL_REMOVED, "model_not_found"),
        (
            400,
            _error("The model 'dall-e-2' does not exist.", code="invalid_value", param="model"),
            KIND.MODEL_REMOVED,
            "invalid_value",
        ),
        (400, _error("You said: The model 'x' does not exist.", code="invalid"), KIND.REFUSED, "invalid"),
        (400, _error("You said: Billing hard limit has been reached", code="invalid"), KIND.REFUSED, "invalid"),
        (400, _error(code="content_policy_violation"), KIND.REFUSED, "content_policy_violation"),
        (404, _error("Invalid URL (POST /v1/x)"), KIND.REFUSED, "http_404"),
        (413, "", KIND.REFUSED, "http_413"),
        (307, "", KIND.REFUSED, "http_307"),
        (401, _error(code="invalid_api_key"), KIND.UNAUTHORISED, "invalid_api_key"),
        (403, _error("Your organization must be verified to use the model `m`"), KIND.UNAUTHORISED, "http_403"),
        (408, "", KIND.TRANSIENT, "http_408"),
        (409, "", KIND.TRANSIENT, "http_409"),
        (500, _error(type="server_error"), KIND.TRANSIENT, "http_500"),
        (503, _error(code="server_is_overloaded"), KIND.TRANSIENT, "server_is_overloaded"),
        (503, "upstream connect error", KIND.TRANSIENT, "http_503"),
        (504, None, KIND.TRANSIENT, "http_504"),
        (204, None, KIND.UNKNOWN_OUTCOME, "http_204"),
    ],
)
def test_each_shape_has_its_kind(status: int, body: Any, kind: FailureKind, code: str) -> None:
    failure = classify(status, body, {})

    assert (failure.kind, failure.code) == (kind, code)
    assert failure.message
    assert failure.body == body


@pytest.mark.parametrize("code", sorted(BILLING_CODES))
@pytest.mark.parametrize("status", [400, 403, 429])
def test_a_billing_stop_is_told_by_its_code_whatever_the_status(code: str, status: int) -> None:
    assert classify(status, _error(code=code), {}).kind is KIND.BILLING_STOP


@pytest.mark.parametrize(
    ("message", "kind_name", "dimension"),
    [
        (IPM_MESSAGE, "input-images", "images"),
        (IPM_MESSAGE, "requests", "images"),
        ("on tokens per min (TPM): Limit 1", "tokens", "tokens"),
        ("on requests per day (RPD): Limit 1", None, "requests"),
        ("m", "requests", "requests"),
        ("m", "tokens", "tokens"),
        ("Resource Unavailable", "resource_unavailable", None),
    ],
)
def test_a_429_names_its_dimension(message: str, kind_name: str | None, dimension: str | None) -> None:
    assert classify(429, _error(message, type=kind_name), {}).dimension == dimension


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({}, "", None),
        ({"retry-after": "12"}, "Please try again in 5s.", 12.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, "", 0.25),
        ({"retry-after": "0"}, "", 0.0),
        ({"retry-after": "-1"}, "", None),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "soon"}, "", None),
        (
            {"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT", "date": "Sun, 22 Nov 2026 12:00:00 GMT"},
            "",
            30.0,
        ),
        (
            {"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT", "date": "Sun, 22 Nov 2026 12:00:00 GMT"},
            "",
            0.0,
        ),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}, "", None),
        ({}, IPM_MESSAGE, 12.0),
        ({}, "Please try again in 1m30s. Visit", 90.0),
        ({}, "Please try again in 120ms.", 0.12),
        ({}, "Please try again in 6m0.5s.", 360.5),
        ({}, "Please try again in a while.", None),
    ],
)
def test_how_long_the_provider_asks_to_wait(headers: dict[str, str], message: str, seconds: float | None) -> None:
    assert retry_after_seconds(headers, message) == seconds


@pytest.mark.parametrize(
    ("status", "body", "billed"),
    [
        (400, _error(code="invalid"), False),
        (429, _error(), False),
        (401, _error(), False),
        (500, _error(), False),
        (504, "", True),
        (408, "", True),
        (400, _error(code="moderation_blocked", moderation_details={"moderation_stage": "input"}), False),
        (400, _error(code="moderation_blocked", moderation_details={"moderation_stage": "output"}), True),
    ],
)
def test_what_may_have_been_billed_stays_on_the_books(status: int, body: Any, billed: bool) -> None:
    assert classify(status, body, {}).possibly_billed is billed


def test_a_broken_connection_was_billed_only_if_the_request_went_out() -> None:
    assert never_sent("refused").kind is KIND.TRANSIENT
    assert not never_sent("refused").possibly_billed
    assert outcome_unknown("timeout", "silence").kind is KIND.UNKNOWN_OUTCOME
    assert outcome_unknown("timeout", "silence").possibly_billed


def test_a_failure_carries_what_support_asks_for() -> None:
    body = _error("Invalid value: 'x'.", code="invalid_value", param="size", type="invalid_request_error")

    failure = classify(400, body, {"x-request-id": "req_1", "x-ratelimit-limit-requests": "60"})

    assert (failure.param, failure.type, failure.request_id, failure.status_code) == (
        "size",
        "invalid_request_error",
        "req_1",
        400,
    )
    assert failure.headers["x-ratelimit-limit-requests"] == "60"
    assert str(ProviderError(failure)) == "refused (invalid_value): Invalid value: 'x'."
    assert not failure.moderated
    assert classify(400, _error(code="moderation_blocked"), {}).moderated
