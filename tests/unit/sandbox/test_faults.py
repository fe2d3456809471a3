"""Which rule hits which call."""

from typing import Any

import pytest

from sandbox.config import FaultRule, parse_config
from sandbox.faults import REFUSALS, FaultBook, refusal_error


def book(*rules: dict[str, Any], seed: int = 0) -> FaultBook:
    return FaultBook(parse_config({"faults": list(rules)}).faults, seed)


def hits(faults: FaultBook, count: int, *, text: str = "", model: str = "gpt-4o-mini") -> list[bool]:
    return [faults.pick("chat", model, lambda: text) is not None for _ in range(count)]


def test_every_third_call() -> None:
    assert hits(book({"fault": "http_500", "match": {"every": 3}}), 7) == [False, False, True] * 2 + [False]


def test_after_some_and_only_so_often() -> None:
    rule = {"fault": "http_500", "match": {"after": 2}, "times": 2}

    assert hits(book(rule), 6) == [False, False, True, True, False, False]


def test_text_and_model_must_both_match() -> None:
    rule = {"fault": "cut", "match": {"contains": "fox", "model": "gpt-4o-mini"}}

    assert hits(book(rule), 1, text="a fox") == [True]
    assert hits(book(rule), 1, text="a dog") == [False]
    assert hits(book(rule), 1, text="a fox", model="gpt-6-luna") == [False]


def test_calls_that_do_not_match_are_not_counted() -> None:
    faults = book({"fault": "cut", "match": {"contains": "fox", "every": 2}})

    assert hits(faults, 3, text="dog") == [False] * 3
    assert hits(faults, 2, text="fox") == [False, True]


def test_the_text_is_only_asked_for_when_a_rule_needs_it() -> None:
    def fail() -> str:
        raise AssertionError("no rule looks at the text")

    assert book({"fault": "cut"}).pick("chat", "m", fail) is not None


def test_chance_is_seeded() -> None:
    rule = {"fault": "cut", "match": {"probability": 0.3}}
    first = hits(book(rule, seed=1), 1000)

    assert first == hits(book(rule, seed=1), 1000)
    assert first != hits(book(rule, seed=2), 1000)
    assert 250 < sum(first) < 350


def test_the_first_rule_that_hits_wins() -> None:
    faults = book({"fault": "cut", "match": {"every": 2}}, {"fault": "http_500"})

    picked = [faults.pick("chat", "m", str) for _ in range(4)]

    assert [rule.fault if rule else None for rule in picked] == ["http_500", "cut", "http_500", "cut"]


def test_downloads_are_hit_only_when_named() -> None:
    assert book({"fault": "cut"}).pick("files", "", str) is None
    assert book({"fault": "cut", "match": {"endpoint": "files"}}).pick("files", "", str) is not None
    assert book({"fault": "cut", "match": {"endpoint": "files"}}).pick("chat", "", str) is None


@pytest.mark.parametrize("kind", sorted(REFUSALS - {"http_503"}))
@pytest.mark.parametrize("endpoint", ["chat", "images"])
def test_every_refusal_has_a_body(kind: str, endpoint: Any) -> None:
    rule = FaultRule.model_validate({"fault": kind})

    error = refusal_error(rule, endpoint=endpoint, model="m", organization="org-1")

    assert 400 <= error.status < 600
    assert error.message
