"""Whether the parts of a project fit together: names, cycles, who sees what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base import text
from payoff.records.finding import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from payoff.project.config import EnvironmentSpec
    from payoff.project.files import Reading
    from payoff.project.toml import Document
    from payoff.records.charter import Charter
    from payoff.records.contract import Contract
    from payoff.records.project import SourceSpec, Step

TRAIN, HOLDOUT = "train", "holdout"


class Graph:
    """The steps and sources of a project by name, and the checks over them."""

    def __init__(
        self,
        reading: Reading,
        steps: Iterable[Step],
        sources: Iterable[SourceSpec],
        contracts: Iterable[Contract],
        charter: Charter | None,
        document: Document | None,
    ) -> None:
        self.reading = reading
        self.sources = {source.table: source for source in sources}
        self.steps = {step.name: step for step in self._named(tuple(steps))}
        self.contracts = {contract.table: contract for contract in contracts}
        self.charter = charter
        self.document = document
        self.written: tuple[str, ...] = ()  # tables that sinks take

    def _named(self, steps: tuple[Step, ...]) -> Iterator[Step]:
        """The steps, the tables of SQL steps in the spelling of the project (SQL does not tell capitals apart)."""
        names = {name.lower(): name for name in (*self.sources, *(step.name for step in steps))}
        for step in steps:
            if step.kind != "sql" or step.join is not None:
                yield step
                continue
            inputs = [
                msgspec.structs.replace(each, name=names.get(each.name.lower(), each.name)) for each in step.inputs
            ]
            yield msgspec.structs.replace(step, inputs=tuple(inputs))

    def check(self, environments: Iterable[EnvironmentSpec]) -> None:
        """Everything about names, forms, cycles and visibility."""
        names = [spec.name for spec in environments]
        for step in self.steps.values():
            self._check_name(step)
            self._check_inputs(step)
            if step.environment not in names:
                self._error(
                    "PO-P012",
                    step,
                    f"the step {step.name} asks for the environment {step.environment!r}, which is not defined",
                    text.did_you_mean(step.environment, names),
                    f"write [environments.{step.environment}] in payoff.toml, or change it",
                )
        self._check_cycles()
        if self.charter is not None:
            self._check_charter(self.charter)
        self._check_contracts()

    def _error(self, code: str, step: Step, what: str, expected: str, edit: str) -> None:
        self.reading.error(
            code,
            what,
            Place(step.file, step.line),
            expected=expected,
            remedy=f"{edit} in {step.file}:{step.line}, then: payoff check",
        )

    def _check_name(self, step: Step) -> None:
        if step.name in self.sources:
            line = self.sources[step.name].line
            what = f"{step.name} is a step and a source (payoff.toml:{line})"
            self._error("PO-P044", step, what, "each name once", "rename the step")

    def _check_inputs(self, step: Step) -> None:
        known = (*self.steps, *self.sources, TRAIN)
        for each in step.inputs:
            if each.name == HOLDOUT:
                what = f"the step {step.name} takes the holdout, which project code never sees"
                expected = "train: the model is scored on the holdout by Payoff itself"
                self._error("PO-P049", step, what, expected, "take train instead")
            elif each.name not in known:
                what = f"the step {step.name} takes {each.name!r}, which is no step and no source"
                near = text.nearest(each.name, known)
                edit = f"rename it to {near}" if near else f"add [sources.{each.name}] to payoff.toml, or rename it"
                self._error("PO-P046", step, what, text.did_you_mean(each.name, known), edit)
            elif step.kind == "python" and step.lazy and each.form != "ibis":
                what = f"{step.name} gives an ibis.Table but takes {each.name} as something else"
                expected = "ibis.Table for each of its inputs: a query is made of them before any row is read"
                self._error("PO-P052", step, what, expected, f"write {each.name}: ibis.Table")
            elif each.form == "object" and self._is_table(each.name):
                self.reading.find(
                    "note",
                    "PO-P053",
                    f"the step {step.name} does not say in which form it takes the table {each.name}: it gets a pyarrow.Table",
                    Place(step.file, step.line),
                    expected="ibis.Table, pyarrow.Table, pandas.DataFrame, polars.DataFrame or pathlib.Path",
                    remedy=f"annotate it in {step.file}:{step.line}, as {each.name}: pd.DataFrame",
                )
            if each.columns:
                self._check_columns(each.name, each.columns, Place(step.file, step.line), f"the step {step.name}")

    def _is_table(self, name: str) -> bool:
        step = self.steps.get(name)
        return name in self.sources or name == TRAIN or (step is not None and (step.lazy or step.output != "object"))

    def _needs(self, name: str) -> tuple[str, ...]:
        """What a name is made of; `train` is made of the examples."""
        if name == TRAIN:
            return (self.charter.decision.examples,) if self.charter is not None else ()
        step = self.steps.get(name)
        return tuple(each.name for each in step.inputs) if step is not None else ()

    def _check_cycles(self) -> None:
        done: set[str] = set()
        reported: set[frozenset[str]] = set()
        for start in self.steps:
            stack: list[tuple[str, Iterator[str]]] = [(start, iter(self._needs(start)))]
            path = [start]
            while stack:
                following = next(stack[-1][1], None)
                if following is None:
                    done.add(stack.pop()[0])
                    path.pop()
                elif following in path:
                    self._report_cycle(path[path.index(following) :], reported)
                elif following not in done:
                    stack.append((following, iter(self._needs(following))))
                    path.append(following)

    def _report_cycle(self, cycle: list[str], reported: set[frozenset[str]]) -> None:
        if frozenset(cycle) in reported:
            return
        reported.add(frozenset(cycle))
        named = next((name for name in cycle if name in self.steps), None)
        if named is not None:
            shown = " -> ".join((*reversed(cycle), cycle[-1]))
            what = f"steps go round in a circle: {shown}"
            expected = "steps that can be put in an order, inputs first"
            self._error("PO-P047", self.steps[named], what, expected, f"take one of the inputs away from {named}")

    def _above(self, name: str, *, through_train: bool) -> dict[str, str]:
        """Everything that a name is made of, with who asks for it."""
        found: dict[str, str] = {}
        todo = [name]
        while todo:
            here = todo.pop()
            if here == TRAIN and not through_train:
                continue
            for each in self._needs(here):
                if each not in found and each != name:
                    found[each] = here
                    todo.append(each)
        return found

    def _check_charter(self, charter: Charter) -> None:
        examples, model = charter.decision.examples, charter.model_step
        names = (*self.steps, *self.sources)
        if examples not in names:
            self._charter_error("PO-C020", "decision.examples", examples, names, "a step or a source")
        step = self.steps.get(model)
        if not model:
            pass  # there is none yet; what one could be worth can be asked all the same
        elif step is None:
            python = [each.name for each in self.steps.values() if each.kind == "python"]
            self._charter_error("PO-C021", "model.step", model, python, "a Python step")
        elif step.lazy:
            what = f"the model's step {model} is a query"
            expected = "a function that gives a model: an object that predicts, with no table as annotation"
            self._error("PO-C022", step, what, expected, "change the step, or model.step in charter.toml,")
        else:
            self._check_sight(step, charter)
        ends = [name for name in (examples, model, *self.written) if name]
        used = set(ends)
        for name in ends:
            used |= self._above(name, through_train=True).keys()
        for each in self.steps.values():
            if each.name not in used:
                self.reading.warn(
                    "PO-P048",
                    f"the step {each.name} is not used by the examples or the model",
                    Place(each.file, each.line),
                    expected=f"a step that {examples} or {model} needs",
                    remedy=f"use it or remove it in {each.file}:{each.line}",
                )
        if examples in self.contracts:
            self._check_charter_columns(charter, examples)

    def _charter_error(self, code: str, key: str, name: str, names: Iterable[str], what: str) -> None:
        self.reading.error(
            code,
            f"{key} is {name!r}, which is not {what}",
            self._line_of(key),
            expected=text.did_you_mean(name, names),
            remedy=f"change {key} in charter.toml, or add the step {name}, then: payoff check",
        )

    def _line_of(self, key: str) -> Place:
        """Where a key of the charter stands."""
        return self.document.place(tuple(key.split("."))) if self.document is not None else Place("charter.toml")

    def _check_sight(self, model: Step, charter: Charter) -> None:
        """The model sees the outcome only through `train`."""
        column = charter.decision.outcome.column
        above = self._above(model.name, through_train=False)
        seen = {}
        for name in above:
            contract = self.contracts.get(name) if name in self.sources else None
            if name == charter.decision.examples:
                seen[name] = "the examples"
            elif contract is not None and contract.column(column) is not None:
                seen[name] = f"{name}, which has the outcome {column}"
        for name, what in seen.items():
            path = [name]
            while path[-1] != model.name:
                path.append(above[path[-1]])
            if any(each in seen for each in path[1:]):
                continue
            seen_by = f"the model would see the holdout: it takes {what} ({' -> '.join(path)})"
            expected = "train only: the part of the examples that the split leaves to the model"
            self._error("PO-P051", model, seen_by, expected, "take train instead")
        for name in sorted(above.keys() - seen.keys()):
            self._check_foresight(model, name)

    def _check_foresight(self, model: Step, name: str) -> None:
        """The model takes nothing that is known only after the decision (what comes through `train` is kept from it)."""
        contract = self.contracts.get(name) if name in self.sources else None
        if contract is not None and contract.known_after:
            columns = ", ".join(each.name for each in contract.known_after)
            self.reading.warn(
                "PO-P050",
                f"the model takes {name}, which has columns that are known only after the decision: {columns}",
                Place(model.file, model.line),
                expected="what is known when the decision is taken",
                remedy=f"take it through the examples in {model.file}:{model.line}: such columns are kept from the model there",
            )

    def _check_charter_columns(self, charter: Charter, examples: str) -> None:
        used = {charter.decision.id: "decision.id", charter.decision.outcome.column: "decision.outcome.column"}
        used |= {charter.split.on: "split.on"}
        for name, key in used.items():
            self._check_columns(examples, (name,), self._line_of(key), key)

    def _check_columns(self, table: str, columns: Iterable[str], place: Place, who: str) -> None:
        contract = self.contracts.get(table)
        known = [column.name for column in contract.columns] if contract is not None else []
        for name in columns:
            if known and name not in known:
                self.reading.warn(
                    "PO-C023",
                    f"{who} names the column {name!r}, which the contract of {table} does not list",
                    place,
                    expected=text.did_you_mean(name, known),
                    remedy=f"correct the name in {place.file}, or add the column to the contract of {table}",
                )

    def _check_contracts(self) -> None:
        for contract in self.contracts.values():
            place = Place(contract.file)
            names = (*self.sources, *self.steps)
            if contract.table not in names:
                self.reading.warn(
                    "PO-P077",
                    f"the contract is for {contract.table!r}, which is no source and no step",
                    place,
                    expected=text.did_you_mean(contract.table, names),
                    remedy=f"correct the table's name in {contract.file}, or add [sources.{contract.table}] to payoff.toml",
                )
            for column in contract.columns:
                if column.references is not None:
                    self._check_reference(contract, column.references, Place(contract.file, column.line))
        readable = not any(
            each.code.startswith("PO-P07") and each.severity == "error" for each in self.reading.findings
        )
        for source in self.sources.values():
            if readable and source.table not in self.contracts:
                self.reading.find(
                    "note",
                    "PO-P078",
                    f"the source {source.table} has no contract: nothing is checked about it",
                    Place("payoff.toml", source.line),
                    expected=f"contracts/{source.table}.yaml (ODCS v3)",
                    remedy=f"write contracts/{source.table}.yaml",
                )

    def _check_reference(self, contract: Contract, reference: tuple[str, str], place: Place) -> None:
        table, column = reference
        known = self.contracts.get(table)
        names = (*self.sources, *self.steps)
        if table not in names:
            self.reading.warn(
                "PO-P079",
                f"the contract of {contract.table} refers to the table {table!r}, which is not there: this is not checked",
                place,
                expected=text.did_you_mean(table, names),
                remedy=f"correct it in {place.file}:{place.line}, or add [sources.{table}] to payoff.toml",
            )
            return
        if known is None or known.column(column) is not None:
            return
        what = f"refers to {table}.{column}, which the contract of {table} does not list"
        expected = text.did_you_mean(column, (each.name for each in known.columns))
        self.reading.error(
            "PO-P079",
            f"the contract of {contract.table} {what}",
            place,
            expected=expected,
            remedy=f"correct it in {place.file}:{place.line}, then: payoff check",
        )
