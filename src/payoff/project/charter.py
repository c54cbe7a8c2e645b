"""charter.toml: why the project exists, in money."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base import hashing
from payoff.base.money import plain
from payoff.project import spec, toml
from payoff.project.charter_keys import FILE, SPEC
from payoff.project.charter_rules import Rules, outcome_name
from payoff.records.charter import (
    Accept,
    CapacitySpec,
    Cell,
    Charter,
    CommonSolution,
    Costs,
    Decision,
    Objective,
    OutcomeSpec,
    QuantitySpec,
    SegmentSpec,
    Signed,
    SplitSpec,
    Stop,
)

if TYPE_CHECKING:
    from payoff.project.files import Reading
    from payoff.project.toml import Document


def read(reading: Reading) -> tuple[Charter, Document] | None:
    """Read charter.toml; nothing when it is too wrong to go on with. The document knows the lines of the keys."""
    document = toml.read(reading, FILE)
    if document is None:
        return None
    before = len(reading.findings)
    spec.check(SPEC, document, reading)
    table = document.table
    checker = Rules(document, reading)
    shaped = not any(finding.severity == "error" for finding in reading.findings[before:])
    cells = checker.cells() if _is_shaped(table, "payoff") else ()
    quantity = checker.quantity() if shaped else None
    if shaped:
        if quantity is None:
            checker.outcomes(cells)
        checker.split()
        checker.signature()
        checker.capacity({cell.action for cell in cells})
    if isinstance(table.get("common_solutions"), dict):
        checker.common_solutions({cell.action for cell in cells}, quantity)
    if any(finding.severity == "error" for finding in reading.findings[before:]):
        return None
    charter = _charter(document, cells, quantity)
    return msgspec.structs.replace(charter, digest=digest(charter)), document


def digest(charter: Charter) -> str:
    """The digest of what the charter says, wherever its lines stand."""
    return hashing.of_json(_without_lines(msgspec.to_builtins(charter)))


def _without_lines(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_lines(each) for key, each in value.items() if key not in ("line", "file", "digest")}
    if isinstance(value, list):
        return [_without_lines(each) for each in value]
    return value


def _is_shaped(table: dict[str, Any], name: str) -> bool:
    section = table.get(name)
    return isinstance(section, dict) and isinstance(section.get("currency"), str)


def _charter(document: Document, cells: tuple[Cell, ...], quantity: QuantitySpec | None) -> Charter:
    table = document.table
    decision, outcome = table["decision"], table["decision"]["outcome"]
    split = table["split"]
    accept = table.get("accept", {})
    stop = table.get("stop", {})
    return Charter(
        objective=Objective(**table["objective"]),
        decision=Decision(
            question=decision["question"],
            examples=decision["examples"],
            id=decision["id"],
            outcome=OutcomeSpec(
                column=outcome["column"],
                positive=outcome.get("positive"),
                means=outcome["means"],
                name=outcome_name(outcome, dict.fromkeys(cell.outcome for cell in cells)),
            ),
            per_year=decision["per_year"],
            at=decision.get("at"),
        ),
        currency=table["payoff"]["currency"],
        cells=cells,
        common_solutions=_common_solutions(document, quantity),
        split=SplitSpec(
            by=split["by"],
            on=split.get("on", decision["id"]),
            holdout=float(split["holdout"]) if "holdout" in split else None,
            from_=_date(split["from"]) if "from" in split else None,
            salt=split.get("salt", ""),
        ),
        model_step=table.get("model", {}).get("step", ""),
        recalibrate=table.get("model", {}).get("recalibrate", "when poor"),
        gives=table.get("model", {}).get("gives", "forecast"),
        quantity=quantity,
        costs=_costs(table.get("costs", {})),
        accept=Accept(
            confidence=float(accept.get("confidence", 0.95)),
            min_gain_per_year=Decimal(accept.get("min_gain_per_year", 0)),
        ),
        stop=Stop(
            after_runs=stop.get("after_runs"),
            unless_upper_bound_above=Decimal(stop["unless_upper_bound_above"])
            if "unless_upper_bound_above" in stop
            else None,
        ),
        signed=_signed(table.get("signed")),
        segments=_segments(table.get("segments", {})),
        capacity=_capacity(
            table.get("capacity"),
            list(dict.fromkeys(cell.action for cell in cells)),
            document.line(("capacity", "cost")),
        ),
        file=FILE,
        digest="",
    )


def _common_solutions(document: Document, quantity: QuantitySpec | None) -> tuple[CommonSolution, ...]:
    return tuple(
        CommonSolution(
            name=name,
            action=_action(each.get("action"), quantity),
            sql=each.get("sql"),
            says=each.get("says", ""),
            line=document.line(("common_solutions", name)),
        )
        for name, each in document.table["common_solutions"].items()
    )


def _action(given: Any, quantity: QuantitySpec | None) -> str | None:
    return None if given is None else plain(Decimal(given)) if quantity is not None else str(given)


def _signed(table: dict[str, Any] | None) -> Signed | None:
    return None if table is None else Signed(table["by"], _date(table["on"]), table.get("why", ""))


def _costs(table: dict[str, Any]) -> Costs:
    years = table.get("years")
    return Costs(
        build=Decimal(table.get("build", 0)),
        run_per_year=Decimal(table.get("run_per_year", 0)),
        years=None if years is None else float(years),
    )


def _capacity(table: dict[str, Any] | None, actions: list[str], line: int) -> CapacitySpec | None:
    if table is None:
        return None
    cost = table.get("cost", 1)
    others = [action for action in actions if action != table["action"]]
    return CapacitySpec(
        action=table["action"],
        otherwise=table.get("otherwise", others[0]),
        per=table["per"],
        at_most=table.get("at_most"),
        budget=Decimal(table.get("budget", 0)),
        cost=Decimal(1) if isinstance(cost, str) else Decimal(cost),
        within=table.get("within"),
        cost_sql=cost.strip() if isinstance(cost, str) else None,
        line=line,
    )


def _segments(table: dict[str, Any]) -> tuple[SegmentSpec, ...]:
    return tuple(
        SegmentSpec(
            column=column,
            cut=tuple(float(bound) for bound in each.get("cut", ())),
            min_gain_per_year=_amount(each.get("min_gain_per_year")),
            max_error_gap=None if each.get("max_error_gap") is None else float(each["max_error_gap"]),
        )
        for column, each in table.items()
    )


def _amount(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)


def _date(value: str | dt.date) -> str:
    return value if isinstance(value, str) else value.isoformat()
