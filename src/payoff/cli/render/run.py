"""The screen of `payoff run` and `payoff show`: money first, then verdicts, then what was done, then where to look."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from payoff.base.text import count
from payoff.cli.render import words
from payoff.cli.render.amounts import amount, duration, grain, percent, when

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payoff.records.answers.request import RunAnswer
    from payoff.records.evidence import Interval
    from payoff.records.run import RunRecord

_WIDTH, _BAR, _MOST = 100, 34, 12


def text(answer: RunAnswer) -> str:
    """The whole screen, plain Unicode without colour; the first line is the money."""
    record = answer.record
    parts = [[words.headline(record), _status(answer)]]
    if not answer.unchanged:
        parts += [
            _ladder(record),
            _verdicts(record),
            _groups(record),
            _broken(record),
            _failed(record),
            _steps(record),
            _written(record),
        ]
    else:
        parts += [_verdicts(record)]
    parts += [[fold(words.left_out(record), "")] if record.withheld else [], _look(answer)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _status(answer: RunAnswer) -> str:
    record = answer.record
    sign = "✓" if record.status == "passed" else "✗"
    if answer.unchanged:
        return (
            f"{sign} {words.status(record)} · nothing to do: unchanged since run {record.run} ({when(record.finished)})"
        )
    meaning = " ".join(
        part for part in (words.meaning(record), words.correction(record), words.calibration(record)) if part
    )
    line = f"{sign} {words.status(record)} · run {record.run} · {duration(record.seconds)}"
    return f"{line}\n{fold(meaning, '  ')}" if meaning else line


def _ladder(record: RunRecord) -> list[str]:
    value = record.valuation
    rungs = words.ladder(record)
    if value is None or not rungs:
        return []
    step = grain(value.gain)
    low = min(0.0, *(rung.year.low for rung in rungs))
    high = max(0.0, *(rung.year.high for rung in rungs))
    names = [cut(rung.name, 18) for rung in rungs]
    means = [amount(rung.year.mean, step) for rung in rungs]
    spans = [f"{amount(rung.year.low, step)} … {amount(rung.year.high, step)}" for rung in rungs]
    wide = [max(map(len, column)) for column in (names, means, spans)]
    cost = words.running_cost(record.charter)
    before = f", before the model's running cost of {amount(cost)}" if cost else ""
    lines = [f"{value.currency} a year{before}   █ mean  ├─┤ {percent(value.confidence)} interval"]
    for rung, name, mean, span in zip(rungs, names, means, spans, strict=True):
        cells = f"  {name:<{wide[0]}}  {mean:>{wide[1]}}  {span:>{wide[2]}}"
        lines.append(f"{cells}  {bar(rung.year, low, high)}".rstrip())
    return lines


def bar(year: Interval, low: float, high: float, width: int = _BAR) -> str:
    """A bar from zero to the mean with the interval's whisker over it, `width` characters for `low` to `high`."""

    def cell(value: float) -> int:
        return round((value - low) / (high - low) * (width - 1)) if high > low else 0

    zero, mean, first, last = (cell(value) for value in (0.0, year.mean, year.low, year.high))
    cells = ["█" if min(zero, mean) <= index <= max(zero, mean) else " " for index in range(width)]
    if last - first > 1:
        cells[first + 1 : last] = "─" * (last - first - 1)
        cells[mean] = "█"
    if last > first:
        cells[first], cells[last] = "├", "┤"
    if zero not in (first, last):
        cells[zero] = "│"
    return "".join(cells)


def _verdicts(record: RunRecord) -> list[str]:
    lines = []
    for verdict in record.verdicts:
        said = f"{'✓ passed ' if verdict.passed else '✗ refused'}  {verdict.gate}: {verdict.reason}"
        lines.append(fold(said, "  ", "             "))
        if not verdict.passed and verdict.remedy:
            lines.append(fold(f"Try: {verdict.remedy}", "             "))
    return ["Verdicts", *lines] if lines else []


