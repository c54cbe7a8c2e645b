"""`payoff why A B`: execute hybrids of two runs, and say which of all that differs made the difference."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from payoff.base import hashing
from payoff.base.clock import stopwatch
from payoff.base.errors import OutsideError, UserError
from payoff.base.text import did_you_mean
from payoff.flows.comparing import hybrids, laboratory, together
from payoff.flows.comparing.place import FOLDER, Place, find_anywhere
from payoff.flows.comparing.rebuilding import only, rebuild, sides
from payoff.flows.environments.collect import bound
from payoff.flows.opening import open_past
from payoff.ports.observer import silent
from payoff.project.past import locks
from payoff.records.answers.why import Expected, Why
from payoff.records.hybrids.attribution import Measured
from payoff.reproduction import attribute as search
from payoff.reproduction.factors import factors
from payoff.reproduction.noise import SMALL
from payoff.reproduction.splicing.splice import Unfit
from payoff.reproduction.versions import first_changed
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.flows.comparing.rebuilding import Rebuilt
    from payoff.ports.observer import Observer
    from payoff.records.answers.why import WhyRequest
    from payoff.records.hybrids.attribution import Attribution, Cause, Factor
    from payoff.records.project import Environment
    from payoff.records.run import RunRecord

    Announce = Callable[[Expected], None]

_NAMED = 3  # factors that a line of progress names


def why(request: WhyRequest, tell: Observer = silent, announce: Announce = lambda _expected: None) -> Why:
    """Attribute the difference of a metric between two runs to what differs between them.

    `announce` hears what the search is expected to cost, before anything is executed. What is measured is kept in the project's laboratory: a search that
    was stopped goes on where it was, and one that is asked for again executes nothing.
    """
    began = stopwatch()
    past = open_past(request.project)
    first, last = (find_anywhere(past, name) for name in (request.a, request.b))
    metric = request.metric or laboratory.GAIN
    _known_metric(metric, first, last)
    _same_extent(metric, first, last)
    with Place(past) as place:
        a, b = rebuild(place, first), rebuild(place, last)
        found = factors(*sides(place, a, b))
        expected = _expected(found, first, last)
        answer = Why(
            a=first.run,
            b=last.run,
            metric=metric,
            unit=_unit(metric, first, last),
            factors=found,
            expected=expected,
            run_seconds=first.seconds + last.seconds,
            notes=(*a.notes, *(note for note in b.notes if note not in a.notes)),
        )
        if request.plan:
            return answer
        announce(expected)
        bench = _Bench(place, a, b, found, metric, tell)
        attribution = bench.attribute(request.max_runs)
    bound(past)
    return replace(
        answer, attribution=attribution, seconds=stopwatch() - began, notes=(*answer.notes, *bench.notes(attribution))
    )


class _Bench:
    """Two rebuilt runs and everything that is needed to execute what lies between them."""

    def __init__(
        self, place: Place, a: Rebuilt, b: Rebuilt, found: tuple[Factor, ...], metric: str, tell: Observer
    ) -> None:
        self.place, self.a, self.b, self.found, self.metric, self.tell = place, a, b, found, metric, tell
        self.laboratory = laboratory.Laboratory(place, tell)
        self.mixer = assemble.mixer(place.root)
        self.names = {each.id: each.name for each in found}
        self.number = 0
        self.left: int | None = None
        self._measure = hybrids.measure(self.laboratory, a, b, found, self.environment, metric=metric)

    def attribute(self, most: int | None) -> Attribution:
        """The causes, and of packages among them the first version that matters."""
        factors = together.with_needs(self.a, self.b, self.found, self.environment)
        found = search.attribute(
            factors, self.measure, max_executions=most, recorded=(self.recorded(self.a), self.recorded(self.b))
        )
        self.left = None if most is None else most - found.executions
        causes, executions = [], found.executions
        for cause in found.causes:
            since, asked = self._since(together.headed(cause, self.b, self.found), found)
            causes.append(since)
            executions += asked
        return replace(
            found, causes=tuple(causes), executions=executions, bound=found.bound + executions - found.executions
        )

    def measure(self, taken: frozenset[str], replicate: int) -> Measured:
        """One execution, and a line of progress about it."""
        self.number += 1
        some = [self.names[name] for name in sorted(taken)]
        which = ", ".join(some[:_NAMED]) + (f" and {len(some) - _NAMED} more" if len(some) > _NAMED else "")
        name = f"execution {self.number}: " + (f"A with {which} of B" if taken else "A")
        self.tell("experiment", name=name, state="started")
        try:
            return self._measure(taken, replicate)
        finally:
            self.tell("experiment", name=name, state="done")

    def recorded(self, side: Rebuilt) -> Measured:
        """What the run itself gave."""
        known = laboratory.metrics(side.record)
        if self.metric in known:
            return Measured(state="value", value=known[self.metric])
        failed = laboratory.failure(side.record) if side.record.valuation is None else ""
        return Measured(state="failed", error=failed or f"no metric {self.metric}")

    def environment(self, ours: Environment, packages: dict[str, str]) -> Environment | str:
        """A's environment with some packages in other versions; why there is none, where uv says so."""
        theirs = self.b.project.environment(ours.name)
        second = self.b.root / theirs.folder if theirs is not None else Path(ours.folder)
        wanted = {name: version for name, version in {**ours.packages, **packages}.items() if version}
        name = hashing.of_json([ours.digest, theirs.digest if theirs else "", wanted])
        folder = self.place.root / FOLDER / "environments" / name
        reason = self.mixer.mix(Path(ours.folder), second, wanted, folder)
        if reason:
            return reason
        found = locks.locked(folder, ours)
        return found if found is not None else "the lock that uv made cannot be read"

    # -- versions

    def _since(self, cause: Cause, found: Attribution) -> tuple[Cause, int]:
        """A package's cause with the first version that changes the outcome, and the executions that this took."""
        factor = next((each for each in self.found if each.kind == "package" and each.name == cause.name), None)
        if factor is None or cause.names or not (factor.a and factor.b):
            return cause, 0
        try:
            versions = self._versions(factor)
        except OutsideError as error:
            return replace(cause, reason=_joined(cause.reason, f"versions between: {error.what}")), 0
        others = frozenset(each.id for each in self.found if each.name in _guilty(found)) - {factor.id}
        asked = self.number
        # Alone in A where that changes anything, else with the other causes.
        for rest in (frozenset[str](), others) if others else (frozenset[str](),):
            before = self._probe(rest, found)
            if before is None or len(versions) < 2:
                break
            if self._differs(before, self._probe(rest | {factor.id}, found), found):
                known = first_changed(versions, functools.partial(self._changed, factor, rest, before, found))
                if len(known.skipped) == len(versions) - 1:
                    why = "no version between could be tried" + (
                        ": the executions allowed were used up" if self.left == 0 else ""
                    )
                    return replace(cause, reason=_joined(cause.reason, why)), self.number - asked
                skipped = f"{', '.join(known.skipped)} could not be tried" if known.skipped else ""
                since = replace(cause, first_changed=known.version, reason=_joined(cause.reason, skipped))
                return since, self.number - asked
        # Published next to each other, or nothing to hold them against.
        first = factor.b if len(versions) < 2 else None
        return replace(cause, first_changed=first), self.number - asked

    def _versions(self, factor: Factor) -> tuple[str, ...]:
        """The versions after A's, up to B's; down to it where B went back."""
        _, environment, name = factor.id.split(":", 2)
        known = self.a.project.environment(environment)
        folder = self.a.root / (known.folder if known is not None else ".")
        low, high = _ascending(factor)
        versions = self.mixer.versions(name, low, high, folder)
        return versions if high == factor.b else (*reversed(versions[:-1]), factor.b)

    def _probe(self, taken: frozenset[str], found: Attribution) -> Measured | None:
        """A hybrid, as the search measured it or now; None where the executions are used up."""
        for each in found.tried:
            if set(each["taken"]) == taken:
                return Measured(state=each["state"], value=each["value"], error=each["error"])
        return self.measure(taken, 0) if self._may() else None

    def _may(self) -> bool:
        """Whether one more execution is allowed; it is counted."""
        if self.left is not None and self.left <= 0:
            return False
        self.left = None if self.left is None else self.left - 1
        return True

    def _changed(
        self, factor: Factor, others: frozenset[str], before: Measured, found: Attribution, version: str
    ) -> bool | None:
        """Whether the outcome with this version is another than with A's; None where it cannot be executed, or may not be any more."""
        if not self._may():
            return None
        self.number += 1
        name = f"execution {self.number}: A with {factor.name} {version}"
        self.tell("experiment", name=name, state="started")
        try:
            taken = others | {factor.id}
            made = hybrids.compose(
                self.place, self.a, self.b, self.found, taken, self.environment, {factor.id: version}
            )
            return self._differs(before, self.laboratory.measure(made, self.metric), found)
        except Unfit:
            return None
        finally:
            self.tell("experiment", name=name, state="done")

    def _differs(self, before: Measured, after: Measured | None, found: Attribution) -> bool | None:
        if after is None or after.state == "unknown":
            return None
        if after.state != before.state or after.value is None or before.value is None:
            return (after.state, after.error) != (before.state, before.error)
        whole = abs((found.b.value or 0.0) - (found.a.value or 0.0))
        return abs(after.value - before.value) > max(4 * found.noise.deviation, SMALL * whole)

    # -- what is to be said besides

    def notes(self, found: Attribution) -> tuple[str, ...]:
        """Where this machine does not give what was recorded."""
        said = []
        for title, side, taken in (
            ("A", self.a, []),
            ("B", self.b, sorted(each.id for each in self.found if each.testable)),
        ):
            here = next(
                (each for each in found.tried if each["taken"] == taken or set(each["taken"]) == set(taken)), None
            )
            recorded = self.recorded(side)
            if here is None or here["value"] is None or recorded.value is None:
                continue
            if abs(here["value"] - recorded.value) > max(4 * found.noise.deviation, SMALL * abs(recorded.value)):
                said.append(
                    f"{title} ({side.record.run}), executed here, does not give what it gave then: this machine, or something that is not "
                    f"recorded, differs. `payoff reproduce {side.record.run}` says where."
                )
        return tuple(said)


