"""Planted causes are named, with their shares, in few executions; where nothing is planted nothing is named."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.records.hybrids.attribution import Attribution, Factor, Measured
from payoff.reproduction.attribute import REPLICATES, attribute, bound_for, plan

Truth = Callable[[frozenset[int]], Any]


class Machine:
    """Executes hybrids of `number` factors: what a truth says of them, noise added; counts, and never answers twice for the same thing."""

    def __init__(self, number: int, truth: Truth, noise: float = 0.0, seed: int = 0, **factor: Any) -> None:
        self.factors = tuple(Factor(id=f"f{n}", kind="package", name=f"p{n}", a="1", b="2", **{k: v(n) for k, v in factor.items()}) for n in range(number))
        self.truth, self.noise, self.random = truth, noise, random.Random(seed)
        self.calls: list[tuple[frozenset[str], int]] = []

    def __call__(self, taken: frozenset[str], replicate: int) -> Measured:
        assert (taken, replicate) not in self.calls
        for each in self.factors:
            assert each.id not in taken or set(each.needs) <= taken, "a factor without what it needs"
            assert each.testable or each.id not in taken
        self.calls.append((taken, replicate))
        found = self.truth(frozenset(int(name[1:]) for name in taken))
        if found is None:
            return Measured(state="unknown", error="does not resolve")
        if isinstance(found, str):
            return Measured(state="failed", error=found)
        return Measured(state="value", value=found + (self.random.gauss(0, self.noise) if self.noise else 0.0))

    def answer(self, **more: Any) -> Attribution:
        found = attribute(self.factors, self, **more)
        assert found.executions == len(self.calls)
        adds_up(found)
        return found


def adds_up(found: Attribution) -> None:
    if found.remainder is not None and found.verdict != "no-difference" and found.a.value is not None and found.b.value is not None:
        parts = [each.effect or 0.0 for each in (*found.causes, *found.interactions)]
        assert math.fsum([*parts, found.remainder]) == pytest.approx(found.b.value - found.a.value, rel=1e-9, abs=1e-9)


def names(found: Attribution) -> set[str]:
    return {each.name for each in found.causes}


def named(*numbers: int) -> set[str]:
    return {f"p{n}" for n in numbers}


def single(number: int, cause: int, size: float = 3.0) -> Machine:
    return Machine(number, lambda taken: 10.0 + size * (cause in taken))


@given(st.data())
@settings(max_examples=120)
def test_one_cause_among_many_within_the_bound(data: Any) -> None:
    number = data.draw(st.integers(1, 500))
    cause = data.draw(st.integers(0, number - 1))
    machine = single(number, cause, data.draw(st.sampled_from([3.0, -1e6, 1e-9])))
    found = machine.answer()
    assert found.verdict == "explained"
    assert names(found) == named(cause)
    assert found.causes[0].effect == pytest.approx(found.b.value - found.a.value)  # type: ignore[operator]
    assert len(found.innocent) == number - 1
    assert found.noise.replicates == REPLICATES
    assert found.executions <= 2 * math.log2(number) + REPLICATES
    assert found.bound == bound_for(number) + REPLICATES
    assert found.executions <= plan(machine.factors)[1]


@pytest.mark.parametrize("number", range(1, 40))
def test_every_place_within_the_bound(number: int) -> None:
    for cause in range(number):
        found = single(number, cause).answer()
        assert names(found) == named(cause)
        assert found.executions - found.noise.replicates <= 2 * math.log2(number)


def test_no_cause_stops_early() -> None:
    found = Machine(300, lambda _: 7.0).answer()
    assert (found.verdict, found.causes, found.executions) == ("no-difference", (), 2)
    assert len(found.innocent) == 300


@given(st.data())
@settings(max_examples=80)
def test_several_causes_with_their_shares(data: Any) -> None:
    number = data.draw(st.integers(2, 120))
    causes = data.draw(st.lists(st.integers(0, number - 1), min_size=2, max_size=5, unique=True))
    sizes = data.draw(st.lists(st.integers(1, 1000).map(lambda n: 2.0**0.5 * n), min_size=len(causes), max_size=len(causes), unique=True))
    signs = data.draw(st.lists(st.sampled_from([1, -1]), min_size=len(causes), max_size=len(causes)))
    planted = {cause: size * sign for cause, size, sign in zip(causes, sizes, signs, strict=True)}
    if any(abs(sum(part)) < 1e-6 for n in range(1, len(causes) + 1) for part in itertools.combinations(planted.values(), n)):
        return  # what cancels out is another test's
    found = Machine(number, lambda taken: sum(planted.get(each, 0.0) for each in taken)).answer()
    assert found.verdict == "explained"
    assert {each.name: pytest.approx(each.effect) for each in found.causes} == {f"p{n}": size for n, size in planted.items()}
    assert found.interactions == ()
    assert found.remainder == pytest.approx(0, abs=1e-6)


@given(st.data())
def test_two_that_are_needed_together(data: Any) -> None:
    number = data.draw(st.integers(2, 200))
    pair = data.draw(st.sets(st.integers(0, number - 1), min_size=2, max_size=2))
    found = Machine(number, lambda taken: 5.0 * (pair <= taken)).answer()
    assert found.verdict == "explained"
    assert names(found) == named(*pair)
    assert [each.effect for each in found.causes] == [0.0, 0.0]
    assert [(set(each.names), each.effect) for each in found.interactions] == [(named(*pair), 5.0)]


@given(st.data())
def test_three_that_are_needed_together(data: Any) -> None:
    number = data.draw(st.integers(3, 60))
    three = data.draw(st.sets(st.integers(0, number - 1), min_size=3, max_size=3))
    found = Machine(number, lambda taken: 5.0 * (three <= taken)).answer()
    assert found.verdict == "explained"
    assert names(found) == named(*three)
    assert sum(each.effect or 0 for each in found.interactions) == 5.0


@given(st.data())
def test_either_of_two_suffices(data: Any) -> None:
    number = data.draw(st.integers(2, 200))
    pair = data.draw(st.sets(st.integers(0, number - 1), min_size=2, max_size=2))
    found = Machine(number, lambda taken: 5.0 * bool(pair & taken)).answer()
    assert found.verdict == "explained"
    if number >= 6:  # of fewer, the bound leaves no execution to see it by
        assert names(found) == named(*pair)
        assert [each.effect for each in found.causes] == [5.0, 5.0]
        assert [each.effect for each in found.interactions] == [-5.0]


@given(st.data())
@settings(max_examples=100)
def test_two_that_cancel_out_beside_a_cause(data: Any) -> None:
    number = data.draw(st.integers(24, 300))
    cause, one, other = data.draw(st.lists(st.integers(0, number - 1), min_size=3, max_size=3, unique=True))
    found = Machine(number, lambda taken: 5.0 * (cause in taken) + 2.0 * (one in taken) - 2.0 * (other in taken)).answer()
    assert found.verdict == "explained"
    assert f"p{cause}" in names(found)
    assert names(found) in (named(cause), named(cause, one, other))
    assert found.causes[0].effect is not None
    if len(found.causes) == 3:
        assert {each.name: each.effect for each in found.causes} == {f"p{cause}": 5.0, f"p{one}": 2.0, f"p{other}": -2.0}


def test_most_pairs_that_cancel_out_are_seen_within_the_bound() -> None:
    chance, seen = random.Random(5), 0
    for _ in range(100):
        cause, one, other = chance.sample(range(256), 3)
        found = Machine(256, lambda taken, c=cause, o=one, r=other: 5.0 * (c in taken) + 2.0 * (o in taken) - 2.0 * (r in taken)).answer()
        seen += names(found) == named(cause, one, other)
    assert seen >= 85


@given(st.data())
def test_a_failure_is_an_outcome(data: Any) -> None:
    number = data.draw(st.integers(1, 200))
    cause = data.draw(st.integers(0, number - 1))
    ends, begins = data.draw(st.sampled_from([("ValueError in model", 3.0), (3.0, "ValueError in model"), ("KeyError in a", "ValueError in b")]))
    found = Machine(number, lambda taken: ends if cause in taken else begins).answer()
    assert found.verdict == "explained"
    assert names(found) == named(cause)
    assert (found.causes[0].effect, found.remainder) == (None, None)
    assert found.executions <= 2 * math.log2(number) + REPLICATES


def test_a_failure_that_hides_another_cause() -> None:
    found = Machine(50, lambda taken: "ValueError" if 9 not in taken else 4.0 + 2.0 * (31 in taken)).answer()
    assert found.verdict == "explained"
    assert names(found) == named(9, 31)
    found = Machine(50, lambda taken: "ValueError" if 9 not in taken else "KeyError" if 31 not in taken else 4.0).answer()
    assert names(found) == named(9, 31)


@given(st.data())
@settings(max_examples=100)
def test_what_resolves_only_together(data: Any) -> None:
    number = data.draw(st.integers(4, 60))
    pairs = data.draw(st.lists(st.sets(st.integers(0, number - 1), min_size=2, max_size=2).map(frozenset), max_size=2))
    cause = data.draw(st.integers(0, number - 1))
    machine = Machine(number, lambda taken: None if any(len(pair & taken) == 1 for pair in pairs) else 5.0 * (cause in taken))
    found = machine.answer()
    bound = set().union(*([pair for pair in pairs if cause in pair] or [{cause}]))
    assert len(found.causes) == 1
    if found.causes[0].names:  # with all that it cannot be parted from, and no more than the chain of pairs it is in
        chain = set(bound)
        for pair in pairs:
            chain |= pair if pair & chain else set()
        for pair in pairs:
            chain |= pair if pair & chain else set()
        assert named(cause) < set(found.causes[0].names) <= named(*chain)
        assert "no hybrid" in found.causes[0].reason
    else:
        assert names(found) == named(cause)
        assert bound == {cause}


@given(st.data())
def test_a_factor_comes_with_what_it_needs(data: Any) -> None:
    number = data.draw(st.integers(2, 100))
    chance = random.Random(data.draw(st.integers(0, 1000)))
    needs = {n: tuple({f"f{chance.randrange(number)}" for _ in range(chance.randrange(2))} - {f"f{n}"}) for n in range(number)}
    cause = data.draw(st.integers(0, number - 1))
    machine = Machine(number, lambda taken: 5.0 * (cause in taken), needs=lambda n: needs[n])
    found = machine.answer()
    assert found.verdict == "explained"
    parts = set(found.causes[0].names) or names(found)
    assert f"p{cause}" in parts
    assert len(parts) == 1 or any(f"f{cause}" in needs[int(each[1:])] for each in parts - named(cause))  # a ring


@given(st.data())
def test_a_hybrid_that_fails_where_neither_run_does_says_nothing(data: Any) -> None:
    """A function and its caller changed together: one without the other is a TypeError, and no cause."""
    number = data.draw(st.integers(3, 100))
    cause, one, other = data.draw(st.lists(st.integers(0, number - 1), min_size=3, max_size=3, unique=True))
    found = Machine(number, lambda taken: "TypeError" if (one in taken) != (other in taken) else 5.0 * (cause in taken)).answer()
    assert found.verdict == "explained"
    assert names(found) == named(cause)


def test_what_cannot_be_switched_is_said() -> None:
    machine = Machine(9, lambda taken: 5.0 * (3 in taken), testable=lambda n: n != 5)
    found = machine.answer(recorded=(Measured(state="value", value=0.0), Measured(state="value", value=7.0)))
    assert (found.verdict, names(found), found.untested, found.remainder) == ("partly", named(3), ("f5",), 2.0)
    assert "could not be switched" in found.reason
    alone = Machine(2, lambda _: 5.0, testable=lambda n: n != 1)
    found = alone.answer(recorded=(Measured(state="value", value=5.0), Measured(state="value", value=7.0)))
    assert (found.verdict, found.causes) == ("unknown", ())
    assert "p1" in found.reason
    nothing = Machine(1, lambda _: 5.0, testable=lambda _: False)
    assert nothing.answer(recorded=(Measured(state="value", value=5.0), Measured(state="value", value=7.0))).verdict == "unknown"
    assert nothing.answer(recorded=(Measured(state="value", value=5.0),) * 2).verdict == "no-difference"


@pytest.mark.parametrize("limit", range(1, 14))
def test_the_budget_is_kept_and_what_is_left_is_said(limit: int) -> None:
    machine = single(100, 77)
    found = machine.answer(max_executions=limit)
    assert found.executions <= limit
    if found.verdict == "explained":
        assert names(found) == named(77)
    else:
        assert found.verdict == "unknown"
        assert "used up" in found.reason
        assert not found.causes or "p77" in (found.causes[0].names or names(found))


def test_it_goes_on_where_it_was_stopped() -> None:
    machine, kept = single(100, 42), {}
    total = single(100, 42).answer().executions

    def measure(taken: frozenset[str], replicate: int) -> Measured:
        if (taken, replicate) not in kept:
            if len(kept) == stop:
                raise KeyboardInterrupt
            kept[taken, replicate] = machine(taken, replicate)
        return kept[taken, replicate]

    for stop in (1, 3, 6):
        with pytest.raises(KeyboardInterrupt):
            attribute(machine.factors, measure)
    stop = -1
    assert names(attribute(machine.factors, measure)) == named(42)
    assert len(machine.calls) == total


def test_runs_that_vary_in_how_they_end() -> None:
    turns = itertools.count()
    found = Machine(5, lambda taken: "OSError" if next(turns) in {1, 2} else 1.0 + len(taken)).answer()
    assert found.verdict == "unknown"
    assert not found.causes


def test_a_side_that_cannot_be_executed() -> None:
    found = Machine(5, lambda taken: None if len(taken) == 5 else 1.0).answer()
    assert (found.verdict, found.causes) == ("unknown", ())
    assert "does not resolve" in found.reason


def hits(noise: float, size: float, number: int = 64, tries: int = 60) -> tuple[int, int, int]:
    right = wrong = 0
    for seed in range(tries):
        cause = random.Random(seed).randrange(number)
        found = Machine(number, lambda taken, c=cause: size * (c in taken), noise=noise, seed=seed).answer()
        right += names(found) == named(cause)
        wrong += bool(names(found) - named(cause))
    return right, wrong, tries


def test_noise() -> None:
    right, wrong, tries = hits(noise=1.0, size=20.0)
    assert right >= tries * 0.95
    assert wrong <= tries * 0.05
    right, wrong, tries = hits(noise=1.0, size=6.0)
    assert right >= tries * 0.9
    assert wrong <= tries * 0.1


def test_noise_alone_is_no_cause() -> None:
    right, wrong, tries = hits(noise=1.0, size=0.0)
    assert wrong <= tries * 0.05


def test_intervals_hold_the_truth() -> None:
    held = total = 0
    for seed in range(60):
        found = Machine(16, lambda taken: 8.0 * (3 in taken) - 5.0 * (9 in taken), noise=0.4, seed=seed).answer()
        for each in found.causes:
            truth = {"p3": 8.0, "p9": -5.0}.get(each.name)
            if truth is not None:
                total += 1
                held += each.low <= truth <= each.high  # type: ignore[operator]
    assert total >= 100
    assert held >= 0.95 * total


def test_groups_lie_together() -> None:
    machine = Machine(16, lambda taken: 5.0 * (15 in taken), group=lambda n: "even" if n % 2 == 0 else "odd")
    machine.answer()
    first = next(taken for taken, _ in machine.calls if 0 < len(taken) < 16)
    assert first == {f"f{n}" for n in range(0, 16, 2)}


def test_hundreds_of_factors_in_chains() -> None:
    machine = Machine(300, lambda taken: 5.0 * (250 in taken), needs=lambda n: (f"f{n - 1}",) if n % 10 else ())
    found = machine.answer()
    assert names(found) == named(250)
    assert found.executions <= 2 * math.log2(300) + REPLICATES