def _groups(record: RunRecord) -> list[str]:
    value = record.valuation
    if value is None or not value.groups:
        return []
    shown = value.groups[:_MOST]
    rows = [
        (
            f"{each.column} {cut(each.value, 24)}",
            f"{each.rows:,}",
            amount(each.gain.mean, grain(each.gain), sign=True),
            f"{amount(each.gain.low, grain(each.gain), sign=True)} … {amount(each.gain.high, grain(each.gain), sign=True)}",
            percent(each.wrong.mean),
        )
        for each in shown
    ]
    more = [f"  and {len(value.groups) - len(shown):,} more in the report"] if len(value.groups) > len(shown) else []
    wrong = "too little" if value.quantities else "turned out wrong"
    head = ("group", "decisions", f"{value.currency} a year", "interval", wrong)
    return [f'Groups that the charter names, against "{value.gain.over}"', *table(head, rows), *more]


def _broken(record: RunRecord) -> list[str]:
    broken = words.broken(record)
    rows = [
        (
            f"{check.table}.{check.column}" if check.column else check.table,
            check.check,
            f"{check.failed:,} of {check.rows:,}" if check.column else check.reason,
            check.severity,
            f"{check.file}:{check.line}" if check.file else "",
            ", ".join(check.sample[:5]),
        )
        for check in broken[:_MOST]
    ]
    if not rows:
        return []
    lines = table(("column", "promise", "failed", "counts as", "promised in", "rows (ids)"), rows)
    more = (
        [f"  and {count(len(broken) - _MOST, 'promise')} more: payoff show {record.run} --json"]
        if len(broken) > _MOST
        else []
    )
    return ["Broken promises", *lines, *more]


def _failed(record: RunRecord) -> list[str]:
    lines: list[str] = []
    for finding in words.errors(record):
        lines += str(finding.as_error()).splitlines()
    for step in words.failures(record):
        if step.failure and step.failure.trace and step.failure.kind != "type":  # ours, and its message is above
            lines += [
                "",
                f"Step {step.name}:",
                *(f"  {line}" for line in step.failure.trace.rstrip().splitlines()[-40:]),
            ]
        if step.log:
            lines.append(f"  its output: {step.log}")
    return lines


def _steps(record: RunRecord) -> list[str]:
    if not record.steps:
        return []
    ran = [step for step in record.steps if step.state in {"ran", "failed"}]
    rows = [(step.state, step.name, duration(step.seconds), cut("; ".join(step.because), 60)) for step in ran[:_MOST]]
    lines = [f"Steps: {words.tally(record)}", *table(("", "", "", ""), rows)[1:]]
    if len(ran) > _MOST:
        lines.append(f"  and {len(ran) - _MOST:,} more")
    for state in ("reused", "skipped"):
        names = [step.name for step in record.steps if step.state == state]
        shown = ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST:,} more" if len(names) > _MOST else "")
        lines += [fold(f"{state:<7} {shown}", "  ", "          ")] if names else []
    return lines


def _written(record: RunRecord) -> list[str]:
    rows = [
        (
            each.state,
            each.sink,
            each.table,
            "" if each.rows is None else count(each.rows, "row"),
            duration(each.seconds) if each.state == "written" else "",
            cut(each.to or "; ".join(each.because), 60),
        )
        for each in words.deliveries(record)[:_MOST]
    ]
    return ["Written", *table(("", "sink", "table", "rows", "took", "to"), rows)] if rows else []


def _look(answer: RunAnswer) -> list[str]:
    again = f"payoff show {answer.record.run}"
    rows = [("report", answer.report), ("MLflow", answer.look), ("again", again)]
    return ["Look further", *(f"  {name:<8}{value}" for name, value in rows if value)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in aligned columns under a head, indented by two."""
    wide = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip()
        for row in (head, *rows)
    ]


def cut(line: str, width: int) -> str:
    """A line that is no longer than the width."""
    return line if len(line) <= width else line[: width - 1] + "…"


def fold(line: str, first: str, rest: str | None = None) -> str:
    """Wrap at the screen's width; addresses and commands are never broken."""
    return textwrap.fill(
        line,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
