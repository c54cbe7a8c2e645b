"""charter.toml: why the project exists, in money."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base import hashing, text
from payoff.project import spec, toml
from payoff.project.charter_keys import FILE, SPEC
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
    SegmentSpec,
    Signed,
    SplitSpec,
    Stop,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payoff.project.files import Reading
    from payoff.project.toml import Document, Path

TAKEN = ("model", "perfect")
_TWO = 2
_AMOUNT = re.compile(r"\s*([+-]?[0-9]+(?:[_,][0-9]{3})*(?:\.[0-9]+)?)\s*([A-Za-z]{3}|[€$£¥])\s*")
_AMOUNT_BEHIND = re.compile(r"\s*([A-Z]{3}|[€$£¥])\s*([+-]?[0-9]+(?:[_,][0-9]{3})*(?:\.[0-9]+)?)\s*")
_SYMBOLS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY"}


def read(reading: Reading) -> tuple[Charter, Document] | None:
    """Read charter.toml; nothing when it is too wrong to go on with. The document knows the lines of the keys."""
    document = toml.read(reading, FILE)
    if document is None:
        return None
    before = len(reading.findings)
    spec.check(SPEC, document, reading)
    table = document.table
    checker = _Rules(document, reading)
    shaped = not any(finding.severity == "error" for finding in reading.findings[before:])
    cells = checker.cells() if _is_shaped(table, "payoff") else ()
    if shaped:
        checker.outcomes(cells)
        checker.split()
        checker.signature()
        checker.capacity({cell.action for cell in cells})
    if isinstance(table.get("common_solutions"), dict):
        checker.common_solutions({cell.action for cell in cells})
    if any(finding.severity == "error" for finding in reading.findings[before:]):
        return None
    charter = _charter(document, cells)
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


def _charter(document: Document, cells: tuple[Cell, ...]) -> Charter:
    table = document.table
    decision, outcome = table["decision"], table["decision"]["outcome"]
    split = table["split"]
    accept = table.get("accept", {})
    stop = table.get("stop", {})
    return Charter(
        objective=Objective(table["objective"]["statement"], table["objective"]["owner"]),
        decision=Decision(
            question=decision["question"],
            examples=decision["examples"],
            id=decision["id"],
            outcome=OutcomeSpec(
                column=outcome["column"],
                positive=outcome["positive"],
                means=outcome["means"],
                name=outcome_name(outcome, dict.fromkeys(cell.outcome for cell in cells)),
            ),
            per_year=decision["per_year"],
            at=decision.get("at"),
        ),
        currency=table["payoff"]["currency"],
        cells=cells,
        common_solutions=tuple(
            CommonSolution(
                name=name,
                action=each.get("action"),
                sql=each.get("sql"),
                says=each.get("says", ""),
                line=document.line(("common_solutions", name)),
            )
            for name, each in table["common_solutions"].items()
        ),
        split=SplitSpec(
            by=split["by"],
            on=split.get("on", decision["id"]),
            holdout=float(split["holdout"]) if "holdout" in split else None,
            from_=_date(split["from"]) if "from" in split else None,
            salt=split.get("salt", ""),
        ),
        model_step=table.get("model", {}).get("step", ""),
        recalibrate=table.get("model", {}).get("recalibrate", "when poor"),
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
        capacity=_capacity(table.get("capacity"), list(dict.fromkeys(cell.action for cell in cells))),
        file=FILE,
        digest="",
    )


def _signed(table: dict[str, Any] | None) -> Signed | None:
    return None if table is None else Signed(table["by"], _date(table["on"]), table.get("why", ""))


def _costs(table: dict[str, Any]) -> Costs:
    years = table.get("years")
    return Costs(
        build=Decimal(table.get("build", 0)),
        run_per_year=Decimal(table.get("run_per_year", 0)),
        years=None if years is None else float(years),
    )


def outcome_name(outcome: dict[str, Any], names: Iterable[str]) -> str:
    """The name of the outcome in focus: of two its own name (default: the column's), of more the value itself."""
    if len(list(names)) > _TWO:
        return str(outcome["positive"])
    return str(outcome.get("name", outcome["column"]))


def _capacity(table: dict[str, Any] | None, actions: list[str]) -> CapacitySpec | None:
    if table is None:
        return None
    others = [action for action in actions if action != table["action"]]
    return CapacitySpec(
        action=table["action"],
        otherwise=table.get("otherwise", others[0]),
        per=table["per"],
        at_most=table.get("at_most"),
        budget=Decimal(table.get("budget", 0)),
        cost=Decimal(table.get("cost", 1)),
        within=table.get("within"),
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


def amount(value: str) -> tuple[Decimal, str] | None:
    """The number and the currency of a text like `5 EUR` or `EUR 5`.

    >>> amount("1,250.50 EUR")
    (Decimal('1250.50'), 'EUR')
    """
    if match := _AMOUNT.fullmatch(value):
        number, currency = match.groups()
    elif match := _AMOUNT_BEHIND.fullmatch(value):
        currency, number = match.groups()
    else:
        return None
    return Decimal(number.replace(",", "").replace("_", "")), _SYMBOLS.get(currency, currency.upper())


class _Rules:
    """The rules of a charter that a table of keys cannot say."""

    def __init__(self, document: Document, reading: Reading) -> None:
        self.document = document
        self.reading = reading
        self.table = document.table

    def error(self, code: str, what: str, path: Path, expected: str, edit: str) -> None:
        line = self.document.line(path)
        self.reading.error(
            code,
            what,
            self.document.place(path),
            expected=expected,
            remedy=f"{edit} in {FILE}:{line}, then: payoff check",
        )

    def cells(self) -> tuple[Cell, ...]:
        """Every cell that is written and readable; a missing one is a finding."""
        payoff = self.table["payoff"]
        actions = {name: each for name, each in payoff.items() if name != "currency" and isinstance(each, dict)}
        outcomes = list(dict.fromkeys(outcome for each in actions.values() for outcome in each))
        found = []
        for action, row in actions.items():
            for outcome in outcomes:
                path = ("payoff", action, outcome)
                if outcome in row:
                    found.append(self._cell(action, outcome, row[outcome], path))
                else:
                    self.error(
                        "PO-C002",
                        f"the payoff cell {spec.dotted(path[1:])} is missing",
                        path[:2],
                        f"one cell for every action and outcome: {', '.join(f'{action}.{o}' for o in outcomes)}",
                        f"add `{spec.dotted(path[1:])} = ...`",
                    )
        if len(actions) < 2:
            self.error(
                "PO-C001",
                f"[payoff] has {text.count(len(actions), 'action')}",
                ("payoff",),
                "at least two actions to decide between, as offer.churned = 5 and nothing.churned = 0",
                "add the cells of the other action (doing nothing is one, too)",
            )
        return tuple(cell for cell in found if cell is not None)

    def _cell(self, action: str, outcome: str, value: Any, path: Path) -> Cell | None:
        line = self.document.line(path)
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            return Cell(action=action, outcome=outcome, amount=Decimal(value), line=line)
        if not isinstance(value, str):
            return None
        literal = amount(value)
        if literal is None:
            self._expression(value, path, "the payoff of this cell")
            return Cell(action=action, outcome=outcome, sql=value.strip(), line=line)
        number, currency = literal
        ours = self.table["payoff"]["currency"]
        if currency != ours:
            self.error(
                "PO-C004",
                f"the payoff cell {spec.dotted(path[1:])} is in another currency: {currency}",
                path,
                f"{ours}, the currency of [payoff]",
                f"convert the amount to {ours}",
            )
        return Cell(action=action, outcome=outcome, amount=number, line=line)

    def _expression(self, value: str, path: Path, what: str) -> tuple[str, ...] | None:
        """Check an SQL expression; the texts it can result in, or nothing when it is wrong or cannot be told."""
        known = self.reading.remembered("expression", value, Expression, lambda: expression(value))
        if known.wrong:
            self.error(
                "PO-C005",
                f"{spec.dotted(path)} is not an SQL expression: {known.wrong}",
                path,
                f"one SQL expression (DuckDB) over the columns of a row that gives {what}",
                "change it",
            )
            return None
        return known.results

    def outcomes(self, cells: tuple[Cell, ...]) -> None:
        """The named outcome and its opposite; or, of more than two, one for every value of the outcome's column."""
        names = list(dict.fromkeys(cell.outcome for cell in cells))
        name = outcome_name(self.table["decision"]["outcome"], names)
        if not cells:
            return
        many = len(names) > _TWO
        if many and isinstance(self.table["decision"]["outcome"]["positive"], bool):
            self.error(
                "PO-C003",
                f"the payoff cells name {text.count(len(names), 'outcome')}: {', '.join(names)}",
                ("payoff",),
                "exactly two for a column that is true or false: the outcome and one name for its opposite",
                "use one name for the opposite in every action",
            )
        elif name not in names:
            near = text.nearest(name, names)
            what = (
                "positive is one of them"
                if many
                else "the positive outcome's name is decision.outcome.name (default: its column)"
            )
            key = "decision.outcome.positive" if many else "decision.outcome.name"
            self.error(
                "PO-C003",
                f"no payoff cell has the outcome {name!r}",
                ("payoff",),
                f"cells as ACTION.{name}: {what}",
                f'rename {near} to {name}, or say {key} = "{near}",' if near else f"add ACTION.{name}",
            )
        elif len(names) < _TWO:
            self.error(
                "PO-C003",
                f"the payoff cells name {text.count(len(names), 'outcome')}: {', '.join(names)}",
                ("payoff",),
                f"{name} and one name for its opposite, or one for every value of the column",
                "add the cells of the opposite",
            )

    def signature(self) -> None:
        """Only the owner signs."""
        owner, by = self.table["objective"]["owner"], self.table.get("signed", {}).get("by", "")
        if by and by.strip().lower() != owner.strip().lower():
            self.error(
                "PO-C013",
                f"the charter is signed by {by}, but its owner is {owner}",
                ("signed", "by"),
                "the signature of the objective's owner",
                f'let {owner} decide, and write by = "{owner}"',
            )

    def capacity(self, actions: set[str]) -> None:
        """One of at_most and budget; actions that exist."""
        table = self.table.get("capacity")
        if table is None:
            return
        for key in ("action", "otherwise"):
            if key in table and table[key] not in actions:
                self._unknown_action("[capacity]", table[key], ("capacity", key), actions)
        others = actions - {table["action"]}
        edit = "keep one of the two"
        if ("at_most" in table) == ("budget" in table) or ("budget" in table) != ("cost" in table):
            expected = "at_most = 500, or budget = 10000 with cost = 5"
            self.error("PO-C014", "[capacity] does not say how many", ("capacity",), expected, edit)
        elif table.get("otherwise") == table["action"] or ("otherwise" not in table and len(others) > 1):
            expected = f"otherwise = one of {', '.join(sorted(others))}"
            what = "[capacity] does not say what those get that cannot be served"
            self.error("PO-C014", what, ("capacity",), expected, "add otherwise")

    def split(self) -> None:
        """What each kind of split needs and does not take."""
        split = self.table["split"]
        by = split["by"]
        needs = {"hash": ("holdout",), "group": ("on", "holdout"), "time": ("on", "from")}[by]
        for key in needs:
            if key not in split:
                self.error(
                    "PO-C008",
                    f'[split] by = "{by}" needs {key}',
                    ("split",),
                    f"the keys {', '.join(needs)}",
                    f"add {key}",
                )
        for key in {"hash": ("from",), "group": ("from",), "time": ("holdout", "salt")}[by]:
            if key in split:
                self.error(
                    "PO-C008",
                    f'[split] by = "{by}" does not take {key}',
                    ("split", key),
                    f"the keys by, {', '.join(needs)}",
                    f"remove {key}",
                )

    def common_solutions(self, actions: set[str]) -> None:
        """Each names an action that exists, or an expression that does."""
        solutions = self.table["common_solutions"]
        if not solutions:
            self.error(
                "PO-C006",
                "there is no common solution",
                ("common_solutions",),
                "what is done without a model",
                "add one",
            )
        for name, each in solutions.items():
            if isinstance(each, dict):
                self._common_solution(name, each, actions)

    def _common_solution(self, name: str, each: dict[str, Any], actions: set[str]) -> None:
        path: Path = ("common_solutions", name)
        if name in TAKEN:
            self.error(
                "PO-C012", f"a common solution cannot be named {name!r}", path, "another name", "rename the solution"
            )
        if ("action" in each) == ("sql" in each):
            found = "both action and sql" if "action" in each else "neither action nor sql"
            self.error("PO-C006", f"the common solution {name} has {found}", path, "one of the two", "keep one")
        action, sql = each.get("action"), each.get("sql")
        if isinstance(action, str) and actions and action not in actions:
            self._unknown_action(name, action, (*path, "action"), actions)
        if isinstance(sql, str) and sql.strip():
            for result in self._expression(sql, (*path, "sql"), "an action's name") or ():
                if actions and result not in actions:
                    self._unknown_action(name, result, (*path, "sql"), actions)

    def _unknown_action(self, name: str, action: str, path: Path, actions: set[str]) -> None:
        self.error(
            "PO-C007",
            f"the common solution {name} takes the action {action!r}, which has no payoff",
            path,
            text.did_you_mean(action, actions),
            "name an action of [payoff]",
        )


class Expression(msgspec.Struct, frozen=True):
    """What is known of an SQL expression: what is wrong with it, the texts it can result in, the columns it uses."""

    wrong: str = ""
    results: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


def expression(sql: str) -> Expression:
    """Look into an SQL expression."""
    from payoff.project.pipeline import sql as queries  # loads the SQL parser, and only a changed expression needs it

    wrong, results, columns = queries.expression(sql)
    return Expression(wrong, results, columns)
