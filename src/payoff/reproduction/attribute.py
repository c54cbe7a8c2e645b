"""Which of the factors that differ between two runs make the difference between their outcomes. Pure: executing a hybrid is handed in.

1. Noise first: A and B are executed again until what they give is told apart, or the executions for it are used up.
2. The path from A to B is halved until each change of the outcome lies at one factor (`jumps`): log2(n) executions for a single cause. Factors of a group
   (packages of an environment, functions of a module) lie side by side on it, so that whole groups are ruled out first (Dorfman, "The
   detection of defective members of large populations", Annals of Mathematical Statistics 14, 1943).
3. What was found is tried alone, in A. If it does not give B's outcome, something else belongs to it, and the path from there to B is halved.
4. What is left is tried alone too. If it does not give A's outcome, there are causes that others had hidden: either of two suffices.
5. Executions that the bound still has are spent on causes that cancel each other out: every pair is parted by one of log2(n) sets.
6. Shares: what each cause does alone, what pairs and more of them do together, and the remainder (`shares`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import msgspec

from payoff.records.hybrids.attribution import Attribution, Measured, Noise
from payoff.reproduction.jumps import Jump, jumps
from payoff.reproduction.noise import SMALL, Reading, Ruler, deviation, quantile
from payoff.reproduction.probes import NONE, Probes, Spent
from payoff.reproduction.shares import shares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payoff.records.hybrids.attribution import Cause, Factor, Interaction
    from payoff.reproduction.probes import Measure

    Verdict = Literal["explained", "partly", "no-difference", "unknown"]

REPLICATES = 4  # executions of A and B themselves, where these do not vary
_MOST = 16  # executions of one hybrid, where they do


def plan(factors: Sequence[Factor]) -> tuple[int, int]:
    """Executions that a single cause is expected to take, and the most it takes (2 log2(n) and the replicates), where equal runs are equal."""
    number = sum(each.testable for each in factors)
    if not number:
        return 0, 0
    bound = bound_for(number) + REPLICATES
    return min(bound, math.ceil(math.log2(number)) + 2 * (number > 1) + REPLICATES), bound


def bound_for(number: int) -> int:
    """2 log2(n), rounded down; of one factor there is nothing to search for."""
    return math.floor(2 * math.log2(number)) if number > 1 else 0


def attribute(
    factors: Sequence[Factor],
    measure: Measure,
    *,
    max_executions: int | None = None,
    confidence: float = 0.95,
    recorded: tuple[Measured, Measured] | None = None,
) -> Attribution:
    """The factors that make the difference, with their shares.

    Parameters: `measure(taken, replicate)` executes the hybrid with the factors `taken` (ids) from B and all others from A, and `replicate` 1, 2, ... once
    more; it may raise, and if it remembers, the same search goes on where it was. `max_executions`: at most so many calls of it. `confidence`: of the
    intervals, and that noise alone is taken for no cause. `recorded`: what the runs themselves gave: what this machine does not give again is in the
    remainder.

    The answer's `executions` counts calls, `noise.replicates` those of A, of B and repeats of others; `bound` is 2 log2(n) and these.
    """
    return _Search(factors, measure, max_executions, confidence, recorded).answer()


class _Search:
    def __init__(
        self,
        factors: Sequence[Factor],
        measure: Measure,
        limit: int | None,
        confidence: float,
        recorded: tuple[Measured, Measured] | None,
    ) -> None:
        self.factors = {each.id: each for each in factors}
        self.probes = Probes(factors, measure, limit)
        self.confidence = confidence
        self.recorded = recorded
        self.ruler = Ruler()
        self.found: list[Jump] = []
        self.spent = False
        self.proven = False

    def answer(self) -> Attribution:
        probes = self.probes
        if not probes.order:
            return self._nothing()
        try:
            early = self._noise()
        except Spent:
            return self._say(
                "unknown", "The executions allowed were used up before it was known how far equal runs differ."
            )
        if early is not None:
            return early
        try:
            self._search()
        except Spent:
            self.spent = True
        return self._explained()

    # -- noise

    def _noise(self) -> Attribution | None:
        """Execute A and B until they are told apart; an answer where that is all there is to say."""
        probes = self.probes
        a, b = probes.read(NONE), probes.read(probes.all)
        for name, each in (("A", a), ("B", b)):
            if each.state == "unknown":
                return self._say("unknown", f"{name} cannot be executed here: {each.error}")
        if Ruler().same(a, b):
            return self._same(a)
        a, b = probes.read(NONE, 2), probes.read(probes.all, 2)
        if "mixed" in {a.state, b.state}:
            name = "A" if a.state == "mixed" else "B"
            return self._say(
                "unknown", f"Equal executions of {name} do not end the same way ({(a if name == 'A' else b).error})."
            )
        self.ruler = self._ruler(a, b, 1)
        times, least = 2, 1
        while self.ruler.deviation and self.ruler.same(a, b) and times < _MOST:
            times += 1 if times < 4 else 2
            if probes.left is not None and probes.left < 2 * (times - len(a.values or b.values)):
                break
            a, b = probes.read(NONE, times), probes.read(probes.all, times)
            least += 1
            self.ruler = self._ruler(a, b, least)
        if a.state == b.state == "value":
            probes.fits = True
            if self.ruler.same(a, b):
                return self._same(a, b)
            self._plan_repeats(len(a.values), abs(b.mean - a.mean))
        return None

    def _plan_repeats(self, times: int, difference: float) -> None:
        """Repeat A and B, so that every hybrid need not be: the better known the noise, the nearer two outcomes are told apart."""
        probes, ruler = self.probes, self.ruler
        if not ruler.deviation:
            return
        later = bound_for(len(probes.order)) + 1

        def cost(each: int) -> int:
            known = msgspec.structs.replace(ruler, factor=quantile(self._level(1), 2 * each - 2))
            return 2 * each + later * (known.needed(difference, _MOST) - 1)

        best = min(range(times, _MOST + 1), key=cost)
        if probes.left is not None:
            best = min(best, times + max(0, probes.left - later) // 2)
        a, b = probes.read(NONE, best), probes.read(probes.all, best)
        self.ruler = self._ruler(a, b, 1)
        probes.each = self.ruler.needed(b.mean - a.mean, _MOST)
        probes.read(NONE, max(probes.each, best))
        probes.read(probes.all, max(probes.each, best))

    def _level(self, looks: int) -> float:
        """The quantile for one comparison: every one that may come has its part of the probability of an error (Bonferroni)."""
        comparisons = 2 * bound_for(len(self.probes.order)) + 4 + looks
        return 1 - (1 - self.confidence) / (2 * comparisons)

    def _ruler(self, a: Reading, b: Reading, looks: int) -> Ruler:
        """How to tell outcomes apart."""
        groups = [each.values for each in (a, b) if each.state == "value"]
        spread, freedom = deviation(groups)
        far = abs(b.mean - a.mean) if len(groups) == 2 else max((abs(each[0]) for each in groups), default=0.0)
        if not spread or spread <= far * SMALL * SMALL:
            return Ruler(floor=far * SMALL)
        factor = quantile(self._level(looks), freedom)
        return Ruler(deviation=spread, freedom=freedom, factor=factor, floor=far * SMALL)

    # -- causes

    def _search(self) -> None:
        probes = self.probes
        self._add(jumps(probes, self.ruler, NONE, probes.all))
        self._complete()
        single = len(self.found) == 1
        left = self._allowed() if single else None
        rest = probes.without(self._names())
        if rest and (left is None or left > 0 or probes.seen(rest)):
            reading = probes.read(rest)
            if reading.state != "unknown" and not self.ruler.same(probes.read(NONE), reading):
                self._add(jumps(probes, self.ruler, NONE, rest))
                self._complete()
        self._cancelled()

    def _allowed(self) -> int:
        """Executions that the bound for a single cause has left."""
        probes = self.probes
        return bound_for(len(probes.order)) - (probes.executions - probes.repeats)

    def _names(self) -> list[str]:
        return [name for each in self.found for name in each.names]

    def _add(self, more: Sequence[Jump]) -> bool:
        known = set(self._names())
        fresh = [each for each in more if not set(each.names) & known]
        self.found += fresh
        self.spent = self.spent or any(each.cut for each in fresh)
        return bool(fresh)

    def _complete(self) -> None:
        """Look for what belongs to the causes found, until they give B's outcome."""
        probes = self.probes
        while True:
            taken = probes.whole(self._names())
            reading = probes.read(taken)
            if reading.state == "unknown":
                # Nothing else on the path changed the outcome; only, they cannot be had without some of it.
                self.proven = not any(each.cut for each in self.found)
                return
            self.proven = self.ruler.same(reading, probes.read(probes.all))
            if self.proven or not self._add(jumps(probes, self.ruler, taken, probes.all)):
                return

    def _cancelled(self) -> None:
        """Sets of the innocent, so that any two of them are parted by one: where the outcome is not that of the causes, two had cancelled out."""
        probes = self.probes
        while self.proven:
            guilty = probes.whole(self._names())
            innocent = [name for name in probes.order if name not in guilty]
            bits = max(1, (len(innocent) - 1).bit_length())
            for bit in range(bits if len(innocent) > 1 else 0):
                if self._allowed() <= 0:
                    return
                taken = guilty | probes.whole(name for at, name in enumerate(innocent) if at >> bit & 1)
                reading = probes.read(taken)
                if reading.state != "unknown" and not self.ruler.same(reading, probes.read(guilty)):
                    if not self._add(jumps(probes, self.ruler, guilty, taken)):
                        return
                    self._complete()
                    break
            else:
                return

    # -- answers

    def _explained(self) -> Attribution:
        probes = self.probes
        a, b = self._measured()
        difference = b.value - a.value if a.value is not None and b.value is not None else None
        parts = shares(probes, self.ruler, self.found, self.factors, difference)
        reasons = [parts.reason] if parts.reason else []
        reasons += sorted({f"{each.name}: {each.reason}." for each in parts.causes if each.reason})
        remainder = parts.remainder
        verdict: Verdict = "explained"
        if self.spent and (not self.proven or any(each.cut for each in self.found)):
            verdict = "unknown"
            reasons.append("The executions allowed were used up.")
        elif not self.proven:
            verdict = "partly"
            reasons.append("The causes found do not give B's outcome without the others, and no execution says why.")
        elif remainder is not None and self._large(remainder):
            verdict = "partly"
            if probes.untested:
                reasons.append("What could not be switched here may make up the remainder.")
        return self._say(
            verdict, " ".join(reasons), causes=parts.causes, interactions=parts.interactions, remainder=remainder
        )

    def _large(self, remainder: float) -> bool:
        known = [len(reading.values) for taken, reading in self.probes.known if taken in {NONE, self.probes.all}]
        wide = self.ruler.error(*known, *known) if known else 0.0
        return abs(remainder) > max(wide, self.ruler.floor * 2)

    def _measured(self) -> tuple[Measured, Measured]:
        if self.recorded is not None:
            return self.recorded
        return _as_measured(self.probes.read(NONE)), _as_measured(self.probes.read(self.probes.all))

    def _same(self, a: Reading, b: Reading | None = None) -> Attribution:
        """No difference between A and B as they are executed here."""
        first, last = self._measured()
        reason = ""
        if self.recorded is not None and not self._as_recorded(a, first, last):
            reason = "The runs differ in their records, and not when both are executed here"
            reason += (
                f": what cannot be switched here ({self._listed()}) made the difference."
                if self.probes.untested
                else "."
            )
            return self._say("unknown", reason)
        if b is not None and a.mean != b.mean:
            reason = f"{len(a.values)} executions of each do not tell them apart."
        return self._say(
            "no-difference",
            reason,
            remainder=last.value - first.value if first.value is not None and last.value is not None else None,
        )

    def _as_recorded(self, a: Reading, first: Measured, last: Measured) -> bool:
        if first.state != "value" or last.state != "value" or first.value is None or last.value is None:
            return (first.state, first.error) == (last.state, last.error)
        return abs(last.value - first.value) <= max(
            self.ruler.error(1, 1), abs(a.mean) * SMALL * SMALL if a.values else 0.0
        )

    def _listed(self) -> str:
        return ", ".join(self.factors[name].name for name in self.probes.untested)

    def _nothing(self) -> Attribution:
        if self.recorded is not None:
            first, last = self.recorded
            if (first.state, first.value, first.error) == (last.state, last.value, last.error):
                return self._say("no-difference", "")
        what = (
            f"what does ({self._listed()}) cannot be switched here"
            if self.probes.untested
            else "nothing that is recorded does"
        )
        return self._say("unknown", f"The outcomes differ, and {what}.")

    def _say(
        self,
        verdict: Verdict,
        reason: str,
        *,
        causes: tuple[Cause, ...] = (),
        interactions: tuple[Interaction, ...] = (),
        remainder: float | None = None,
    ) -> Attribution:
        probes = self.probes
        guilty = {name for each in self.found for name in each.names}
        shown = probes.seen(NONE) and probes.seen(probes.all)
        a, b = self._measured() if shown or self.recorded else (Measured(state="unknown"), Measured(state="unknown"))
        return Attribution(
            verdict=verdict,
            a=a,
            b=b,
            noise=Noise(deviation=self.ruler.deviation, replicates=probes.repeats),
            causes=causes,
            interactions=interactions,
            remainder=remainder,
            executions=probes.executions,
            bound=bound_for(len(probes.order)) + probes.repeats,
            innocent=tuple(name for name in probes.order if name not in guilty)
            if verdict in {"explained", "no-difference"}
            else (),
            untested=probes.untested,
            reason=reason,
            tried=tuple(
                {
                    "taken": probes.sorted(taken),
                    "state": reading.state,
                    "value": reading.mean if reading.values else None,
                    "times": max(1, len(reading.values)),
                    "error": reading.error,
                }
                for taken, reading in probes.known
            ),
        )


def _as_measured(reading: Reading) -> Measured:
    if reading.state == "value":
        return Measured(state="value", value=reading.mean)
    return Measured(state="failed" if reading.state != "unknown" else "unknown", error=reading.error)
