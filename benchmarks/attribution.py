"""How many executions the search for causes takes, and how often it is right, for planted truths: `python benchmarks/attribution.py`.

Nothing is executed: a truth says what each hybrid of n factors gives. `bound` is 2 log2(n), rounded down; replicates come on top of both.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Callable
from typing import Any

from payoff.records.hybrids.attribution import Factor, Measured
from payoff.reproduction.attribute import attribute, bound_for

SIZES = (2, 3, 5, 10, 30, 100, 300, 1000)
TRIES = 100


def factors(number: int) -> tuple[Factor, ...]:
    return tuple(Factor(id=f"f{n}", kind="package", name=f"f{n}", a="1", b="2") for n in range(number))


def measured(found: Any) -> Measured:
    if found is None:
        return Measured(state="unknown", error="does not resolve")
    return Measured(state="failed", error=found) if isinstance(found, str) else Measured(state="value", value=found)


def one(chance: random.Random, number: int) -> tuple[set[str], Callable[[frozenset[str]], Any]]:
    (cause,) = chance.sample(range(number), 1)
    return {f"f{cause}"}, lambda taken: 5.0 * (f"f{cause}" in taken)


def failure(chance: random.Random, number: int) -> tuple[set[str], Callable[[frozenset[str]], Any]]:
    (cause,) = chance.sample(range(number), 1)
    return {f"f{cause}"}, lambda taken: "ValueError" if f"f{cause}" in taken else 3.0


def several(count: int) -> Callable[..., tuple[set[str], Callable[[frozenset[str]], Any]]]:
    def made(chance: random.Random, number: int) -> tuple[set[str], Callable[[frozenset[str]], Any]]:
        causes = {
            f"f{n}": chance.uniform(1, 5) * chance.choice((-1, 1))
            for n in chance.sample(range(number), min(count, number))
        }
        return set(causes), lambda taken: sum(causes.get(each, 0.0) for each in taken)

    return made


def together(chance: random.Random, number: int) -> tuple[set[str], Callable[[frozenset[str]], Any]]:
    pair = {f"f{n}" for n in chance.sample(range(number), 2)}
    return pair, lambda taken: 5.0 * (pair <= taken)


def either(chance: random.Random, number: int) -> tuple[set[str], Callable[[frozenset[str]], Any]]:
    pair = {f"f{n}" for n in chance.sample(range(number), 2)}
    return pair, lambda taken: 5.0 * bool(pair & taken)


def cancelled(chance: random.Random, number: int) -> tuple[set[str], Callable[[frozenset[str]], Any]]:
    cause, up, down = (f"f{n}" for n in chance.sample(range(number), 3))
    return {cause, up, down}, lambda taken: 5.0 * (cause in taken) + 2.0 * (up in taken) - 2.0 * (down in taken)


def unresolvable(chance: random.Random, number: int) -> tuple[set[str], Callable[[frozenset[str]], Any]]:
    cause, one_, other = (f"f{n}" for n in chance.sample(range(number), 3))
    return {cause}, lambda taken: None if (one_ in taken) != (other in taken) else 5.0 * (cause in taken)


TRUTHS = {
    "one cause": (one, 1), "a failure": (failure, 1), "two causes": (several(2), 2), "four causes": (several(4), 4), "only together": (together, 2),
    "either suffices": (either, 2), "one, and two that cancel out": (cancelled, 3), "one, and two that go only together": (unresolvable, 3),
}  # fmt: skip


def tried(number: int, truth: Any, noise: float = 0.0) -> tuple[float, float, float, float]:
    """Share named exactly, mean and most executions without replicates, mean replicates."""
    right, executions, replicates = 0, [], []
    for seed in range(TRIES):
        chance = random.Random(f"{number} {seed}")
        wanted, gives = truth(chance, number)

        def measure(
            taken: frozenset[str], _replicate: int, gives: Any = gives, chance: random.Random = chance
        ) -> Measured:
            value = gives(taken)
            return measured(value + chance.gauss(0, noise) if noise and isinstance(value, float) else value)

        found = attribute(factors(number), measure)
        right += {each.name for each in found.causes} == wanted
        executions.append(found.executions - found.noise.replicates)
        replicates.append(found.noise.replicates)
    return right / TRIES, statistics.mean(executions), max(executions), statistics.mean(replicates)


def main() -> int:
    sys.stdout.write(f"{'planted':36} {'n':>5} {'bound':>6} {'named':>7} {'mean':>6} {'most':>5} {'replicates':>11}\n")
    fine = True
    for title, (truth, least) in TRUTHS.items():
        for number in SIZES:
            if number < least:
                continue
            named, mean, most, replicates = tried(number, truth)
            sys.stdout.write(
                f"{title:36} {number:5} {bound_for(number):6} {named:7.0%} {mean:6.1f} {most:5.0f} {replicates:11.1f}\n"
            )
            fine = fine and (truth not in {one, failure} or (named == 1 and most <= bound_for(number)))
    for ratio in (0.02, 0.1, 0.2, 0.4):
        named, mean, most, replicates = tried(100, one, noise=5.0 * ratio)
        title = f"one cause, noise {ratio:.0%} of its effect"
        sys.stdout.write(
            f"{title:36} {100:5} {bound_for(100):6} {named:7.0%} {mean:6.1f} {most:5.0f} {replicates:11.1f}\n"
        )
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main())
