"""A run as a named reader may see it: its figures, logs, errors and rows have the labels of what they are made of, and go where those permit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from payoff.base.errors import Refused, UserError
from payoff.base.text import did_you_mean
from payoff.data.labels import join
from payoff.data.labels.flow import ROWS
from payoff.execute import governing
from payoff.records.label import CLASSIFICATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from payoff.records.artifact import Artifact
    from payoff.records.evidence import CheckResult, StepOutcome, Verdict
    from payoff.records.finding import Finding
    from payoff.records.label import Label
    from payoff.records.project import Audience, Project
    from payoff.records.run import RunRecord

MONEY = "amounts of money"
_OF_DATA = ("R", "D", "V")  # errors about tables, contracts and amounts
_ASK = "ask whoever may see all of it"


def reader_of(project: Project, name: str | None) -> Audience | None:
    """The reader of that name; without one the reader that things are made for where none is named, if the project has one."""
    if name is None:
        return next((each for each in project.readers if each.default), None)
    found = next((each for each in project.readers if each.name == name), None)
    if found is None:
        raise UserError(
            f"the project has no reader {name!r}",
            code="PO-R104",
            expected=did_you_mean(name, [each.name for each in project.readers]),
            remedy=f"correct the name, or write [readers.{name}] into payoff.toml (docs/labels.md)",
        )
    return found


def shown(project: Project, record: RunRecord, reader: Audience | None) -> RunRecord:
    """The record without what the reader may not see; for nobody in particular the record itself."""
    return record if reader is None else _View(project, record, reader).record()


def columns_shown(project: Project, record: RunRecord, reader: Audience) -> tuple[str, ...]:
    """The columns of a run's predictions that the reader may see; `Refused` when there is none."""
    view = _View(project, record, reader)
    decision = project.charter.decision
    one = {
        "id": view.label(decision.examples, decision.id),
        "outcome": view.label(decision.examples, decision.outcome.column),
    }
    names = record.predictions.columns if record.predictions is not None else ()
    found = tuple(name for name in names if view.may(one.get(name, view.published)))
    if not found:
        raise Refused(
            f"{reader.name} may see nothing of the predictions of run {record.run}",
            code="PO-F050",
            expected="columns whose labels permit it: predictions have those of all that the model learned from",
            remedy=f"{_ASK}, or have the steward lower the labels in a query (docs/labels.md)",
        )
    return found


