"""What calls take over what was estimated: means that move by weight, and the kinds of jobs they are kept for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.limits.calibration import LEAST_RATIO, MOST_RATIO, Learned, Seen, job_kind

PICTURE = {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}}
TALK = [{"role": "user", "content": "hello"}]


def seen(*calls: tuple[float, float]) -> Seen:
    one = Seen()
    for estimated, actual in calls:
        one.add(estimated, actual, output_tokens=actual / 2)
    return one


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"messages": TALK}, "plain"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, PICTURE]}]}, "images"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}]}]}, "plain"),
        ({"messages": TALK, "response_format": {"type": "json_schema"}}, "structured"),
        ({"messages": TALK, "response_format": {"type": "text"}}, "plain"),
        ({"messages": TALK, "tools": [{"type": "function"}]}, "structured"),
        ({"prompt": "a letter"}, "plain"),
        ({"prompt": "a letter", "image": "data:image/png;base64,AA"}, "images"),
    ],
)
def test_the_kind_of_a_job_is_what_its_tokens_depend_on(body: dict[str, Any], kind: str) -> None:
    assert job_kind(body) == kind


def test_the_first_calls_move_the_prior_quickly_and_later_ones_by_two_hundredths() -> None:
    learned = Learned()
    for _ in range(10):
        learned = learned.merged(seen((1000, 200)))
    assert learned.ratio == pytest.approx(0.6, abs=0.05)

    for _ in range(400):
        learned = learned.merged(seen((1000, 200)))
    assert learned.ratio == pytest.approx(0.2, abs=0.01)
    moved = learned.merged(seen((1000, 1200)))
    assert moved.ratio - learned.ratio == pytest.approx(0.02, abs=0.001)


def test_many_calls_at_once_weigh_as_much_as_one_after_the_other() -> None:
    together = Learned().merged(seen(*[(1000, 200)] * 200))
    in_turn = Learned()
    for _ in range(200):
        in_turn = in_turn.merged(seen((1000, 200)))

    assert together.samples == in_turn.samples == 200
    assert together.ratio == pytest.approx(in_turn.ratio, abs=0.06)
    assert together.output_tokens_mean == pytest.approx(in_turn.output_tokens_mean) == 100


def test_large_requests_weigh_more_than_small_ones() -> None:
    assert Learned(1.0, 0.0, 10_000).merged(seen(*[(10, 20), (9_990, 999)] * 500)).ratio == pytest.approx(0.1, abs=0.06)


def test_the_95th_percentile_is_at_the_upper_edge_of_its_bin() -> None:
    learned = Learned().merged(seen(*[(100, 50)] * 90, *[(100, 100)] * 10)).calibration()

    assert 1.0 <= learned.p95 <= 1.25
    assert learned.samples == 100


def test_nothing_seen_changes_nothing() -> None:
    learned = Learned(0.3, 17.0, 5, (0.0,) * 32)

    assert learned.merged(Seen()) is learned
    assert Learned().calibration().ratio == 1.0


def test_what_was_added_up_apart_is_as_if_it_had_been_together() -> None:
    apart = seen((100, 20))
    apart.include(seen((50, 60), (10, 1)))

    assert apart == seen((100, 20), (50, 60), (10, 1))


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(0, 1e7)), min_size=1, max_size=30))
def test_whatever_calls_take_the_ratio_used_stays_within_what_is_believed(calls: list[tuple[float, float]]) -> None:
    learned = Learned()
    for call in calls:
        learned = learned.merged(seen(call))

    used = learned.calibration()
    assert LEAST_RATIO <= used.ratio <= MOST_RATIO
    assert 0 < used.p95 <= 4.0
    assert min(a / e for e, a in calls) - 1e-9 <= max(learned.ratio, min(a / e for e, a in calls))
