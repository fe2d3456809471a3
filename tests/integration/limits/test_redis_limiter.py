"""The limiter on a real server: one account, many workers, and everything that gets lost on the way."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest
import redis

from pressroom.limits.commands import Keys
from pressroom.limits.costs import Cost
from pressroom.limits.headers import Quota, QuotaHeaders
from pressroom.limits.messages import Grant, Rejected, Settled
from pressroom.limits.pool_limits import PoolLimits
from pressroom.limits.redis_limiter import ACQUIRE_MAX, LimiterAdmin, RedisLimiter
from tests.integration.limits.conftest import Bench

TEXT = Cost(1, 100)


def settled(grant: Grant, actual: Cost = TEXT) -> list[Settled]:
    return [Settled(slot_id, TEXT, actual) for slot_id in grant.slot_ids]


def test_calls_get_start_times_at_the_pools_rate(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(rpm=600, burst_seconds=0)

    async def body(limiter: RedisLimiter) -> None:
        grant = await limiter.tick("p", "w", acquire=[Cost()] * 64)
        assert grant.slots == pytest.approx([i / 10 for i in range(len(grant.slots))], abs=1e-5)
        assert 5 <= len(grant.slots) <= 10, "the rest is for later, or for other workers"
        assert 0 < grant.poll_after <= 0.7

    bench.run(body)


def test_workers_share_one_account(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(rpm=600, burst_seconds=0)

    async def body(*limiters: RedisLimiter) -> None:
        starts: list[float] = []
        for _ in range(100):
            for number, limiter in enumerate(limiters):
                grant = await limiter.tick("p", f"w{number}", acquire=[Cost()] * 4)
                starts += [bench.clock.us / 1e6 + slot for slot in grant.slots]
            bench.clock.pass_(0.1)
        assert 100 <= len(starts) <= 110
        assert all(later - earlier > 0.0999 for earlier, later in pairwise(starts))

    bench.run(body, limiters=4)


def test_a_pool_of_which_nothing_is_known_doubles_with_each_round_trip(bench: Bench) -> None:
    async def body(one: RedisLimiter, two: RedisLimiter) -> None:
        out: list[Grant] = []
        for expected in (4, 8, 16, 32, 64, 128, 256):
            reports = [settled(grant) for grant in out] + [[], []]
            out = [
                await limiter.tick("p", name, settled=reports[i], acquire=[TEXT] * 500)
                for i, (limiter, name) in enumerate(((one, "w1"), (two, "w2")))
            ]
            assert all(grant.slots == [0.0] * len(grant.slots) for grant in out)
            assert sum(len(grant.slots) for grant in out) <= expected
            assert expected <= 4 or sum(len(grant.slots) for grant in out) > expected / 4
            bench.clock.pass_(0.5)
        assert [len(grant.slots) for grant in out] == [ACQUIRE_MAX, ACQUIRE_MAX], "no limit is felt any more"

    bench.run(body, limiters=2)


def test_calls_that_take_long_are_taken_for_admitted_after_two_seconds(bench: Bench) -> None:
    async def body(limiter: RedisLimiter) -> None:
        sent = []
        for _ in range(5):
            grant = await limiter.tick("p", "w", acquire=[TEXT] * 100)
            sent.append(len(grant.slots))
            assert (await limiter.tick("p", "w", acquire=[TEXT])).slots == []
            bench.clock.pass_(2.0)
        assert sent == [4, 4, 8, 16, 32]

    bench.run(body)


def test_a_refusal_without_a_word_halves_what_is_out_at_once(bench: Bench) -> None:
    async def body(limiter: RedisLimiter) -> None:
        grant = await limiter.tick("p", "w", acquire=[TEXT] * 100)
        grant = await limiter.tick("p", "w", settled=settled(grant), acquire=[TEXT] * 100)
        assert len(grant.slots) == 8
        bench.clock.pass_(0.1)
        refused = [Rejected(slot_id, TEXT, 1.0) for slot_id in grant.slot_ids[4:]]
        await limiter.tick("p", "w", settled=settled(grant)[:4], rejected=refused)
        bench.clock.pass_(1.1)
        grant = await limiter.tick("p", "w", acquire=[TEXT] * 100)
        assert 2 <= len(grant.slots) <= 5, "and once for all that were on their way"
        bench.clock.pass_(0.5)
        again = await limiter.tick("p", "w", settled=settled(grant), acquire=[TEXT] * 100)
        assert len(again.slots) <= len(grant.slots) + 1, "no doubling to where it was refused"

    bench.run(body)


def test_calls_with_images_probe_although_requests_are_limited(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(rpm=6000, burst_seconds=1)

    async def body(limiter: RedisLimiter) -> None:
        assert len((await limiter.tick("p", "w", acquire=[Cost(1, 0, 1)] * 50)).slots) == 4
        assert len((await limiter.tick("p", "w", acquire=[Cost(1, 0, 0)] * 50)).slots) == 50

    bench.run(body)


def test_concurrency_is_shared_and_comes_back(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(concurrency=10)

    async def body(one: RedisLimiter, two: RedisLimiter) -> None:
        first = await one.tick("p", "w1", acquire=[TEXT] * 8)
        second = await two.tick("p", "w2", acquire=[TEXT] * 8)
        assert (len(first.slots), len(second.slots)) == (8, 2)
        assert second.poll_after > 0
        await one.tick("p", "w1", settled=settled(first)[:3])
        assert len((await two.tick("p", "w2", acquire=[TEXT] * 8)).slots) == 3

    bench.run(body, limiters=2)


def test_a_dead_workers_calls_come_back_with_its_lease(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(concurrency=10)

    async def body(dead: RedisLimiter, alive: RedisLimiter) -> None:
        await dead.tick("p", "dead", acquire=[TEXT] * 10)
        await alive.tick("p", "alive")
        bench.clock.pass_(59)
        assert (await alive.tick("p", "alive", acquire=[TEXT])).slots == []
        bench.clock.pass_(2)
        assert len((await alive.tick("p", "alive", acquire=[TEXT] * 10)).slots) == 10
        status = await alive.status("p")
        assert status.in_flight == 10
        late = await dead.tick("p", "dead")
        assert late.slots == []
        assert (await alive.status("p")).in_flight == 20, "it was not dead: what it holds counts again"

    bench.run(body, limiters=2)


def test_a_lost_reply_leaks_no_calls_and_counts_reports_once(bench: Bench, server: redis.Redis) -> None:
    bench.facts.limits = PoolLimits(tpm=60_000, concurrency=50)

    async def body(limiter: RedisLimiter) -> None:
        grant = await limiter.tick("p", "w", acquire=[TEXT] * 4)
        execute = limiter._client.execute_command

        async def reply_lost(*command: object) -> object:
            await execute(*command)  # type: ignore[no-untyped-call]
            raise redis.exceptions.ConnectionError("cut after the server had worked")

        limiter._client.execute_command = reply_lost  # type: ignore[method-assign]
        with pytest.raises(redis.exceptions.ConnectionError):
            await limiter.tick("p", "w", settled=settled(grant, Cost(1, 150)), acquire=[TEXT] * 3)
        limiter._client.execute_command = execute  # type: ignore[method-assign]
        assert (await limiter.status("p")).in_flight == 3
        await limiter.tick("p", "w")
        status = await limiter.status("p")
        assert status.in_flight == 0
        paid = status.dimensions["tpm"]
        assert paid.debt + paid.used == pytest.approx(4 * 150 + 3 * 100, abs=51)

    bench.run(body)


def test_settling_twice_does_nothing(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(tpm=60_000)

    async def body(limiter: RedisLimiter) -> None:
        grant = await limiter.tick("p", "w", acquire=[TEXT])
        await limiter.tick("p", "w", settled=settled(grant, Cost(1, 900)))
        once = (await limiter.status("p")).dimensions["tpm"]
        await limiter.tick("p", "w", settled=settled(grant, Cost(1, 900)))
        await limiter.tick("p", "w", rejected=[Rejected(grant.slot_ids[0], TEXT, 0.0)])
        assert (await limiter.status("p")).dimensions["tpm"].debt == once.debt == 800

    bench.run(body)


def test_reports_about_a_lost_state_change_nothing_in_the_new_one(bench: Bench, server: redis.Redis) -> None:
    bench.facts.limits = PoolLimits(tpm=60_000, concurrency=5)

    async def body(limiter: RedisLimiter) -> None:
        before = await limiter.tick("p", "w", acquire=[TEXT] * 5)
        server.flushdb()
        bench.clock.pass_(1)
        after = await limiter.tick("p", "w", settled=settled(before, Cost(1, 5000)))
        assert after.epoch != before.epoch
        status = await limiter.status("p")
        assert status.in_flight == 0
        assert status.dimensions["tpm"].debt == 0

    bench.run(body)


def test_a_new_pool_starts_at_full_rate_and_a_lost_one_at_half(bench: Bench, server: redis.Redis) -> None:
    bench.facts.limits = PoolLimits(rpm=6000, burst_seconds=0)

    async def body(limiter: RedisLimiter) -> None:
        fresh = await limiter.tick("p", "w", acquire=[Cost()] * 3)
        assert fresh.slots == pytest.approx([0.0, 0.01, 0.02], abs=1e-5)
        server.flushdb()
        lost = await limiter.tick("p", "w", acquire=[Cost()] * 3)
        assert lost.slots == pytest.approx([0.0, 0.02, 0.04], abs=1e-5)
        bench.clock.pass_(30)
        warm = await limiter.tick("p", "w", acquire=[Cost()] * 3)
        assert warm.slots == pytest.approx([0.0, 0.01, 0.02], abs=1e-5)

    bench.run(body)


def test_a_header_with_room_ends_the_slow_start(bench: Bench) -> None:
    bench.facts.limits, bench.facts.epoch = PoolLimits(rpm=6000, burst_seconds=0), "e1"

    async def body(limiter: RedisLimiter) -> None:
        grant = await limiter.tick("p", "w", acquire=[Cost()] * 2)
        assert grant.slots[1] == pytest.approx(0.02, abs=1e-5), "an epoch from before means lost state"
        bench.clock.pass_(1)
        headers = QuotaHeaders(requests=Quota(6000, 5000, 10.0))
        reports = [Settled(slot_id, Cost(), Cost(), headers) for slot_id in grant.slot_ids]
        grant = await limiter.tick("p", "w", settled=reports, acquire=[Cost()] * 2)
        assert grant.slots[1] == pytest.approx(0.01, abs=1e-5)

    bench.run(body)


def test_calls_in_flight_before_a_loss_hold_their_places(bench: Bench, server: redis.Redis) -> None:
    bench.facts.limits, bench.facts.running = PoolLimits(concurrency=10), 8

    async def body(one: RedisLimiter, two: RedisLimiter) -> None:
        assert len((await one.tick("p", "w1", acquire=[TEXT] * 10)).slots) == 2
        server.delete(Keys.of("pressroom:", "p").state)
        bench.facts.running = 2
        assert len((await two.tick("p", "w2", acquire=[TEXT] * 10)).slots) == 8
        await one.tick("p", "w1")
        assert (await one.status("p")).in_flight == 10, "reported calls take over the places held for them"

    bench.run(body, limiters=2)


def test_a_429_pauses_all_workers_and_no_herd_follows(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(rpm=6000, burst_seconds=5)

    async def body(one: RedisLimiter, two: RedisLimiter) -> None:
        grant = await one.tick("p", "w1", acquire=[Cost()] * 20)
        refused = [Rejected(slot_id, Cost(), 3.0 - n / 10, "requests") for n, slot_id in enumerate(grant.slot_ids)]
        paused = await one.tick("p", "w1", rejected=refused)
        assert paused.paused_for == pytest.approx(3.0, abs=1e-3), "the longest, not the sum"
        other = await two.tick("p", "w2", acquire=[Cost()] * 20)
        assert other.slots == []
        assert other.paused
        bench.clock.pass_(3.0)
        after = await two.tick("p", "w2", acquire=[Cost()] * 20)
        assert after.slots[-1] - after.slots[0] == pytest.approx((len(after.slots) - 1) * 0.01, rel=0.02)
        assert (await two.status("p")).rejected == len(refused)

    bench.run(body, limiters=2)


def test_a_429_for_images_does_not_stop_text(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(rpm=6000, ipm=300)

    async def body(limiter: RedisLimiter) -> None:
        grant = await limiter.tick("p", "w", acquire=[Cost(1, 0, 1)])
        await limiter.tick("p", "w", rejected=[Rejected(grant.slot_ids[0], Cost(1, 0, 1), 12.0, "images")])
        assert (await limiter.tick("p", "w", acquire=[TEXT] * 3)).slots
        assert (await limiter.tick("p", "w", acquire=[Cost(1, 0, 1)])).slots == []

    bench.run(body)


def test_unused_slots_are_given_back(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(ipm=5)

    async def body(limiter: RedisLimiter) -> None:
        image = Cost(1, 0, 1)
        await limiter.tick("p", "w", acquire=[image])
        grant = await limiter.tick("p", "w", acquire=[image] * 9)
        assert grant.slots == pytest.approx([12.0, 24.0], abs=1e-3)
        back = [Rejected(slot_id, image, 0.0) for slot_id in grant.slot_ids]
        again = await limiter.tick("p", "w", rejected=back, acquire=[image])
        assert 12.0 <= again.slots[0] <= 16.1, "but for the part that is worked off smoothly"
        assert (await limiter.status("p")).rejected == 0

    bench.run(body)


def test_limits_from_headers_beat_defaults_and_not_settings(bench: Bench) -> None:
    bench.facts.limits = PoolLimits(rpm=500, tpm=90_000, defaults=frozenset({"rpm"}))

    async def body(limiter: RedisLimiter) -> None:
        for used in (1, 2):
            grant = await limiter.tick("p", "w", acquire=[TEXT])
            headers = QuotaHeaders(
                requests=Quota(100, 100 - used, used / 10), tokens=Quota(10_000, 10_000 - 100 * used, 0.6 * used)
            )
            await limiter.tick("p", "w", settled=[Settled(grant.slot_ids[0], TEXT, TEXT, headers)])
            bench.clock.pass_(1)
        status = await limiter.status("p")
        assert status.dimensions["rpm"].limit == pytest.approx(600), "100 per 10 s"
        assert status.dimensions["rpm"].source == "headers"
        assert status.dimensions["tpm"].limit == pytest.approx(90_000)
        assert status.learned["tpm"] == pytest.approx(10_000)

    bench.run(body)


def test_limits_change_in_place(bench: Bench, admin: LimiterAdmin) -> None:
    bench.facts.limits = PoolLimits(rpm=60, burst_seconds=0)
    assert not admin.set_limits("p", PoolLimits(rpm=6)), "no state yet: the first tick asks"

    async def body(limiter: RedisLimiter) -> None:
        assert len((await limiter.tick("p", "w", acquire=[Cost()] * 64)).slots) == 1
        assert await limiter.set_limits("p", PoolLimits(rpm=6000, concurrency=12, burst_seconds=0))
        grant = await limiter.tick("p", "w", acquire=[Cost()] * 64)
        assert len(grant.slots) == 11
        assert grant.slots[:2] == pytest.approx([0.01, 0.02], abs=1e-4)

    bench.run(body)


def test_a_days_limit_is_spent_at_once_and_then_trickles(bench: Bench) -> None:
    bench.facts.limits, bench.facts.used = PoolLimits(rpd=1000, rpm=60_000, burst_seconds=1), Cost(950)

    async def body(limiter: RedisLimiter) -> None:
        assert 49 <= len((await limiter.tick("p", "w", acquire=[Cost()] * 100)).slots) <= 50
        refused = await limiter.tick("p", "w", acquire=[Cost()])
        assert refused.slots == []
        bench.clock.pass_(3 * 86.4)
        assert 2 <= len((await limiter.tick("p", "w", acquire=[Cost()] * 100)).slots) <= 4

    bench.run(body)


def test_an_operator_pauses_and_resumes(bench: Bench, admin: LimiterAdmin) -> None:
    bench.facts.limits = PoolLimits(rpm=600)

    async def body(limiter: RedisLimiter) -> None:
        assert (await limiter.tick("p", "w", acquire=[Cost()])).slots
        admin.pause("p", None, "billing stop")
        stopped = await limiter.tick("p", "w", acquire=[Cost()])
        assert stopped.slots == []
        assert stopped.paused
        assert admin.status("p").stopped_reason == "billing stop"
        assert admin.resume("p")
        assert not admin.resume("p")
        bench.clock.pass_(1)
        assert (await limiter.tick("p", "w", acquire=[Cost()])).slots
        with pytest.raises(ValueError, match="-1"):
            await limiter.pause("p", -1, "typo")

    bench.run(body)


def test_status_of_a_pool_that_never_was(admin: LimiterAdmin) -> None:
    status = admin.status("nobody")
    assert not status.started
    assert status.dimensions == {}
    with pytest.raises(ValueError, match="braces"):
        admin.status("{a}")


def test_forgetting_starts_afresh(bench: Bench, server: redis.Redis) -> None:
    bench.facts.limits = PoolLimits(rpm=6000, burst_seconds=0)

    async def body(limiter: RedisLimiter) -> None:
        await limiter.tick("p", "w", acquire=[Cost()])
        await limiter.pause("p", 60, "")
        await limiter.forget("p")
        assert list(server.scan_iter("*")) == []
        grant = await limiter.tick("p", "w", acquire=[Cost()] * 2)
        assert grant.slots[1] == pytest.approx(0.01, abs=1e-5), "not taken for lost state"

    bench.run(body)


def test_scripts_survive_a_script_flush_and_the_servers_own_clock(bench: Bench, server: redis.Redis) -> None:
    bench.facts.limits = PoolLimits(rpm=6000)
    bench.clock = None  # type: ignore[assignment]

    async def body(limiter: RedisLimiter) -> None:
        await limiter.tick("p", "w", acquire=[Cost()])
        server.script_flush()
        grant = await limiter.tick("p", "w", acquire=[Cost()])
        assert len(grant.slots) == 1
        many = [limiter.tick("p", "w", acquire=[Cost()]) for _ in range(20)]
        assert sum(len(g.slots) for g in await asyncio.gather(*many)) == 20

    bench.run(body)


def test_a_tick_of_64_is_fast(bench: Bench, server: redis.Redis) -> None:
    """Server time of one merged settle and acquire of 64 calls in four dimensions with headers."""
    bench.facts.limits = PoolLimits(rpm=6e7, tpm=6e12, ipm=6e7, rpd=1e12)
    cost, headers = Cost(1, 100, 1), QuotaHeaders(Quota(6e7, 5.9e7, 1.0), Quota(6e12, 5.9e12, 1.0))

    async def body(limiter: RedisLimiter) -> None:
        ids: list[str] = []
        server.config_resetstat()
        begun = time.perf_counter()
        for _ in range(50):
            reports = [Settled(slot_id, cost, Cost(1, 120, 1), headers) for slot_id in ids]
            ids = (await limiter.tick("p", "w", settled=reports, acquire=[cost] * 64)).slot_ids
        assert len(ids) == 64
        assert time.perf_counter() - begun < 10
        each_us = server.info("commandstats")["cmdstat_evalsha"]["usec_per_call"]
        assert each_us < 5000, "1 ms is the aim on a quiet machine"

    bench.run(body)
