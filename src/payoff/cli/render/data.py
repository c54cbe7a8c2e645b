"""The screens of `payoff data`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payoff.base.text import count
from payoff.cli.render.amounts import when

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from payoff.records.catalog import (
        Access,
        Budget,
        ColumnLine,
        Expiry,
        Lineage,
        Link,
        Sample,
        TableLine,
        TableShown,
        Version,
    )
    from payoff.records.label import Label

_BARS = "▁▂▃▄▅▆▇█"


def text(question: str, answer: Any) -> str:
    """The screen of an answer."""
    screens: dict[str, Callable[[Any], str]] = {
        "ls": ls,
        "show": show,
        "history": history,
        "lineage": lineage,
        "audit": audit,
        "expire": expire,
        "sample": sample,
    }
    return screens[question](answer) + "\n"


def ls(lines: Sequence[TableLine]) -> str:
    """A line for each table."""
    rows = [
        (
            each.table,
            each.kind,
            each.classification,
            each.zone,
            _number(each.columns),
            _number(each.rows),
            when(each.made) if each.made else "never",
        )
        for each in lines
    ]
    return (
        _table(("table", "from", "at most", "zone", "columns", "rows", "newest version"), rows)
        or "the project has no tables"
    )


def show(shown: TableShown) -> str:
    """A table's columns."""
    table = shown.table
    version = f"version {table.version[:12]} of run {table.run}" if table.version else "no run has made it yet"
    head = f"{table.table}: {count(table.rows, 'row') + ', ' if table.rows is not None else ''}{version}"
    promised = f"promised by {table.contract}" if table.contract else "no contract"
    rows = [
        (
            each.column,
            each.type,
            _label(each.label),
            _missing(each),
            _number(each.distinct),
            _range(each),
            picture(each.bars),
            _promises(each),
        )
        for each in shown.columns
    ]
    listed = _table(("column", "type", "label", "missing", "distinct", "range", "values", "promises"), rows)
    return f"{head}\n{promised}; zone {table.zone}{_noise(shown.noise)}\n\n{listed}"


def _noise(told: Budget | None) -> str:
    if told is None:
        return ""
    budget = (
        "no budget" if told.epsilon is None else f"{max(0.0, told.epsilon - told.spent):g} of {told.epsilon:g} left"
    )
    return f"\nnoise: epsilon {told.spent:g} spent by {count(told.versions, 'version')}, {budget}; a new version costs {told.each:g}"


def picture(bars: Sequence[float]) -> str:
    """Shares as bars of eight heights.

    >>> picture([0.0, 0.1, 0.2])
    ' ▄█'
    """
    highest = max(bars, default=0.0)
    if not highest:
        return ""
    return "".join(_BARS[min(7, int(8 * bar / highest - 1e-9))] if bar else " " for bar in bars)


def expire(found: Sequence[Expiry]) -> str:
    """A line for each thing that is kept for too long, or was."""
    rows = [
        (
            each.table if each.what == "table" else f"{each.what} of {each.last}",
            each.version.rpartition("/")[2][:15],
            f"{each.rows:,}" if each.rows is not None else "",
            f"{each.age} days",
            f"{each.days} days, as {each.column} asks",
            "erased" if each.erased else "due",
        )
        for each in found
    ]
    if not rows:
        return "nothing is kept for longer than labels permit"
    due = sum(not each.erased for each in found)
    more = f"\n\n{count(due, 'thing')} to erase: payoff data expire --yes" if due else ""
    return _table(("what", "version", "rows", "kept for", "permitted", ""), rows) + more


def history(versions: Sequence[Version]) -> str:
    """A line for each version."""
    rows = [
        (
            each.version[:12],
            f"{each.rows:,}",
            f"{each.added:+,}" if each.added is not None else "",
            when(each.since),
            each.first,
            each.last,
            _changed(each),
        )
        for each in versions
    ]
    return _table(("version", "rows", "change", "since", "first run", "last run", ""), rows) or "no run has made it yet"


def _changed(version: Version) -> str:
    parts = [f"+{name}" for name in version.columns_added] + [f"-{name}" for name in version.columns_removed]
    gone = version.expired or "no longer in the store"
    return ", ".join(parts + ([] if version.kept else [gone]))


def lineage(found: Lineage) -> str:
    """Up, then down, indented by distance."""
    head = f"{found.table}.{found.column}: {_label(found.label)}"
    up = [link for link in found.links if link.direction == "up"]
    down = [link for link in found.links if link.direction == "down"]
    parts = [head, _links("is made of", up, "nothing: it comes from outside"), _links("goes into", down, "nothing")]
    if found.models:
        served = f", served in {', '.join(found.served)}" if found.served else ""
        parts.append(f"learned by the model {', '.join(found.models)}{served}")
    if any(link.implicit for link in found.links):
        parts.append("~ only a condition, a key or an order depends on it, not the values")
    if found.unsure:
        parts.append(
            "taken to depend on everything, as it could not be told more exactly:\n"
            + "\n".join(f"  {each}" for each in found.unsure)
        )
    return "\n\n".join(parts)


def _links(title: str, links: Sequence[Link], none: str) -> str:
    if not links:
        return f"{title} {none}"
    lines = [
        f"{'  ' * link.distance}{'~' if link.implicit else '·'} {link.table}.{link.column}  {_label(link.label)}"
        for link in links
    ]
    return "\n".join([title, *lines])


def audit(found: Sequence[Access]) -> str:
    """A line for each access."""
    rows = [
        (
            when(each.at),
            each.who,
            each.table,
            _columns(each.columns),
            each.how,
            each.run or "",
            each.purpose,
            each.refused and f"✗ {each.refused}",
        )
        for each in found
    ]
    return _table(("when", "who", "table", "columns", "how", "run", "purpose", ""), rows) or "nobody has read anything"


def sample(found: Sample) -> str:
    """The rows."""
    rows = [tuple("" if value is None else str(value) for value in row) for row in found.rows]
    masked = f"\n\n••• {', '.join(found.masked)}: not shown, by their labels" if found.masked else ""
    return (_table(found.columns, rows) or "the table has no rows") + masked


def _label(label: Label) -> str:
    parts: list[str] = [label.classification]
    if label.zones is not None:
        parts.append(f"in {'|'.join(sorted(label.zones)) or 'no zone'}")
    if label.purposes is not None:
        parts.append(f"for {'|'.join(sorted(label.purposes)) or 'nothing'}")
    if label.retention is not None:
        parts.append(f"{label.retention} days")
    return " ".join(parts)


def _number(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _missing(column: ColumnLine) -> str:
    return "" if column.missing is None else f"{100 * column.missing:.3g} %" if column.missing else "none"


def _range(column: ColumnLine) -> str:
    return f"{column.low} … {column.high}" if column.low is not None and column.high is not None else ""


def _promises(column: ColumnLine) -> str:
    if not column.promises:
        return ""
    return f"✗ {column.broken} of {column.promises} broken" if column.broken else f"✓ {column.promises} kept"


def _columns(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if names[6:] else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side; empty without rows."""
    if not rows:
        return ""
    wide = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, wide, strict=True)).rstrip() for line in (head, *rows)
    ]
    return "\n".join(lines)
