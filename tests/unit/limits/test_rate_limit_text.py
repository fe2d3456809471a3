"""What is read off a refusal's message."""

from __future__ import annotations

import pytest

from pressroom.limits.rate_limit_text import StatedLimit, parse_rate_limit_text

IMAGES = (
    "Rate limit reached for gpt-image-2 in organization org-x on images per minute (IPM): Limit 5, Used 5, "
    "Requested 1. Please try again in 12s. Visit https://platform.openai.com/account/rate-limits to learn more."
)


@pytest.mark.parametrize(
    ("message", "stated"),
    [
        (IMAGES, StatedLimit("ipm", 5, 5, 1, 12.0)),
        (IMAGES.replace("images per minute (IPM)", "input-images per min"), StatedLimit("ipm", 5, 5, 1, 12.0)),
        (
            "Rate limit reached for gpt-4o-mini on tokens per min (TPM): Limit 200000, Used 198534, Requested 2210. "
            "Please try again in 223ms.",
            StatedLimit("tpm", 200_000, 198_534, 2210, 0.223),
        ),
        (
            "Rate limit reached for x on requests per day (RPD): Limit 10,000, Used 10,000, Requested 1. "
            "Please try again in 8.64s.",
            StatedLimit("rpd", 10_000, 10_000, 1, 8.64),
        ),
        ("... on tokens per day (TPD): Limit 2000000, Used 1, Requested 9. Please try again in 6m0s.",
         StatedLimit("tpd", 2e6, 1, 9, 360.0)),
        ("Rate limit reached for default on requests per min. Limit: 3 / min. Please try again in 20s.",
         StatedLimit("rpm", 3, None, None, 20.0)),
        ("Request too large for x on tokens per min (TPM): Limit 30000, Requested 38811. The input or output tokens "
         "must be reduced.", StatedLimit("tpm", 30_000, None, 38_811, None)),
    ],
)  # fmt: skip
def test_a_message_in_numbers(message: str, stated: StatedLimit) -> None:
    assert parse_rate_limit_text(message) == stated


@pytest.mark.parametrize(
    "message",
    ["", "Too many requests", "You exceeded your current quota", "images per day (IPD): Limit 5", "on requests per min",
     "tokens per min (TPM): Limit 0, Used 0, Requested 1."],
)  # fmt: skip
def test_a_message_without_numbers(message: str) -> None:
    assert parse_rate_limit_text(message) is None
