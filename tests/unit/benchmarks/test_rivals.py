"""The benchmark of rivals: its ideals, what it shows of a run, and the locks of whom it runs."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from packaging.requirements import Requirement

from benchmarks.peers import page, race
from benchmarks.peers.chart import draw
from benchmarks.peers.contestants import CONTESTANTS, chosen
from benchmarks.peers.environments import lock_of
from benchmarks.peers.race import Outcome
from benchmarks.peers.scenarios import SCENARIOS, Scenario
from tools.check_locks import faults

S1 = SCENARIOS[0]
DONE = Outcome(
    contestant="oaib",
    scenario="S1",
    status="finished",
    items=300,
    ideal_seconds=26.5,
    wall_seconds=40.1,
    cpu_seconds=1.7,
    answered=300,
    calls=1_300,
    answered_429=1_000,
)


@pytest.mark.parametrize(("scenario", "ideal"), list(zip(SCENARIOS, (26.5, 48.5, 31.0), strict=True)))
def test_the_ideal_is_what_the_quota_allows(scenario: Scenario, ideal: float) -> None:
    assert scenario.ideal_seconds() == pytest.approx(ideal, abs=0.001)


def test_requests_bind_when_tokens_are_plenty() -> None:
    plenty = replace(S1, tpm=1_000_000)

    assert plenty.ideal_seconds() == pytest.approx((300 - 100) / 10 + 0.5, abs=0.001)


def test_the_limits_are_announced_whole_and_the_credit_is_what_the_scenario_says() -> None:
    limits = S1.sandbox()["limits"]["gpt-4o-mini"]

    assert limits == {"rpm": 600, "tpm": 60_000, "credit_seconds": 10.0}


def test_names_may_be_cut_short_but_not_made_up() -> None:
    assert [one.name for one in chosen(["pressroom", "oaib"])] == ["pressroom-1", "oaib", "pressroom-2"]
    with pytest.raises(LookupError, match="nobody is called nemo; there are pressroom-1, oaib"):
        chosen(["oaib", "nemo"])


def test_rows_tell_the_finished_from_those_cut_short() -> None:
    cut = replace(DONE, status="timed out", wall_seconds=79.5, answered=84)

    assert page.row(DONE) == ("oaib", "40.1", "1.51", "1,000", "1,300", "0", "0", "1.7")
    assert page.row(cut) == ("oaib", "> 79.5", "> 3.00", "1,000", "1,300", "216 not done", "0", "1.7")
    assert page.row(race.not_run(CONTESTANTS[0], S1))[:3] == ("Pressroom, 1 worker", "not run", "-")


def test_pressroom_is_shown_first() -> None:
    outcomes = [replace(DONE, contestant=name) for name in ("oaib", "pressroom-2", "sdk")]
    elsewhere = replace(DONE, scenario="S2")

    assert [one.contestant for one in race.shown([*outcomes, elsewhere], S1)] == ["pressroom-2", "oaib", "sdk"]


def test_figures_replace_the_former_ones_and_nothing_else() -> None:
    empty = f"before\n\n{page.BEGIN}\n\n{page.END}\n\nafter\n"
    first = page.with_figures(empty, "one")

    assert page.with_figures(first, "two") == first.replace("one", "two")
    assert first.startswith("before\n")
    assert first.endswith("\nafter\n")
    with pytest.raises(ValueError, match="once each"):
        page.with_figures("no marks", "one")


def test_the_page_has_its_marks() -> None:
    assert "left" in page.with_figures(page.PAGE.read_text(encoding="utf-8"), "left")


def test_the_plot_names_everybody_and_hatches_who_lost_items() -> None:
    losing = replace(DONE, contestant="sdk", answered=275)
    svg = draw([S1], [DONE, losing, race.not_run(CONTESTANTS[0], S1)], caption="a < b")

    root = ElementTree.fromstring(svg)
    texts = {"".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"oaib", "Pressroom, 1 worker", "a < b", "1.51, 1,000 x 429", "1.51, 1,000 x 429, 25 lost"} <= texts
    assert svg.count("url(#theirs)") == 1


@pytest.mark.parametrize("name", sorted({one.environment for one in CONTESTANTS if one.environment}))
def test_every_rival_has_a_whole_lock(name: str) -> None:
    lines = lock_of(name).with_suffix(".in").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]

    assert wanted
    assert faults(lock_of(name).read_text(encoding="utf-8"), wanted) == []
