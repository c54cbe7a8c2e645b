"""Money in SQL: payoff cells and the common solutions' rules over a row of the examples."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from payoff.base.errors import InvalidInput, UserError, Where
from payoff.base.money import LARGEST
from payoff.base.text import DIALECT, count, did_you_mean
from payoff.data.names import column, value
from payoff.data.split import positive
from payoff.records.finding import Finding, from_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pyarrow as pa

    from payoff.records.charter import Charter, QuantitySpec
    from payoff.records.contract import Contract

_UNSTEADY = (
    exp.Rand, exp.CurrentDate, exp.CurrentTimestamp, exp.CurrentTime, exp.CurrentDatetime, exp.CurrentUser, exp.Uuid,
)  # fmt: skip
_FORBIDDEN = re.compile(
    r"^(random|setseed|now|today|uuid|gen_random_uuid|getenv|current_setting|nextval|read_\w+|\w*_scan|glob|query|query_table|get_current_\w+|txid_current)$",
    re.IGNORECASE,
)
_SAMPLE = 5
_COST = "capacity:cost"
CHOSEN = "payoff:chosen"  # stands for the quantity until it is filled in
# What was found, code, what was expected, what to do.
Fault = tuple[str, str, str, str]


def check_charter(charter: Charter, columns: Sequence[str] | None, contracts: Iterable[Contract] = ()) -> list[Finding]:
    """All that is wrong with the charter's expressions; names of columns are checked when `columns` (the examples') are known."""
    findings: list[Finding] = []
    promised = list(contracts)
    if charter.quantity is not None:
        findings += _quantity_findings(charter, charter.quantity, columns, promised)
    for cell in charter.cells:
        if cell.sql is not None:
            title = f"payoff {cell.action}.{cell.outcome}"
            findings += _findings(charter, cell.sql, columns, promised, title=title, line=cell.line, rule=False)
    spec = charter.capacity
    if spec is not None and spec.cost_sql is not None:
        findings += _findings(
            charter, spec.cost_sql, columns, promised, title="capacity.cost", line=spec.line, rule=True
        )
    for solution in charter.common_solutions:
        if solution.sql is not None:
            title = f"common solution {solution.name}"
            findings += _findings(charter, solution.sql, columns, promised, title=title, line=solution.line, rule=True)
    return findings


def payoff_query(
    charter: Charter, columns: Sequence[str], contracts: Iterable[Contract] = (), *, rows: str = "holdout"
) -> str:
    """SQL over the table `holdout` (or other `rows`, SQL for FROM): per row `id`, `outcome` (its name), `payoff:<action>:<outcome>` (DOUBLE) and `rule:<solution>` (text).

    Where the action is a quantity: `outcome` and `rule:<solution>` as DOUBLE, and `payoff:<number>` (DOUBLE) for each permitted quantity in their
    order, given the real outcome.

    When rows are split by something that several may share, `cluster` names what they share; when by time, `moment` is its second; `within` names the groups that have a capacity, `capacity:cost` is what the scarce action costs.

    Raises `InvalidInput` with everything that is wrong with the charter's expressions.
    """
    wrong = check_charter(charter, columns, contracts)
    if wrong:
        raise InvalidInput([finding.as_error() for finding in wrong])
    decision = charter.decision
    parts = [f"{column(decision.id)} as id", f"{outcome_sql(charter)} as outcome"]
    for cell in charter.cells:
        sql = str(cell.amount) if cell.amount is not None else f"({cell.sql})"
        parts.append(f"{amount_sql(sql)} as {column(f'payoff:{cell.action}:{cell.outcome}')}")
    if charter.quantity is not None:
        parts += quantity_money(charter, charter.quantity, outcome_sql(charter))
    if charter.split.by == "time":
        parts.append(f"epoch(cast({column(charter.split.on)} as timestamp)) as moment")
    elif charter.split.on != decision.id:
        parts.append(f"{column(charter.split.on)} as cluster")
    if charter.capacity is not None and charter.capacity.within is not None:
        parts.append(f"coalesce(cast({column(charter.capacity.within)} as varchar), '') as within")
    if charter.capacity is not None and charter.capacity.cost_sql is not None:
        parts.append(f"{amount_sql(charter.capacity.cost_sql)} as {column(_COST)}")
    rules = [solution for solution in charter.common_solutions if solution.sql is not None]
    kind = "varchar" if charter.quantity is None else "double"
    parts += [f"{amount_sql(rule.sql or '', kind)} as {column(f'rule:{rule.name}')}" for rule in rules]
    return f"select {', '.join(parts)} from {rows}"


def quantity_money(charter: Charter, quantity: QuantitySpec, outcome: str, sql: str | None = None) -> list[str]:
    """SQL per permitted quantity, in their order, for its money under an outcome (SQL), named `payoff:0`, `payoff:1`, ...

    `sql` is the charter's expression, or the same with a number moved.
    """
    # Written once and filled in for each quantity: there may be a thousand.
    written = money_of_chosen(charter, quantity, outcome, sql)
    return [
        f"{written.replace(column(CHOSEN), f'cast({each:f} as double)')} as {column(f'payoff:{number}')}"
        for number, each in enumerate(quantity.permitted)
    ]


def money_of_chosen(charter: Charter, quantity: QuantitySpec, outcome: str, sql: str | None = None) -> str:
    """SQL for the money of the quantity in the column `CHOSEN` (DOUBLE) under an outcome (SQL)."""
    tree = _parse(sql or quantity.sql, "payoff.quantity", Where(charter.file, quantity.line))
    came = sqlglot.parse_one(f"select {outcome}", dialect=DIALECT).expressions[0]
    filled = tree.transform(_filled(exp.column(CHOSEN, quoted=True), exp.Paren(this=came)))
    return amount_sql(filled.sql(dialect=DIALECT))


def amount_sql(sql: str, kind: str = "double") -> str:
    """An expression as a number (or a text), NULL in rows where it cannot be computed: an overflow, the logarithm of nothing, a text that is no number.

    The engine would stop at the first of them and say neither which row it was nor which payoff.
    """
    return f"try_cast(try(({sql})) as {kind})"


def _filled(action: exp.Expression, outcome: exp.Expression) -> Callable[[exp.Expression], exp.Expression]:
    """What puts a quantity and an outcome in the place of their names."""
    filled = {"action": action, "outcome": outcome}

    def fill(node: exp.Expression) -> exp.Expression:
        named = isinstance(node, exp.Column) and not node.table
        return filled.get(node.name.lower(), node).copy() if named else node

    return fill


def outcome_sql(charter: Charter) -> str:
    """SQL that names a row's outcome: the positive one by its name, the other (of two) by its own, of more than two by their value.

    A quantity is a DOUBLE, NULL where it is no number.
    """
    spec, names = charter.decision.outcome, charter.outcomes
    name = column(spec.column)
    if charter.quantity is not None:
        return f"try_cast({name} as double)"
    if len(names) == 2:
        other = next(each for each in names if each != spec.name)
        return f"case when {positive(charter)} then {value(spec.name)} else {value(other)} end"
    return f"cast({name} as varchar)"


def refuse_unusable(charter: Charter, answer: pa.Table) -> None:
    """Refuse rows for which a payoff is missing, infinite or not a number, or for which a rule names no action."""
    pc = _arrow("compute")
    if charter.quantity is not None:
        _refuse_unusable_quantities(charter, charter.quantity, answer)
        return
    parts: list[UserError] = []
    for cell in charter.cells:
        values = answer[f"payoff:{cell.action}:{cell.outcome}"]
        bad = pc.invert(pc.fill_null(pc.is_finite(values), False))
        number = pc.sum(bad).as_py() or 0
        if number:
            parts.append(
                UserError(
                    f"payoff {cell.action}.{cell.outcome} is no amount for {count(number, 'row')} of {answer.num_rows:,}:"
                    f" a division by zero, an overflow or a missing value ({_ids(charter, answer, bad)})",
                    code="PO-D031",
                    expected="an amount for every row",
                    remedy="write what such rows are worth into the cell, as with coalesce(a / nullif(b, 0), 0)",
                    where=Where(charter.file, cell.line),
                )
            )
        parts += _too_large(
            charter,
            answer,
            [f"payoff:{cell.action}:{cell.outcome}"],
            title=f"payoff {cell.action}.{cell.outcome}",
            line=cell.line,
        )
    for solution in charter.common_solutions:
        if solution.sql is not None:
            bad = pc.invert(pc.fill_null(pc.is_in(answer[f"rule:{solution.name}"], _array(charter.actions)), False))
            number = pc.sum(bad).as_py() or 0
            if number:
                parts.append(
                    UserError(
                        f"common solution {solution.name} names none of the actions for {count(number, 'row')}"
                        f" ({_ids(charter, answer, bad)})",
                        code="PO-D032",
                        expected=f"one of {', '.join(charter.actions)} for every row",
                        remedy="end the case with an else that names an action",
                        where=Where(charter.file, solution.line),
                    )
                )
    parts += _unusable_costs(charter, answer)
    unknown = sorted(set(pc.unique(answer["outcome"]).to_pylist()) - set(charter.outcomes))
    if unknown:
        parts.append(
            UserError(
                f"{charter.decision.outcome.column} has {count(len(unknown), 'value')} that no payoff names",
                code="PO-D033",
                expected=f"the outcomes {', '.join(charter.outcomes)}",
                remedy=f"add a payoff for each of them to {charter.file}",
                where=Where(charter.file),
            )
        )
    if parts:
        raise InvalidInput(parts)


def _unusable_costs(charter: Charter, answer: pa.Table) -> list[UserError]:
    """What is wrong with the cost of the scarce action."""
    if charter.capacity is None or _COST not in answer.column_names:
        return []
    pc = _arrow("compute")
    bad = pc.invert(pc.fill_null(pc.and_(pc.is_finite(answer[_COST]), pc.greater_equal(answer[_COST], 0.0)), False))
    number = pc.sum(bad).as_py() or 0
    if not number:
        return []
    return [
        UserError(
            f"capacity.cost is no cost for {count(number, 'row')} of {answer.num_rows:,} ({_ids(charter, answer, bad)})",
            code="PO-D041",
            expected="what the action costs for every row, a number of 0 or more",
            remedy="write what such rows cost into it, as with coalesce(cost, 5)",
            where=Where(charter.file, charter.capacity.line),
        )
    ]


def _refuse_unusable_quantities(charter: Charter, quantity: QuantitySpec, answer: pa.Table) -> None:
    """The same where the action is a quantity: outcomes, rules and money must be numbers."""
    spec = charter.decision.outcome
    outcome = _no_numbers(charter, answer, ["outcome"])
    if outcome:
        raise UserError(
            f"{spec.column} is no number for {outcome}",
            code="PO-D033",
            expected="a number in every row: the action is a quantity, and so is its outcome",
            remedy=f"make the step {charter.decision.examples} deliver numbers",
            where=Where(charter.file),
        )
    parts: list[UserError] = []
    names = [f"payoff:{number}" for number in range(len(charter.actions))]
    money = _no_numbers(charter, answer, names)
    if money:
        parts.append(
            UserError(
                f"payoff.quantity is no amount for {money}: a division by zero, an overflow or a missing value",
                code="PO-D031",
                expected="an amount for every row and every permitted quantity",
                remedy="write what such rows are worth into it, as with coalesce(a / nullif(b, 0), 0)",
                where=Where(charter.file, quantity.line),
            )
        )
    parts += _too_large(charter, answer, names, title="payoff.quantity", line=quantity.line)
    for solution in charter.common_solutions:
        rule = _no_numbers(charter, answer, [f"rule:{solution.name}"]) if solution.sql is not None else ""
        if rule:
            parts.append(
                UserError(
                    f"common solution {solution.name} gives no quantity for {rule}",
                    code="PO-D032",
                    expected="a number for every row; it is rounded to the nearest permitted quantity",
                    remedy="say what is done with such rows, as with coalesce(a, 0)",
                    where=Where(charter.file, solution.line),
                )
            )
    if parts:
        raise InvalidInput(parts)


def _too_large(charter: Charter, answer: pa.Table, names: Sequence[str], *, title: str, line: int) -> list[UserError]:
    """Amounts so large that cents are lost in sums."""
    pc = _arrow("compute")
    far = None
    for name in names:
        beyond = pc.greater(pc.abs(answer[name]), LARGEST)
        # Infinite ones are no amounts at all, and named as such.
        beyond = pc.fill_null(pc.and_(beyond, pc.is_finite(answer[name])), False)
        far = beyond if far is None else pc.or_(far, beyond)
    number = 0 if far is None else pc.sum(far).as_py() or 0
    if not number:
        return []
    return [
        UserError(
            f"{title} is no amount of money for {count(number, 'row')} of {answer.num_rows:,} ({_ids(charter, answer, far)})",
            code="PO-V003",
            expected=f"amounts of at most {LARGEST:,.0f} {charter.currency} per decision",
            remedy="correct it, or the units of its columns, in the charter",
            where=Where(charter.file, line),
        )
    ]


def _no_numbers(charter: Charter, answer: pa.Table, names: Sequence[str]) -> str:
    """How many rows have no finite number in one of the columns, and the first of their ids; empty when there are none."""
    pc = _arrow("compute")
    bad = None
    for name in names:
        wrong = pc.invert(pc.fill_null(pc.is_finite(answer[name]), False))
        bad = wrong if bad is None else pc.or_(bad, wrong)
    number = 0 if bad is None else pc.sum(bad).as_py() or 0
    return f"{count(number, 'row')} of {answer.num_rows:,} ({_ids(charter, answer, bad)})" if number else ""


def _ids(charter: Charter, answer: pa.Table, mask: pa.ChunkedArray) -> str:
    if charter.decision.private:
        return f"{charter.decision.id} may not be shown: payoff data sample {charter.decision.examples}"
    listed = answer["id"].filter(mask).slice(0, _SAMPLE).to_pylist()
    return f"{charter.decision.id} {', '.join(str(each) for each in listed)}{', ...' if len(listed) == _SAMPLE else ''}"


def _array(names: Iterable[str]) -> pa.Array:
    return _arrow("lib").array(list(names), _arrow("lib").string())


def _arrow(module: str) -> Any:
    """A module of Arrow: a moment's work to import, and checks do without."""
    return importlib.import_module(f"pyarrow.{module}")


