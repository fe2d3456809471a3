"""Limits of a model: all dimensions at once, or none; the provider's words; the headers."""

from hypothesis import given
from hypothesis import strategies as st

from sandbox.accounts import Account, Accounts, Cost, Refusal
from sandbox.config import Foreign, Limits, ModelSpec, parse_config


def account(foreign: Foreign | None = None, **limits: object) -> Account:
    return Account(Limits.model_validate(limits), foreign or Foreign(), now=0.0)


def refused(answer: Refusal | None) -> Refusal:
    assert answer is not None
    return answer


def test_the_image_limit_speaks_like_the_provider() -> None:
    images = account(ipm=5)
    for _ in range(5):
        assert images.admit(Cost(images=1), 0.0) is None

    refusal = refused(images.admit(Cost(images=1), 0.0))

    assert refusal.message("gpt-image-2", "org-1") == (
        "Rate limit reached for gpt-image-2 in organization org-1 on images per minute (IPM): Limit 5, Used 5, "
        "Requested 1. Please try again in 12s. Visit https://platform.openai.com/account/rate-limits to learn more."
    )
    assert refusal.error_type == "input-images"


def test_a_bucket_of_other_than_a_minute_states_the_limit_a_minute() -> None:
    images = account(ipm=50, burst_seconds=6)
    for _ in range(5):
        assert images.admit(Cost(images=1), 0.0) is None

    refusal = refused(images.admit(Cost(images=1), 0.0))

    assert (refusal.limit, refusal.used, refusal.requested) == (50, 50, 1)


def test_the_worst_dimension_is_named() -> None:
    both = account(rpm=60, tpm=600)
    both.admit(Cost(tokens=600), 0.0)

    refusal = refused(both.admit(Cost(tokens=300), 0.0))

    assert (refusal.dimension, refusal.wait_seconds, refusal.error_type) == ("tokens", 30.0, "tokens")


def test_a_refusal_by_one_dimension_takes_nothing_from_the_others() -> None:
    both = account(rpm=60, tpm=600)
    both.admit(Cost(tokens=600), 0.0)
    before = both.headers(0.0)

    refused(both.admit(Cost(tokens=300), 0.0))

    assert both.headers(0.0) == before


def test_refused_calls_consume_requests_when_told_so() -> None:
    strict = account(rpm=60, tpm=600, reject_cost=1)
    strict.admit(Cost(tokens=600), 0.0)

    refused(strict.admit(Cost(tokens=300), 0.0))

    assert dict(strict.headers(0.0))["x-ratelimit-remaining-requests"] == "58"


def test_headers_show_the_announced_bucket() -> None:
    shown = account(rpm=500, tpm=1_500_000)
    shown.admit(Cost(tokens=4_379), 0.0)

    assert shown.headers(0.0) == [
        ("x-ratelimit-limit-requests", "500"),
        ("x-ratelimit-remaining-requests", "499"),
        ("x-ratelimit-reset-requests", "120ms"),
        ("x-ratelimit-limit-tokens", "1500000"),
        ("x-ratelimit-remaining-tokens", "1495621"),
        ("x-ratelimit-reset-tokens", "175ms"),
    ]


def test_a_short_burst_is_announced_as_such() -> None:
    short = account(rpm=600, burst_seconds=10)

    assert short.headers(0.0)[0] == ("x-ratelimit-limit-requests", "100")
    assert sum(short.admit(Cost(), 0.0) is None for _ in range(200)) == 100


def test_the_quantum_is_enforced_and_hidden() -> None:
    hidden = account(rpm=6000, quantum_seconds=0.5)

    assert sum(hidden.admit(Cost(), 0.0) is None for _ in range(200)) == 50
    assert dict(hidden.headers(0.0))["x-ratelimit-remaining-requests"] == "5950"


def test_images_and_unlimited_dimensions_have_no_headers() -> None:
    assert account(ipm=5).headers(0.0) == []
    assert account().headers(0.0) == []


def test_requests_per_day_are_enforced_and_can_be_the_ones_shown() -> None:
    daily = account(rpm=500, rpd=3, requests_header="rpd")
    for _ in range(3):
        assert daily.admit(Cost(), 0.0) is None

    refusal = refused(daily.admit(Cost(), 0.0))

    assert (refusal.dimension, refusal.wait_seconds) == ("day", 28_800.0)
    assert daily.headers(0.0)[:3] == [
        ("x-ratelimit-limit-requests", "3"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "24h0m0s"),
    ]