def _joined(*texts: str) -> str:
    return "; ".join(each for each in texts if each)


def _guilty(found: Attribution) -> set[str]:
    return {name for each in found.causes for name in (each.names or (each.name,))}


def _ascending(factor: Factor) -> tuple[str, str]:
    """The two versions of a package, the lower one first."""

    def numbers(version: str) -> list[int]:
        parts = "".join(each if each.isdigit() else " " for each in version).split()
        return [int(each) for each in parts]

    return (factor.a, factor.b) if numbers(factor.a) <= numbers(factor.b) else (factor.b, factor.a)


def _expected(found: tuple[Factor, ...], first: RunRecord, last: RunRecord) -> Expected:
    executions, bound = search.plan(found)
    seconds = executions * (_working(first) + _working(last)) / 2
    return Expected(factors=sum(each.testable for each in found), executions=executions, bound=bound, seconds=seconds)


def _working(record: RunRecord) -> float:
    """Seconds that a run's stages took, where they were not reused."""
    own = sum(each.seconds for each in (*record.steps, *record.stages) if each.state in {"ran", "failed"})
    return min(record.seconds, own) if own else record.seconds


def _unit(metric: str, first: RunRecord, last: RunRecord) -> str:
    if metric != laboratory.GAIN and not metric.startswith(laboratory.PER_YEAR):
        return ""
    return next((each.valuation.currency for each in (first, last) if each.valuation is not None), "")