def _findings(
    charter: Charter,
    sql: str,
    columns: Sequence[str] | None,
    contracts: Sequence[Contract],
    *,
    title: str,
    line: int,
    rule: bool,
) -> list[Finding]:
    where = Where(charter.file, line)
    try:
        tree = _parse(sql, title, where)
        faults = _faults(charter, tree, columns, contracts, title=title, where=where, rule=rule)
    except UserError as error:
        faults = [error]
    return [finding for fault in faults for finding in from_error(fault)]


def _quantity_findings(
    charter: Charter, quantity: QuantitySpec, columns: Sequence[str] | None, contracts: Sequence[Contract]
) -> list[Finding]:
    """What is wrong with the money of a quantity; `action` and `outcome` are names of its own there."""
    where = Where(charter.file, quantity.line)
    hidden = sorted(
        {"action", "outcome"} & {each.lower() for each in columns or ()} - {charter.decision.outcome.column.lower()}
    )
    faults: list[UserError] = [
        UserError(
            f"{charter.decision.examples} has a column {name}, and payoff.quantity means something else by that name",
            code="PO-D040",
            expected="action: the quantity chosen; outcome: the one that turned out to be needed",
            remedy=f"give the column another name in {charter.decision.examples}",
            where=where,
        )
        for name in hidden
    ]
    try:
        tree = _parse(quantity.sql, "payoff.quantity", where)
        own = tree.transform(_filled(exp.Literal.number("1"), exp.Literal.number("1")))
        faults += _faults(charter, own, columns, contracts, title="payoff.quantity", where=where, rule=False)
    except UserError as error:
        faults.append(error)
    return [finding for fault in faults for finding in from_error(fault)]


