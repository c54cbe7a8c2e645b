"""The report's second half: what was used, what was done, how it was measured, and the charter."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from payoff.base.text import count
from payoff.cli.render import words
from payoff.cli.render.amounts import amount, duration, figure, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from payoff.records.charter import Charter
    from payoff.records.run import RunRecord

# Packages an owner's data scientist asks for first; the record has all of them.
_TOLD = (
    "scikit-learn", "torch", "tensorflow", "xgboost", "lightgbm", "catboost", "pandas", "polars", "numpy", "pyarrow",
)  # fmt: skip


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and what they are; empty ones are left out."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in pairs if text)
    return f"<dl>{rows}</dl>"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts; on a phone each row becomes a list with the heads as labels."""
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "\n".join("<tr>" + "".join(map(_data, head, row)) + "</tr>" for row in rows)
    table = f"<thead><tr>{heads}</tr></thead><tbody>\n{body}\n</tbody>"
    return f'<div class="wide"><table class="grid" role="table">{table}</table></div>'


def _data(name: str, cell: str) -> str:
    return f'<td role="cell" data-label="{escape(name)}">{escape(cell)}</td>'


def used(record: RunRecord) -> str:
    """Data, code, environments, parameters."""
    tables = [
        (
            name,
            f"{table.rows:,}" if table.rows is not None else "",
            f"{len(table.fields):,}" if table.fields else "",
            _promises(record, name),
            table.id[:12],
        )
        for name, table in record.tables.items()
    ]
    data = grid(("Table", "Rows", "Columns", "Promises", "Version"), tables) if tables else "<p>No table was read.</p>"
    git = record.git
    code = facts([("Commit", words.commit(record)), ("Branch", (git.branch or "") if git else "")])
    system = ", ".join(
        str(record.system[key]) for key in sorted(record.system) if isinstance(record.system[key], str | int)
    )
    environments = facts(
        [
            *(
                (each.name, f"Python {each.python}, {_packages(each.packages)}, lock {each.digest[:12]}")
                for each in record.environments
            ),
            ("System", system[:200]),
        ]
    )
    given = [
        (step, ", ".join(f"{key} = {value}" for key, value in values.items()))
        for step, values in record.parameters.items()
    ]
    parameters = f"<h3>Parameters</h3>{facts(given)}" if any(text for _, text in given) else ""
    return f"""<section>
<h2>What was used</h2>
<h3>Data</h3>
{data}
<h3>Code</h3>
{code}
<h3>Environment</h3>
{environments}
{parameters}
{_written(record)}
</section>"""


def _written(record: RunRecord) -> str:
    rows = [
        (
            each.sink,
            each.table,
            each.to,
            each.state,
            "" if each.rows is None else f"{each.rows:,}",
            each.identity[:12],
            duration(each.seconds) if each.state == "written" else "",
        )
        for each in words.deliveries(record)
    ]
    head = ("Sink", "Table", "Where", "State", "Rows", "Version", "Took")
    return f"<h3>Written</h3>{grid(head, rows)}" if rows else ""


def _promises(record: RunRecord, table: str) -> str:
    checks = [check for check in record.checks if check.table == table]
    broken = sum(not check.passed for check in checks)
    if not checks:
        return "none"
    return f"✗ {broken:,} of {len(checks):,} broken" if broken else f"✓ all {len(checks):,} kept"


def _packages(packages: dict[str, str]) -> str:
    told = [f"{name} {packages[name].replace(', ', ' or ')}" for name in _TOLD if name in packages][:4]
    return count(len(packages), "package") + (f" ({', '.join(told)})" if told else "")


def steps(record: RunRecord) -> str:
    """What ran, what was reused, and why."""
    if not record.steps:
        return ""
    rows = [
        (
            step.name,
            step.state,
            "; ".join(step.because),
            duration(step.seconds) if step.state in {"ran", "failed"} else "",
            f"{step.output.rows:,}" if step.output and step.output.rows is not None else "",
        )
        for step in record.steps
    ]
    table = grid(("Step", "State", "Because", "Took", "Rows"), rows)
    return f"<details><summary>Steps: {escape(words.tally(record))}</summary>\n{table}\n</details>"


def measured(record: RunRecord) -> str:
    """How the money was measured."""
    value = record.valuation
    if value is None:
        return ""
    adjusted = ""
    if not math.isclose(value.adjusted, value.confidence):
        why = "because each look at the holdout is one more chance to be lucky"
        adjusted = f"{percent(value.adjusted, decimals=2)}: more than {percent(value.confidence)}, {why}"
    pairs = [
        ("Holdout", f"{count(value.rows, 'case')} that project code never sees, looked at {words.looked(value.looks)}"),
        ("Confidence", percent(value.confidence)),
        ("Counted with", adjusted),
        ("Method", value.method),
        ("Resamples", f"{value.resamples:,}" if value.resamples else ""),
        *((f"Exact over the holdout, {name}", f"{total} {value.currency}") for name, total in value.exact.items()),
        *((name, figure(number)) for name, number in {**value.metrics, **record.metrics}.items()),
    ]
    return f"<details><summary>How it was measured</summary>\n{facts(pairs)}\n</details>"


def charter(record: RunRecord) -> str:
    """The charter as it was when the run was judged."""
    terms = record.charter
    if terms is None:
        return ""
    cells = (
        grid(
            ("Action", *terms.outcomes),
            [(action, *(_cell(terms, action, outcome) for outcome in terms.outcomes)) for action in terms.actions],
        )
        if terms.quantity is None
        else facts([("Money", terms.quantity.sql), ("Action", words.actions(terms))])
    )
    solutions = facts((each.name, words.does(each)) for each in terms.common_solutions)
    minimum = (
        f"lower bound of the gain at least {amount(float(terms.accept.min_gain_per_year))} {terms.currency} a year"
    )
    stop = terms.stop
    kill = ""
    if stop.after_runs is not None:
        bound = stop.unless_upper_bound_above
        above = f" unless the upper bound is above {amount(float(bound))} {terms.currency}" if bound is not None else ""
        kill = f"after {count(stop.after_runs, 'run')}{above}"
    split = terms.split
    kept = (
        f"{percent(split.holdout)} of the cases, "
        if split.holdout
        else f"from {split.from_} on, "
        if split.from_
        else ""
    )
    rules = facts(
        [
            ("Accepted when", f"{minimum}, at {percent(terms.accept.confidence)} confidence"),
            ("Stopped", kill),
            ("Cost to build", f"{amount(float(terms.costs.build))} {terms.currency}"),
            ("Cost to run", f"{amount(float(terms.costs.run_per_year))} {terms.currency} a year"),
            ("Holdout", f"{kept}by {split.by} of {split.on}"),
            ("Charter", f"{terms.file}, version {terms.digest[:12]}"),
        ]
    )
    return f"""<details><summary>The charter</summary>
<h3>Payoff of one decision, in {escape(terms.currency)}</h3>
{cells}
<h3>Common solutions</h3>
{solutions}
<h3>Rules</h3>
{rules}
</details>"""


def _cell(terms: Charter, action: str, outcome: str) -> str:
    cell = next((each for each in terms.cells if (each.action, each.outcome) == (action, outcome)), None)
    if cell is None:
        return ""
    return f"{cell.amount:,}" if cell.amount is not None else cell.sql or ""
