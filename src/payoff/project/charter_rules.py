"""The rules of a charter that a table of keys cannot say."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base import text
from payoff.project import spec
from payoff.project.charter_keys import FILE
from payoff.records.charter import MOST_QUANTITIES, Cell, QuantitySpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payoff.project.files import Reading
    from payoff.project.toml import Document, Path

TAKEN = ("model", "perfect")
_TWO = 2
_AMOUNT = re.compile(r"\s*([+-]?[0-9]+(?:[_,][0-9]{3})*(?:\.[0-9]+)?)\s*([A-Za-z]{3}|[€$£¥])\s*")
_AMOUNT_BEHIND = re.compile(r"\s*([A-Z]{3}|[€$£¥])\s*([+-]?[0-9]+(?:[_,][0-9]{3})*(?:\.[0-9]+)?)\s*")
_SYMBOLS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY"}


def outcome_name(outcome: dict[str, Any], names: Iterable[str]) -> str:
    """The name of the outcome in focus: of two its own name (default: the column's), of more the value itself."""
    if len(list(names)) > _TWO:
        return str(outcome["positive"])
    return str(outcome.get("name", outcome["column"]))


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


class Rules:
    """The rules of a charter that a table of keys cannot say."""

    def __init__(self, document: Document, reading: Reading) -> None:
        self.document = document
        self.reading = reading
        self.table = document.table

    def error(self, code: str, what: str, path: Path, expected: str, edit: str) -> None:
        """A finding at a key."""
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
        if len(actions) < 2 and not isinstance(payoff.get("quantity"), str):
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
        known = self._known(value)
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

    def _known(self, sql: str) -> Expression:
        return self.reading.remembered("expression", sql, Expression, lambda: expression(sql), decides=False)

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
        if isinstance(table.get("cost"), str):
            self._expression(table["cost"], ("capacity", "cost"), "what the action costs for a row")
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

    def quantity(self) -> QuantitySpec | None:
        """What is needed when the action is a quantity, and what only makes sense when it is."""
        sql, action = self.table["payoff"].get("quantity"), self.table["decision"].get("action")
        if sql is None and action is None:
            self._no_quantity()
            return None
        if sql is None or action is None:
            self.error(
                "PO-C015",
                "[payoff] quantity is missing" if sql is None else "[decision] action is missing",
                ("payoff",) if sql is None else ("decision",),
                'both: action = { least = 0, most = 100, step = 5 } under [decision], and quantity = "3 * least(action, outcome) - action"'
                " under [payoff]",
                "add it",
            )
            return None
        least, most, step = (Decimal(action[key]) for key in ("least", "most", "step"))
        if not 1 <= (most - least) / step < MOST_QUANTITIES:
            self.error(
                "PO-C015",
                f"decision.action has {max(0, int((most - least) / step) + 1):,} quantities between least and most",
                ("decision", "action"),
                f"2 to {MOST_QUANTITIES:,}",
                "change least, most or step",
            )
        for path in (
            ("decision", "outcome", "positive"),
            ("capacity",),
            *(("payoff", each) for each in self._actions()),
        ):
            if self._has(path):
                self.error(
                    "PO-C015",
                    f"the action is a quantity, and {spec.dotted(path)} is for named actions",
                    path,
                    "a quantity, or named actions",
                    "remove it",
                )
        self._expression(sql, ("payoff", "quantity"), "the money of a decision")
        used = {name.lower() for name in self._known(sql).columns}
        for name in ("action", "outcome"):
            if name not in used and not self._known(sql).wrong:
                self.error(
                    "PO-C015",
                    f"payoff.quantity does not use {name}",
                    ("payoff", "quantity"),
                    "money that depends on the quantity chosen (action) and on what was needed (outcome)",
                    f"use {name}",
                )
        line = self.document.line(("payoff", "quantity"))
        return QuantitySpec(sql=sql.strip(), least=least, most=most, step=step, unit=action.get("unit", ""), line=line)

    def _no_quantity(self) -> None:
        if "positive" not in self.table["decision"]["outcome"]:
            self.error(
                "PO-P007",
                "decision.outcome.positive is missing",
                ("decision", "outcome"),
                "positive: the value of that column which is the named outcome (text, a whole number, or true/false); a quantity has"
                " decision.action instead",
                "add positive",
            )
        if "gives" in self.table.get("model", {}):
            self.error(
                "PO-C015",
                "model.gives is for quantities",
                ("model", "gives"),
                "a model of named actions gives probabilities",
                "remove it",
            )

    def _actions(self) -> list[str]:
        return [name for name, each in self.table["payoff"].items() if isinstance(each, dict)]

    def _has(self, path: Path) -> bool:
        found: Any = self.table
        for part in path:
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
        return True

    def common_solutions(self, actions: set[str], quantity: QuantitySpec | None) -> None:
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
                self._common_solution(name, each, actions, quantity)

    def _common_solution(
        self, name: str, each: dict[str, Any], actions: set[str], quantity: QuantitySpec | None
    ) -> None:
        path: Path = ("common_solutions", name)
        if name in TAKEN:
            self.error(
                "PO-C012", f"a common solution cannot be named {name!r}", path, "another name", "rename the solution"
            )
        if ("action" in each) == ("sql" in each):
            found = "both action and sql" if "action" in each else "neither action nor sql"
            self.error("PO-C006", f"the common solution {name} has {found}", path, "one of the two", "keep one")
        action, sql = each.get("action"), each.get("sql")
        if quantity is not None:
            self._permitted(name, action, (*path, "action"), quantity)
        elif action is not None and actions and str(action) not in actions:
            self._unknown_action(name, str(action), (*path, "action"), actions)
        if isinstance(sql, str) and sql.strip():
            for result in self._expression(sql, (*path, "sql"), "an action's name") or ():
                if actions and result not in actions:
                    self._unknown_action(name, result, (*path, "sql"), actions)

    def _permitted(self, name: str, action: Any, path: Path, quantity: QuantitySpec) -> None:
        if action is not None and (isinstance(action, (str, bool)) or Decimal(action) not in quantity.permitted):
            self.error(
                "PO-C007",
                f"the common solution {name} takes an action that is not permitted",
                path,
                f"a number from {quantity.least} to {quantity.most} in steps of {quantity.step}",
                "name a permitted quantity (or change [decision] action)",
            )

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
