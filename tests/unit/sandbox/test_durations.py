"""Durations as Go prints them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.durations import go_duration, whole_seconds

# LIMITER's parser of the provider's headers, written down here independently of the formatter.
PATTERN = re.compile(r"^(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?$")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (0.12, "120ms"),
        (1, "1s"),
        (1.5, "1.5s"),
        (12, "12s"),
        (60, "1m0s"),
        (252.172, "4m12.172s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
        (86_399.9996, "24h0m0s"),
    ],
)
def test_known_durations(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


@given(st.floats(min_value=0, max_value=1e6))
def test_every_duration_reads_back_to_the_millisecond(seconds: float) -> None:
    match = PATTERN.match(go_duration(seconds))

    assert match is not None
    hours, minutes, rest, millis = (float(part or 0) for part in match.groups())
    assert hours * 3600 + minutes * 60 + rest + millis / 1000 == pytest.approx(seconds, abs=0.000501)
    assert minutes < 60
    assert rest < 60


@given(st.floats(min_value=0, max_value=1e6))
def test_whole_seconds_never_send_a_client_back_too_early(seconds: float) -> None:
    assert whole_seconds(seconds) >= seconds - 1e-6
    assert whole_seconds(seconds) >= 1
