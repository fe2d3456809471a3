"""Rate-limit headers: durations, quotas, and the window behind a limit."""

from __future__ import annotations

import pytest

from pressroom.limits.headers import Quota, parse_duration, parse_headers


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("41ms", 0.041),
        ("2s81ms", 2.081),
        ("5h50m30ms", 21000.030),
        ("4m12.172s", 252.172),
        ("120ms", 0.12),
        ("500us", 0.0005),
        ("20", 20.0),
        ("0", 0.0),
        (" 1.5 ", 1.5),
    ],
)
def test_durations_as_go_prints_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "1x", "s", "1s later", "-3", "nan", "inf", "1m 2s", "Tue, 24 Nov 2026"])
def test_anything_else_is_no_duration(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("quota", "window"),
    [
        (Quota(500, 499, 0.120), 60.0),  # published sample: requests
        (Quota(1_500_000, 1_495_621, 252.172), 86400.0),  # published sample: tokens counted over a day
        (Quota(1_500_000, 1_490_773, 531.438), 86400.0),
        (Quota(100, 97, 0.3), 10.0),
        (Quota(10_000, 9_999, 0.006), 60.0),  # one request: the milliseconds are coarse, a minute is near
        (Quota(700, 350, 21.0), 42.0),  # no usual window, but a precise one
    ],
)
def test_the_window_is_recovered(quota: Quota, window: float) -> None:
    assert quota.window_seconds() == pytest.approx(window, rel=0.001)


@pytest.mark.parametrize(
    "quota",
    [
        Quota(100, 100, 0.0),  # nothing used: any window fits
        Quota(100, 99),  # no reset given
        Quota(30_000, 29_999, 0.002),  # 2 ms +- 25 %
        Quota(100, 99, 0.0),
    ],
)
def test_no_window_from_too_little(quota: Quota) -> None:
    assert quota.window_seconds() is None


def test_headers_of_a_response() -> None:
    found = parse_headers(
        {
            "X-RateLimit-Limit-Requests": "60",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-limit-tokens": "150000",
            "x-ratelimit-remaining-tokens": "149984",
            "x-ratelimit-reset-tokens": "6m0s",
            "x-request-id": "req_1",
        }
    )
    assert found is not None
    assert found.requests == Quota(60, 59, 1.0)
    assert found.tokens == Quota(150_000, 149_984, 360.0)
    assert found.images is None


def test_the_lower_token_limit_counts() -> None:
    headers = {
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "140000",
        "x-ratelimit-limit-project-tokens": "50000",
        "x-ratelimit-remaining-project-tokens": "1000",
    }
    found = parse_headers(headers)
    assert found is not None
    assert found.tokens == Quota(50_000, 1000)
    headers["x-ratelimit-limit-project-tokens"] = "500000"
    found = parse_headers(headers)
    assert found is not None
    assert found.tokens == Quota(150_000, 1000), "what the emptier bucket has left"
    headers |= {"x-ratelimit-reset-tokens": "4s", "x-ratelimit-reset-project-tokens": "59.88s"}
    found = parse_headers(headers)
    assert found is not None
    assert found.tokens is not None
    assert found.tokens.window_seconds() == 60, "and the window of the lower limit"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json"},
        {"x-ratelimit-limit-requests": "60"},
        {"x-ratelimit-limit-requests": "many", "x-ratelimit-remaining-requests": "59"},
        {"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"},
        {"x-ratelimit-limit-requests": "1e9999", "x-ratelimit-remaining-requests": "nan"},
    ],
)
def test_unusable_headers_say_nothing(headers: dict[str, str]) -> None:
    assert parse_headers(headers) is None


def test_a_malformed_reset_leaves_the_rest() -> None:
    found = parse_headers(
        {
            "x-ratelimit-limit-images": "5",
            "x-ratelimit-remaining-images": "-1",
            "x-ratelimit-reset-images": "later",
        }
    )
    assert found is not None
    assert found.images == Quota(5, -1, None)
