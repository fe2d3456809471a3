"""What the limiter learns from headers and refusals, on the real server."""

from __future__ import annotations

import pytest

from pressroom.limits.costs import Cost
from pressroom.limits.headers import Quota, QuotaHeaders
from pressroom.limits.messages import Rejected, Settled
from pressroom.limits.pool_limits import PoolLimits, StatedBefore
from pressroom.limits.rate_limit_text import StatedLimit
from pressroom.limits.redis_limiter import RedisLimiter
from tests.integration.limits.conftest import Bench

IMAGE = Cost(1, 0, 1)


async def call(limiter: RedisLimiter, bench: Bench, headers: QuotaHeaders, cost: Cost) -> None:
    """One call that takes half a second."""
    grant = await limiter.tick("p", "w", acquire=[cost])
    bench.clock.pass_(grant.slots[0] + 0.5)
    await limiter.tick("p", "w", settled=[Settled(grant.slot_ids[0], cost, cost, headers)])


def test_images_a_minute_are_read_off_a_refusal(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(ipm=50)

    async def body(limiter: RedisLimiter) -> None:
        grant = await limiter.tick("p", "w", acquire=[IMAGE])
        refused = Rejected(grant.slot_ids[0], IMAGE, 12.0, "images", stated=StatedLimit("ipm", 5, 5, 1, 12.0))
        await limiter.tick("p", "w", rejected=[refused])
        status = await limiter.status("p")
        assert status.dimensions["ipm"].limit == pytest.approx(5), "though 50 was set"
        assert status.learned["ipm"] == pytest.approx(5)
        granted = 0
        for _ in range(120):
            bench.clock.pass_(1)
            again = await limiter.tick("p", "w", acquire=[IMAGE])
            granted += len(again.slots)
            await limiter.tick("p", "w", settled=[Settled(one, IMAGE, IMAGE) for one in again.slot_ids])
        assert 8 <= granted <= 11
        bench.clock.pass_(3_500)
        await limiter.tick("p", "w")
        assert (await limiter.status("p")).dimensions["ipm"].limit == pytest.approx(50), "tried again after an hour"
        grant = await limiter.tick("p", "w", acquire=[IMAGE])
        refused = Rejected(grant.slot_ids[0], IMAGE, 12.0, "images", stated=StatedLimit("ipm", 5, 5, 1, 12.0))
        await limiter.tick("p", "w", rejected=[refused])
        assert (await limiter.status("p")).dimensions["ipm"].limit == pytest.approx(5), "stated again"
        await limiter.set_limits("p", PoolLimits(ipm=50))
        assert (await limiter.status("p")).dimensions["ipm"].limit == pytest.approx(50), "set anew"

    bench.run(body)


def test_what_only_a_refusal_told_rises_again_while_it_holds_calls_back(bench: Bench) -> None:
    async def body(limiter: RedisLimiter) -> None:
        async def refuse(limit: float) -> None:
            grant = await limiter.tick("p", "w", acquire=[IMAGE])
            words = StatedLimit("ipm", limit, limit, 1, 1.0)
            await limiter.tick("p", "w", rejected=[Rejected(grant.slot_ids[0], IMAGE, 1.0, "images", stated=words)])

        async def use(seconds: int) -> None:
            for _ in range(seconds):
                bench.clock.pass_(1)
                grant = await limiter.tick("p", "w", acquire=[IMAGE] * 5)
                await limiter.tick("p", "w", settled=[Settled(one, IMAGE, IMAGE) for one in grant.slot_ids])

        async def limit() -> tuple[float, str]:
            now = (await limiter.status("p")).dimensions["ipm"]
            return round(now.limit, 6), now.source

        await refuse(60)
        assert await limit() == (60, "refusal")
        await limiter.set_limits("p", PoolLimits(rpm=600))
        bench.clock.pass_(3_700)
        await limiter.tick("p", "w")
        assert await limit() == (60, "refusal"), "nothing is held back"
        await use(15)
        assert await limit() == (120, "refusal"), "and no further for an hour"
        bench.clock.pass_(3_500)
        await use(120)
        assert await limit() == (240, "refusal")
        bench.clock.pass_(5)
        await refuse(120)
        assert await limit() == (120, "refusal"), "stated again"
        await call(limiter, bench, QuotaHeaders(images=Quota(60, 59, 0.5)), IMAGE)
        bench.clock.pass_(3_600)
        await use(30)
        assert await limit() == (120, "headers"), "no words are believed any more that would correct it"

    bench.run(body)


def test_what_a_refusal_stated_holds_a_setting_down_after_a_flush_too(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(ipm=50)

    async def body(limiter: RedisLimiter) -> None:
        grant = await limiter.tick("p", "w", acquire=[IMAGE])
        words = StatedLimit("ipm", 5, 5, 1, 12.0)
        await limiter.tick("p", "w", rejected=[Rejected(grant.slot_ids[0], IMAGE, 12.0, "images", stated=words)])
        stated = (await limiter.status("p")).stated
        assert stated["ipm"] == pytest.approx((5.0, bench.clock.us / 1e6))
        await limiter.forget("p")
        bench.facts.limits = PoolLimits(ipm=50, stated=(StatedBefore("ipm", 5, 600.0),))
        await limiter.tick("p", "w")
        now = (await limiter.status("p")).dimensions["ipm"]
        assert (round(now.limit, 6), now.source) == (5, "refusal")
        bench.clock.pass_(2_900)
        await limiter.tick("p", "w")
        assert (await limiter.status("p")).dimensions["ipm"].limit == pytest.approx(5)
        bench.clock.pass_(200)
        await limiter.tick("p", "w")
        assert (await limiter.status("p")).dimensions["ipm"].limit == pytest.approx(50), "an hour after it was said"

    bench.run(body)


def test_headers_are_believed_rather_than_a_refusals_words(bench: Bench) -> None:
    async def body(limiter: RedisLimiter) -> None:
        for used in (1, 2):
            await call(limiter, bench, QuotaHeaders(requests=Quota(100, 100 - used, used / 10)), Cost())
        grant = await limiter.tick("p", "w", acquire=[Cost()])
        refused = Rejected(grant.slot_ids[0], Cost(), 1.0, "requests", stated=StatedLimit("rpm", 100, 100, 1, 1.0))
        await limiter.tick("p", "w", rejected=[refused])
        assert (await limiter.status("p")).dimensions["rpm"].limit == pytest.approx(600), "100 is per 10 s"

    bench.run(body)


def test_a_lower_limit_counts_with_the_first_header_and_voids_start_times(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(rpm=6000, defaults=frozenset({"rpm"}))

    async def body(one: RedisLimiter, two: RedisLimiter) -> None:
        await call(one, bench, QuotaHeaders(requests=Quota(6000, 5990, 0.1)), Cost())
        await call(one, bench, QuotaHeaders(requests=Quota(6000, 5990, 0.1)), Cost())
        told = await one.tick("p", "w", acquire=[Cost()])
        ahead = await two.tick("p", "w2", acquire=[Cost()] * 64)
        bench.clock.pass_(told.slots[0] + 0.01)
        lower = QuotaHeaders(requests=Quota(3000, 2990, 0.2))
        after = await one.tick("p", "w", settled=[Settled(told.slot_ids[0], Cost(), Cost(), lower)])
        assert (await one.status("p")).dimensions["rpm"].limit == pytest.approx(3000)
        assert after.generation == ahead.generation + 1
        heard = await two.tick("p", "w2")
        assert heard.generation == after.generation
        back = [Rejected(slot_id, Cost(), 0.0) for slot_id in ahead.slot_ids]
        again = await two.tick("p", "w2", rejected=back, acquire=[Cost()] * 64)
        assert again.slots[0] < 0.3, "what was granted and not used stands in nobody's way"
        spacing = (again.slots[-1] - again.slots[0]) / (len(again.slots) - 1)
        assert spacing == pytest.approx(1 / 50, rel=0.3), "fifty a second"
        stale = QuotaHeaders(requests=Quota(6000, 5990, 0.1))
        bench.clock.pass_(1.0)
        grant = await one.tick("p", "w", acquire=[Cost()] * 2)
        bench.clock.pass_(0.6)
        higher = [Settled(slot_id, Cost(), Cost(), stale) for slot_id in grant.slot_ids]
        await one.tick("p", "w", settled=higher[:1])
        assert (await one.status("p")).dimensions["rpm"].limit == pytest.approx(3000), "one could be an old one"
        await one.tick("p", "w", settled=higher[1:])
        assert (await one.status("p")).dimensions["rpm"].limit == pytest.approx(6000), "two that left since are not"

    bench.run(body, limiters=2)


def test_a_share_is_left_to_others(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(rpm=6000, max_share=0.5, burst_seconds=0)

    async def body(limiter: RedisLimiter) -> None:
        grant = await limiter.tick("p", "w", acquire=[Cost()] * 3)
        assert grant.slots == pytest.approx([0.0, 0.02, 0.04], abs=1e-5)
        assert (await limiter.status("p")).dimensions["rpm"].limit == pytest.approx(6000), "the account's"

    bench.run(body)


def test_a_header_tells_the_level_and_credit_follows(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(rpm=600)

    async def body(limiter: RedisLimiter) -> None:
        assert (await limiter.status("p")).credit == {}
        await call(limiter, bench, QuotaHeaders(requests=Quota(600, 400, 20.0)), Cost())
        grant = await limiter.tick("p", "w", acquire=[Cost()] * 20)
        status = await limiter.status("p")
        assert status.dimensions["rpm"].level == pytest.approx(405 - len(grant.slots), abs=2)
        assert status.dimensions["rpm"].capacity == 600
        assert status.credit["rpm"] > 300
        assert grant.slots[-1] - grant.slots[0] < 0.08 * len(grant.slots), "faster than ten a second"

    bench.run(body)


def test_a_hidden_quantum_is_remembered(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(rpm=600)

    async def body(limiter: RedisLimiter) -> None:
        await call(limiter, bench, QuotaHeaders(requests=Quota(600, 599, 0.1)), Cost())
        grant = await limiter.tick("p", "w", acquire=[Cost()])
        headers = QuotaHeaders(requests=Quota(600, 580, 2.0))
        await limiter.tick("p", "w", rejected=[Rejected(grant.slot_ids[0], Cost(), 0.2, "requests", headers)])
        status = await limiter.status("p")
        assert status.learned["burst_seconds"] == pytest.approx(1.0), "half of two seconds"
        assert status.burst_seconds == status.learned["burst_seconds"]
        await limiter.forget("p")
        bench.facts.limits = PoolLimits(rpm=600).over(PoolLimits(burst_seconds=1.0))
        await limiter.tick("p", "w")
        assert (await limiter.status("p")).burst_seconds == 1.0

    bench.run(body)


def test_slow_down_holds_the_rate_and_lets_it_rise(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(rpm=60_000, burst_seconds=0)

    async def body(limiter: RedisLimiter) -> None:
        for _ in range(20):
            grant = await limiter.tick("p", "w", acquire=[Cost()] * 100)
            await limiter.tick("p", "w", settled=[Settled(one, Cost(), Cost()) for one in grant.slot_ids])
            bench.clock.pass_(1)
        grant = await limiter.tick("p", "w", acquire=[Cost()])
        refused = Rejected(grant.slot_ids[0], Cost(), 1.0, slow_down=True)
        await limiter.tick("p", "w", rejected=[refused])
        bench.clock.pass_(2)
        held = await limiter.tick("p", "w", acquire=[Cost()] * 20)
        assert held.slots[-1] - held.slots[0] == pytest.approx(0.19, rel=0.25), "about a hundred a second"
        bench.clock.pass_(900)
        risen = await limiter.tick("p", "w", acquire=[Cost()] * 20)
        assert (held.slots[-1] - held.slots[0]) / (risen.slots[-1] - risen.slots[0]) == pytest.approx(1.5, rel=0.02)

    bench.run(body)


def test_a_days_header_corrects_what_the_books_say(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(rpd=1000, rpm=60_000, burst_seconds=1)

    async def body(limiter: RedisLimiter) -> None:
        for used in (900, 990):
            headers = QuotaHeaders(requests=Quota(1000, 1000 - used, used * 86.4))
            await call(limiter, bench, headers, Cost())
        assert 8 <= len((await limiter.tick("p", "w", acquire=[Cost()] * 100)).slots) <= 10

    bench.run(body)
