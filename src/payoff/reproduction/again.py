"""A run held against the same run executed again: exact, within noise, or different, and where."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from payoff.base import hashing
from payoff.records.answers.reproduce import Figure, StepAgain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from payoff.records.artifact import Artifact
    from payoff.records.evidence import StepOutcome
    from payoff.records.run import RunRecord

Verdict = Literal["exact", "within-noise", "differs"]
_MONEY = "per_year."
# Bounds come from sums of many numbers, whose order, and so whose last digits, hang on the number of processors.
_BOUNDS, _ROUNDING = (".low", ".high"), 1e-9
# A step that was ended because another failed says nothing of itself.
_BECAUSE_OF_OTHERS = {"PO-R007", "PO-R008"}


class Compared(NamedTuple):
    """What came of holding a run against its executions."""

    verdict: Verdict
    steps: tuple[StepAgain, ...]
    figures: tuple[Figure, ...]


def settled(run: RunRecord, executions: Sequence[RunRecord]) -> bool:
    """Whether further executions would say nothing new: the first gave the same, or two gave the same as each other and not as the run."""
    first = _signature(run, executions[0])
    if first == _signature(executions[0], run):
        return True
    return len(executions) > 1 and _signature(executions[0], executions[1]) == _signature(executions[1], executions[0])


def compare(
    run: RunRecord,
    executions: Sequence[RunRecord],
    inputs: Mapping[str, Sequence[str]],
    expect: Callable[[Sequence[float], float], tuple[float, float]],
    *,
    confidence: float = 0.99,
) -> Compared:
    """Hold a run against one or more executions of it; `inputs` has the names of the stages that each stage takes something from, `expect`
    says where one more number is expected after some others, with a confidence.

    Where the first is not the same, the others say whether it would ever be. A stage varies when its executions differ among themselves, or
    are made of something that varies; then each number of the run must lie where one more execution is expected (Student's prediction interval at
    this confidence, shared out among the numbers after Bonferroni). A stage whose executions are the same as each other, made of what does not
    vary, and not what the run had, differs. Bounds of intervals may differ in their last digits (by less than a billionth).
    """
    first = executions[0]
    own, theirs = figures(run), [figures(each) for each in executions]
    names = sorted(own.keys() | theirs[0].keys(), key=lambda name: (not name.startswith((_MONEY, "gain")), name))
    unlike = [name for name in names if len({each.get(name) for each in (own, *theirs)}) > 1]
    share = 1 - (1 - confidence) / max(1, len(unlike))
    found = tuple(
        _figure(
            name,
            own.get(name),
            [each.get(name) for each in theirs],
            None if name not in unlike else lambda values: expect(values, share),
        )
        for name in names
    )
    steps = _steps(run, executions, _tainted(executions, inputs))
    if (
        failed(run) != failed(first)
        or any(step.same == "differs" for step in steps)
        or not all(figure.within for figure in found)
    ):
        return Compared("differs", steps, found)
    noisy = unlike or any(step.same == "varies" for step in steps)
    return Compared("within-noise" if noisy else "exact", steps, found)


def figures(record: RunRecord) -> dict[str, float]:
    """The numbers of a run: metrics of steps and of the verdict, the money of each alternative a year with its bounds, the gain with its own."""
    found = dict(record.metrics)
    if record.valuation is not None:
        gain = record.valuation.gain
        found |= {"gain": gain.mean, "gain.low": gain.low, "gain.high": gain.high}
        for name, each in record.valuation.per_year.items():
            money = f"{_MONEY}{name}"
            found |= {money: each.mean, f"{money}.low": each.low, f"{money}.high": each.high}
    return found


def failed(record: RunRecord) -> tuple[str, ...]:
    """How a run ended that did not get to its verdict: the code of each error, and the failure of each step."""
    ends = {f"{each.failure.error} in {each.name}" for each in _outcomes(record).values() if each.failure}
    codes = {finding.code for finding in record.errors}
    return tuple(sorted((codes | ends) - _BECAUSE_OF_OTHERS))


def _outcomes(record: RunRecord) -> dict[str, StepOutcome]:
    """What was done, in the order in which it was: reads, steps, what is made of them. Writing is no result."""
    before = [each for each in record.stages if each.name.startswith("read:")]
    after = [each for each in record.stages if not each.name.startswith(("read:", "write:"))]
    done = [each for each in (*before, *record.steps, *after) if each.state != "skipped"]
    others = [each for each in done if each.failure and each.failure.kind == "cancelled"]
    return {each.name: each for each in done if each not in others}


def _content(outcome: StepOutcome) -> Any:
    """What a stage made, as far as it can be told from the outside: objects are told by what is made of them."""
    if outcome.state == "failed":
        return None if outcome.failure is None else ("failed", outcome.failure.error)
    table = outcome.output.id if outcome.output is not None and outcome.output.kind == "table" else ""
    more = {name: outcome.extra[name] for name in ("results", "leaks") if name in outcome.extra}
    holdout = (outcome.extra.get("holdout") or outcome.extra.get("rows") or {}) if table else {}
    return table, hashing.of_json(more), holdout.get("id", "") if isinstance(holdout, dict) else ""


def _signature(record: RunRecord, other: RunRecord) -> Any:
    """Everything of a record that its execution must have too: of the stages that both have."""
    both = _outcomes(other)
    stages = {name: _content(each) for name, each in _outcomes(record).items() if name in both}
    return stages, figures(record), failed(record), {each.gate: each.passed for each in record.verdicts}


def _tainted(executions: Sequence[RunRecord], inputs: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """The stages whose executions differ among themselves, and all that is made of theirs."""
    known = [_outcomes(each) for each in executions]
    names = set().union(*known)
    found = {
        name
        for name in names
        if len({repr(_content(each[name])) for each in known if name in each}) > 1
        or len({_identity(each[name].output) for each in known if name in each}) > 1
    }
    while more := {name for name in names - found if found & set(inputs.get(name, ()))}:
        found |= more
    return frozenset(found)


def _identity(output: Artifact | None) -> str | None:
    return output.id if output is not None else None


def _steps(run: RunRecord, executions: Sequence[RunRecord], tainted: frozenset[str]) -> tuple[StepAgain, ...]:
    first = executions[0]
    ours, theirs = _outcomes(run), _outcomes(first)
    harmless = _signature(run, first) == _signature(first, run)
    answers = [
        _step(ours[name], theirs[name], harmless=harmless, varies=name in tainted) for name in ours if name in theirs
    ]
    gates = {each.gate: each.passed for each in first.verdicts}
    for verdict in run.verdicts:
        if gates.get(verdict.gate, verdict.passed) != verdict.passed:
            what = "it was passed, and is not" if verdict.passed else "it was not passed, and is"
            varies = "value" in tainted
            same: Any = "varies" if varies else "differs"
            answers.append(StepAgain(name=f"gate {verdict.gate}", kind="none", same=same, what=what))
    return tuple(answers)


def _step(ours: StepOutcome, theirs: StepOutcome, *, harmless: bool, varies: bool) -> StepAgain:
    a, b = _identity(ours.output), _identity(theirs.output)
    output = ours.output or theirs.output
    kind: Any = "none" if output is None else output.kind
    alike = _content(ours) == _content(theirs) and ours.metrics == theirs.metrics
    same: Any = "differs"
    if alike and (a == b or kind != "object"):
        same = "varies" if varies and not harmless else "exact"
    elif alike and harmless:
        same = "equal"
    elif varies:
        same = "varies"
    what = "" if same == "exact" else _what(ours, theirs, kind)
    return StepAgain(name=ours.name, kind=kind, same=same, a=a, b=b, what=what)


def _what(ours: StepOutcome, theirs: StepOutcome, kind: str) -> str:
    """What of a stage is not the same, in words."""
    if "failed" in (ours.state, theirs.state):
        return f"{_end(ours)} in the run, {_end(theirs)} when executed again"
    said = []
    if ours.output is not None and theirs.output is not None and ours.output.id != theirs.output.id:
        said.append(_table(ours.output, theirs.output) if kind == "table" else "the object's bytes")
    names = sorted(
        n for n in ours.metrics.keys() | theirs.metrics.keys() if ours.metrics.get(n) != theirs.metrics.get(n)
    )
    if names:
        said.append("the metric" + ("s " if len(names) > 1 else " ") + ", ".join(names[:5]))
    return "; ".join(said)


def _end(outcome: StepOutcome) -> str:
    if outcome.state != "failed":
        return "it went well"
    return f"it failed ({outcome.failure.error})" if outcome.failure else "it failed"


def _table(ours: Artifact, theirs: Artifact) -> str:
    if ours.fields != theirs.fields:
        return "the table's columns"
    if ours.rows != theirs.rows:
        return f"the table's rows: {ours.rows:,} and {theirs.rows:,}"
    return "values in the table"


def _figure(
    name: str,
    own: float | None,
    theirs: list[float | None],
    expect: Callable[[Sequence[float]], tuple[float, float]] | None,
) -> Figure:
    """`expect` is none where the number is always the same."""
    if expect is None:
        return Figure(name=name, a=own, b=theirs[0])
    values = [value for value in theirs if value is not None]
    if own is None or len(values) < len(theirs):
        return Figure(name=name, a=own, b=theirs[0], within=False)
    low, high = expect(values)
    within = low <= own <= high or (name.endswith(_BOUNDS) and math.isclose(own, values[0], rel_tol=_ROUNDING))
    return Figure(name=name, a=own, b=theirs[0], low=low, high=high, within=within)