def _same_extent(metric: str, first: RunRecord, last: RunRecord) -> None:
    """Refuse a run of some steps against one that went to the verdict, where a metric is missing for that alone."""
    for record, other in ((first, last), (last, first)):
        missing = metric not in laboratory.metrics(record) and not laboratory.failure(record)
        if missing and only(record) != only(other):
            some = ", ".join(only(record)) or "everything"
            raise UserError(
                f"run {record.run} made {some} and did not fail; run {other.run} made {', '.join(only(other)) or 'everything up to the verdict'}: "
                f"that {metric} is missing in the first is no difference to look into",
                code="PO-Q022",
                expected="two runs that were asked for the same, or a metric that both have",
                remedy=f"payoff why {first.run} {last.run} --metric NAME, with a metric of a step that both made; payoff show RUN --json lists them",
            )


def _known_metric(metric: str, first: RunRecord, last: RunRecord) -> None:
    known = laboratory.metrics(first).keys() | laboratory.metrics(last).keys()
    failed = [each for each in (first, last) if each.valuation is None]
    if metric in known or (metric == laboratory.GAIN and len(failed) == 1):
        return
    if metric == laboratory.GAIN and len(failed) == 2 and laboratory.failure(first) != laboratory.failure(last):
        return
    if metric == laboratory.GAIN:
        raise UserError(
            "neither run has a gain: both ended before their verdict, in the same way",
            code="PO-Q020",
            expected="a metric that at least one of the two has",
            remedy="payoff show RUN says how a run ended; name a metric that both have with --metric",
        )
    raise UserError(
        f"neither run has the metric {metric!r}",
        code="PO-Q021",
        expected=did_you_mean(metric, sorted(known)),
        remedy="payoff show RUN --json lists a run's metrics; steps add their own with payoff.log_metric(name, value)",
    )