def _parse(sql: str, title: str, where: Where) -> exp.Expression:
    try:
        found = [each for each in sqlglot.parse(f"select {sql}", dialect=DIALECT) if each is not None]
    except SqlglotError:
        found = []
    select = found[0] if len(found) == 1 else None
    whole = isinstance(select, exp.Select) and len(select.expressions) == 1 and not select.args.get("from_")
    if select is None or not whole or select.args.get("from") or select.find(exp.Subquery, exp.Star, exp.Columns):
        raise UserError(
            f"{title} is not an SQL expression over one row",
            code="PO-D030",
            expected="one expression such as 0.3 * lifetime_value - 5, without a query inside it",
            remedy="correct it in the charter, then payoff check",
            where=where,
        )
    return select.expressions[0]  # type: ignore[no-any-return]


def _faults(
    charter: Charter,
    tree: exp.Expression,
    columns: Sequence[str] | None,
    contracts: Sequence[Contract],
    *,
    title: str,
    where: Where,
    rule: bool,
) -> list[UserError]:
    """Everything that is wrong with an expression that can be read."""
    parts = _form_faults(tree)
    for name in sorted({node.name for node in tree.find_all(exp.Column)}):
        parts += _column_faults(charter, name, columns, contracts, rule=rule)
    return [
        UserError(f"{title} {what}", code=code, expected=expected, remedy=remedy, where=where)
        for what, code, expected, remedy in parts
    ]