class _View:
    """One run for one reader. What contracts say now holds, and what held when the run was made."""

    def __init__(self, project: Project, record: RunRecord, reader: Audience) -> None:
        self.project, self.whole, self.reader = project, record, reader
        columns, queries = governing.recorded(record)
        schemas = {name: governing.Names(names) for name, names in columns.items()}
        facts = governing.Facts(schemas=schemas, compiled=queries, given=governing.came(project, record))
        self.labelled = governing.label(project, facts)
        charter = project.charter
        self.published = join([self.all_of(charter.model_step), self.all_of(charter.decision.examples)])
        self.withheld: list[str] = []

    # -- what may be seen

    def may(self, label: Label) -> bool:
        """Whether the reader may see what has this label."""
        reader = self.reader
        place = reader.zone or self.project.zone
        most = [reader.clearance, *(zone.clearance for zone in self.project.zones if zone.name == place)]
        return (
            label.level <= min(CLASSIFICATIONS.index(each) for each in most)
            and (label.zones is None or place in label.zones)
            and (label.purposes is None or (bool(reader.purposes) and label.purposes.issuperset(reader.purposes)))
        )

    def label(self, table: str, column: str) -> Label:
        """The label of a column, as it is or was: the stricter."""
        before = self.whole.labels.get(table, {}).get(column)
        return join([self.labelled.label(table, column), *([before] if before is not None else [])])

    def all_of(self, table: str) -> Label:
        """The label of something that is made of all of a table (or model)."""
        return join([self.labelled.whole(table), *self.whole.labels.get(table, {}).values()])

    def read_by(self, name: str) -> Label:
        """The label of what a step could tell: all that it reads, and what it makes. Of one that is no longer there: everything's."""
        step = self.project.step(name)
        if step is None:
            known = [
                *self.labelled.labels.values(),
                *(each for table in self.whole.labels.values() for each in table.values()),
            ]
            return join(known)
        taken = [
            join(self.label(each.name, column) for column in each.columns) if each.columns else self.all_of(each.name)
            for each in step.inputs
        ]
        return join([self.all_of(name), *taken])

    def many(self, *rows: int) -> bool:
        """Whether a figure over so many rows is one that a steward lets this reader see."""
        return self.reader.k > 0 and all(each >= self.reader.k for each in rows)

    # -- what is left

    def record(self) -> RunRecord:
        """The whole record, as the reader may see it."""
        whole = self.whole
        steps = tuple(self._outcome(each, self.read_by(each.name), each.name) for each in whole.steps)
        stages = tuple(self._outcome(each, self._of_stage(each.name), each.name) for each in whole.stages)
        value = whole.valuation
        seen = value is None or self.may(self.published) or self.many(value.rows)
        checks = tuple(self._checks())
        hidden = {(name, metric) for name, metric in self._metrics(steps)}
        if value is not None and seen and not self.may(self.published):
            few = [each for each in value.groups if not self.many(each.rows, value.rows - each.rows)]
            self._leave_out("groups of few rows", here=bool(few))
            value = replace(value, groups=tuple(each for each in value.groups if each not in few))
        if not seen:
            self._leave_out(MONEY)
            hidden |= {("", name) for name in whole.valuation.metrics} if whole.valuation is not None else set()
            value = None
        tables = {name: self._counted(name, each) for name, each in whole.tables.items()}
        gone = {name for step, metric in hidden for name in (metric, f"{step}.{metric}")}
        return replace(
            whole,
            reader=self.reader.name,
            steps=steps,
            stages=stages,
            checks=checks,
            valuation=value,
            holdout_rows=whole.holdout_rows if seen else 0,
            verdicts=tuple(self._verdict(each, seen=seen) for each in whole.verdicts),
            metrics={name: figure for name, figure in whole.metrics.items() if name not in gone},
            errors=tuple(self._error(each, steps) for each in whole.errors),
            tables=tables,
            withheld=tuple(dict.fromkeys(self.withheld)),
        )

    def _leave_out(self, what: str, *, here: bool = True) -> None:
        if here:
            self.withheld.append(what)

    def _outcome(self, outcome: StepOutcome, label: Label, name: str) -> StepOutcome:
        if self.may(label):
            return outcome
        said = bool(outcome.metrics or outcome.log or outcome.failure)
        self._leave_out(f"metrics, output and errors of {name}", here=said)
        failure = outcome.failure and replace(outcome.failure, message="(not shown)", trace="")
        made = outcome.output and self._counted(name, outcome.output)
        because = () if outcome.state == "failed" else outcome.because
        return replace(outcome, metrics={}, log="", failure=failure, output=made, because=because)

    def _of_stage(self, name: str) -> Label:
        """What a stage of the product's own could tell: of a table that it reads or checks, else of all that the model is judged on."""
        table = name.rpartition(":")[2]
        return self.all_of(table) if table in self.whole.tables else self.published

    def _counted(self, table: str, artifact: Artifact) -> Artifact:
        """A table's version, with its number of rows where that may be known."""
        if artifact.rows is None or self.may(self.label(table, ROWS)) or self.many(artifact.rows):
            return artifact
        self._leave_out(f"how many rows {table} has")
        return replace(artifact, rows=None, bytes=0)

    def _metrics(self, steps: Sequence[StepOutcome]) -> Iterator[tuple[str, str]]:
        """(step, metric) that are not shown."""
        for before, after in zip(self.whole.steps, steps, strict=True):
            yield from ((before.name, metric) for metric in before.metrics if metric not in after.metrics)

    def _checks(self) -> Iterator[CheckResult]:
        for check in self.whole.checks:
            label = self.label(check.table, check.column) if check.column else self.all_of(check.table)
            if self.may(label):
                who = self.label(check.table, self.project.charter.decision.id) if check.sample else label
                yield check if self.may(who) else replace(check, sample=())
            elif self.many(check.rows, *([check.failed] if check.failed else [])):
                yield replace(check, sample=(), reason="")
            else:
                self._leave_out(f"promises about {check.table}.{check.column or '(all of it)'}")

    def _verdict(self, verdict: Verdict, *, seen: bool) -> Verdict:
        """Whether it passed is shown; why, where all that the gate looked at may be seen."""
        whole = not any(each.startswith("promises about") for each in self.withheld)
        if seen and (whole or verdict.passed or verdict.gate != "contract"):
            return verdict
        return replace(verdict, reason="why is not shown to this reader", remedy="", numbers={})

    def _error(self, finding: Finding, steps: Sequence[StepOutcome]) -> Finding:
        """An error may hold what a step said when it failed, or counts of what is wrong with the data."""
        hidden = [each.name for each in steps if each.failure is not None and each.failure.message == "(not shown)"]
        if not hidden and not (self.withheld and finding.code[3:4] in _OF_DATA):
            return finding
        hidden = hidden or ["the run"]
        return replace(
            finding,
            what=f"{' and '.join(hidden)} failed; its words are not shown to this reader",
            expected="",
            try_=_ASK,
        )
