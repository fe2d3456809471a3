"""A project's part of the limits, in the provider's headers."""

import pytest

from pressroom.jobs.quota_share import duration, quota_headers, shares
from pressroom.limits.messages import DimensionStatus


def status(limit: float, used: float) -> DimensionStatus:
    """A limit by the minute."""
    return DimensionStatus(limit=limit, source="setting", rate=0.0, used=used, debt=0.0, factor=1.0)


def test_a_project_alone_has_the_whole_pool() -> None:
    [requests, tokens] = shares({"rpm": status(600, 60), "tpm": status(60_000, 0)}, 1.0)

    assert (requests.limit, requests.remaining, requests.reset_seconds) == (600, 540, 6.0)
    assert (tokens.limit, tokens.remaining, tokens.reset_seconds) == (60_000, 60_000, 0.0)


def test_a_share_is_cut_from_limit_and_rest_alike() -> None:
    [requests] = shares({"rpm": status(600, 300), "rpd": status(1000, 1)}, 0.25)

    assert (requests.limit, requests.remaining) == (150, 75)


@pytest.mark.parametrize("used", [-5.0, 10_000.0])
def test_a_bucket_that_is_beyond_its_ends_is_full_or_empty(used: float) -> None:
    [requests] = shares({"rpm": status(600, used)}, 1.0)

    assert requests.remaining == (600 if used < 0 else 0)
    assert 0 <= requests.reset_seconds <= 60


def test_headers_are_the_providers() -> None:
    assert quota_headers(shares({"ipm": status(50, 25)}, 1.0)) == {
        "x-ratelimit-limit-images": "50",
        "x-ratelimit-remaining-images": "25",
        "x-ratelimit-reset-images": "30s",
    }


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0ms"), (0.041, "41ms"), (1.0, "1s"), (2.081, "2.081s"), (360.0, "6m0s"), (3723.5, "1h2m3.5s")],
)
def test_durations_are_gos(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