def test_more_than_a_minute_allows_can_never_fit() -> None:
    refusal = refused(account(tpm=1000).admit(Cost(tokens=1001), 0.0))

    assert refusal.wait_seconds is None
    assert refusal.message("m", "org-1").startswith(
        "Request too large for m in organization org-1 on tokens per min (TPM): Limit 1000, Requested 1001."
    )


def test_concurrency_counts_what_is_in_flight() -> None:
    narrow = account(concurrency=2)
    assert narrow.admit(Cost(), 0.0) is None
    assert narrow.admit(Cost(), 0.0) is None
    assert refused(narrow.admit(Cost(), 0.0)).dimension == "concurrent"

    narrow.finish(0.0)

    assert narrow.admit(Cost(), 0.0) is None


def test_p2_gives_back_what_was_not_used() -> None:
    trued = account(tpm=6000)
    trued.admit(Cost(tokens=5000), 0.0)

    trued.finish(0.0, token_difference=-4900)

    assert dict(trued.headers(0.0))["x-ratelimit-remaining-tokens"] == "5900"


def test_foreign_traffic_shows_in_the_headers() -> None:
    shared = account(Foreign(rpm=120), rpm=60)

    assert dict(shared.headers(30.0))["x-ratelimit-remaining-requests"] == "30"


@given(st.lists(st.tuples(st.floats(min_value=0, max_value=3), st.integers(1, 400)), max_size=80))
def test_no_dimension_admits_more_than_it_holds(arrivals: list[tuple[float, int]]) -> None:
    limited = account(rpm=120, tpm=6000, burst_seconds=5, quantum_seconds=1)
    now, calls, tokens = 0.0, 0, 0
    for gap, cost in arrivals:
        now += gap
        if limited.admit(Cost(tokens=cost), now) is None:
            calls += 1
            tokens += cost

    assert calls <= 2 + 2 * now + 1e-6
    assert tokens <= 100 + 100 * now + 400 + 1e-6


def test_accounts_survive_changes_that_do_not_touch_them() -> None:
    config = parse_config({"limits": {"gpt-4o-mini": {"rpm": 60}}})
    accounts = Accounts(config, lambda: 0.0)
    first = accounts.of("gpt-4o-mini")
    first.admit(Cost(), 0.0)

    accounts.reconfigure(parse_config({"limits": {"gpt-4o-mini": {"rpm": 60}}, "seed": 5}))
    assert accounts.of("gpt-4o-mini") is first

    accounts.reconfigure(parse_config({"limits": {"gpt-4o-mini": {"rpm": 30}}}))
    assert accounts.of("gpt-4o-mini") is not first
    assert accounts.of("gpt-4o-mini").in_flight == 1


def test_a_snapshot_draws_on_its_models_limits_unless_it_has_its_own() -> None:
    snapshot = ModelSpec(endpoint="chat", shares_limits_with="gpt-4o-mini")
    shared = Accounts(parse_config({"limits": {"gpt-4o-mini": {"rpm": 60}}}), lambda: 0.0)
    own = Accounts(parse_config({"limits": {"gpt-4o-mini-2024-07-18": {"rpm": 60}}}), lambda: 0.0)

    assert shared.group("gpt-4o-mini-2024-07-18", snapshot) == "gpt-4o-mini"
    assert own.group("gpt-4o-mini-2024-07-18", snapshot) == "gpt-4o-mini-2024-07-18"


def test_an_account_under_other_limits_is_as_full_as_it_was() -> None:
    accounts = Accounts(parse_config({"limits": {"gpt-4o-mini": {"rpm": 60, "tpm": 6000}}}), lambda: 0.0)
    for _ in range(15):
        accounts.of("gpt-4o-mini").admit(Cost(tokens=100), 0.0)

    accounts.reconfigure(parse_config({"limits": {"gpt-4o-mini": {"rpm": 120, "ipm": 9}}}))

    headers = dict(accounts.of("gpt-4o-mini").headers(0.0))
    assert headers["x-ratelimit-remaining-requests"] == "90"
    assert accounts.of("gpt-4o-mini").admit(Cost(images=9), 0.0) is None


def test_a_sandbox_that_stood_still_lets_in_what_queued_up_meanwhile() -> None:
    limits = {"gpt-4o-mini": {"rpm": 600, "burst_seconds": 0.5}}
    times = iter([1.0, 2.0])
    accounts = Accounts(parse_config({"limits": limits}), lambda: next(times))
    account = accounts.of("gpt-4o-mini")
    for _ in range(3):
        assert account.admit(Cost(), 1.0) is None

    accounts.forgive(1.0)

    assert [account.admit(Cost(), 2.0) is None for _ in range(13)] == [True] * 12 + [False]
    assert dict(account.headers(2.0))["x-ratelimit-limit-requests"] == "5"