def _form_faults(tree: exp.Expression) -> list[Fault]:
    faults: list[Fault] = []
    if tree.find(exp.AggFunc, exp.Window):
        what = "adds up over rows"
        faults.append(
            (what, "PO-D034", "an expression over one row", "compute it in the examples step, and use its column")
        )
    names = [node.name if isinstance(node, exp.Anonymous) else node.key for node in tree.find_all(exp.Func)]
    unsteady = [name for name in names if _FORBIDDEN.match(name)] + [n.key for n in tree.find_all(*_UNSTEADY)]
    if unsteady:
        what = f"uses {unsteady[0].lower()}, which gives another answer each time or looks outside"
        expected = "an expression of the row's own columns"
        faults.append((what, "PO-D035", expected, "compute it in the examples step, and use its column"))
    return faults


def _column_faults(
    charter: Charter, name: str, columns: Sequence[str] | None, contracts: Sequence[Contract], *, rule: bool
) -> list[Fault]:
    faults: list[Fault] = []
    same = name.lower()  # as SQL has it: `Churned` is churned
    after = {c.name.lower() for contract in contracts for c in contract.known_after}
    if columns is not None and same not in {each.lower() for each in columns}:
        faults.append(
            (
                f"names the column {name}, which {charter.decision.examples} does not have",
                "PO-D036",
                did_you_mean(name, columns),
                f"correct the name in {charter.file}, or make {charter.decision.examples} deliver {name}",
            )
        )
    elif same == charter.decision.outcome.column.lower():
        faults.append(
            (
                f"uses {name}, which is the outcome itself and not known when the decision is taken",
                "PO-D037",
                "columns known at the decision; each outcome has a cell of its own",
                "write the amount of each outcome into its own cell",
            )
        )
    elif same in after:
        # Payoffs, too: decisions are taken by them, row by row.
        faults.append(
            (
                f"uses {name}, which is known only after the decision",
                "PO-D038",
                "columns known when the decision is taken",
                "write it with columns that are known then; of an amount that turns out later, with what is expected of it then",
            )
        )
    other = next((c.currency for k in contracts for c in k.columns if c.name.lower() == same and c.currency), None)
    if other and other != charter.currency and not rule:
        faults.append(
            (
                f"adds {name} in {other} to amounts in {charter.currency}: another currency",
                "PO-D039",
                f"amounts in {charter.currency}",
                f"convert {name} to {charter.currency} in the examples step, and use the converted column",
            )
        )
    return faults
