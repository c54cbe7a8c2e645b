"""Charts as inline SVG: lines over a stretched canvas with text at its true size, and bars that float on a common scale."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

from payoff.cli.render.amounts import short, ticks
from payoff.cli.render.picture import Scale, anchor, minus, scale

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEIGHT, _LEFT = 240, 11  # pixels of a line chart; percent of its width for the amounts


class Dot(NamedTuple):
    """A point of a line: `low` and `high` make a band."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


def line(
    dots: Sequence[Dot],
    *,
    label: str,
    marks: Sequence[tuple[float, str]],
    level: tuple[float, str] | None,
    at: Dot | None = None,
) -> str:
    """Amounts over something; `marks` are the texts under the axis, `level` a line to reach, `at` where it is reached."""
    bounds = [value for dot in dots for value in (dot.y, dot.low, dot.high) if value is not None]
    on = scale([*bounds, level[0] if level else 0.0], 0.06)
    first, last = dots[0].x, dots[-1].x
    across = Scale(first, last if last > first else first + 1)

    def x(value: float) -> float:
        return round(_LEFT + across.at(value) * (100 - _LEFT - 2) / 100, 2)

    def y(value: float) -> float:
        return round(100 - on.at(value), 2)

    band = [dot for dot in dots if dot.low is not None and dot.high is not None]
    parts = []
    for tick in ticks(on.low, on.high, 5):
        height = _px(y(tick))
        parts.append(f'<line class="grid-line" x1="{_LEFT}%" x2="98%" y1="{height}" y2="{height}"/>')
        parts.append(f'<text x="{_LEFT - 1}%" y="{height}" dy="4" text-anchor="end">{minus(short(tick))}</text>')
    drawn = []
    if band:
        there = [f"{x(dot.x)},{y(dot.high or 0.0)}" for dot in band]
        back = [f"{x(dot.x)},{y(dot.low or 0.0)}" for dot in reversed(band)]
        drawn.append(f'<polygon class="band" points="{" ".join(there + back)}"/>')
    drawn.append(f'<polyline class="curve" points="{" ".join(f"{x(dot.x)},{y(dot.y)}" for dot in dots)}"/>')
    parts.append(
        f'<svg x="0" y="0" width="100%" height="{_HEIGHT}" viewBox="0 0 100 100" preserveAspectRatio="none">{"".join(drawn)}</svg>'
    )
    if level:
        height = _px(y(level[0]))
        parts.append(f'<line class="promised" x1="{_LEFT}%" x2="98%" y1="{height}" y2="{height}"/>')
        parts.append(f'<text class="bound" x="{_LEFT + 1}%" y="{height}" dy="-6">{escape(level[1])}</text>')
    if at:
        parts.append(f'<circle class="dot" cx="{x(at.x)}%" cy="{_px(y(at.y))}" r="6"/>')
    for value, text in marks:
        place = x(value)
        parts.append(f'<text x="{place}%" y="{_HEIGHT + 18}" text-anchor="{anchor(place, 6)}">{escape(text)}</text>')
    return f'<svg class="chart" role="img" aria-label="{escape(label)}" height="{_HEIGHT + 24}">{"".join(parts)}</svg>'


def _px(percent: float) -> float:
    return round(percent * _HEIGHT / 100, 1)


class Bar(NamedTuple):
    """A floating bar: from where to where, what kind of thing it is (`gain`, `cost`, `total`), its texts."""

    name: str
    start: float
    end: float
    kind: str
    says: str
    small: str = ""


def bars(rows: Sequence[Bar], *, heads: tuple[str, str], lines: Sequence[tuple[float, str]] = ()) -> str:
    """A table of floating bars on one scale; `lines` are drawn through all of them (value, class)."""
    on = scale([value for row in rows for value in (row.start, row.end)] + [value for value, _ in lines])
    body = "\n".join(
        f'<tr role="row"><th scope="row" role="rowheader">{escape(row.name)}'
        + (f"<small>{escape(row.small)}</small>" if row.small else "")
        + f'</th><td class="picture" role="cell">{_bar(row, on, lines)}</td>'
        + f'<td class="number" role="cell">{row.says}</td></tr>'
        for row in rows
    )
    marks = "".join(
        f'<text x="{on.at(tick)}%" y="14" text-anchor="{anchor(on.at(tick), 4)}">{minus(short(tick))}</text>'
        for tick in ticks(on.low, on.high, 4)
    )
    axis = f'<svg class="axis" aria-hidden="true" height="20">{marks}</svg>'
    return f"""<table class="ladder bars" role="table">
<thead><tr role="row"><th scope="col" role="columnheader">{escape(heads[0])}</th><th scope="col" role="columnheader"></th>
<th scope="col" role="columnheader" class="number">{escape(heads[1])}</th></tr></thead>
<tbody>
{body}
</tbody>
<tfoot aria-hidden="true"><tr><th></th><td class="picture">{axis}</td><td class="number"></td></tr></tfoot>
</table>"""


def _bar(row: Bar, on: Scale, lines: Sequence[tuple[float, str]]) -> str:
    start, end = on.at(row.start), on.at(row.end)
    through = "".join(
        f'<line class="{kind}" x1="{on.at(value)}%" x2="{on.at(value)}%" y1="0" y2="100%"/>' for value, kind in lines
    )
    zero = f'<line class="zero" x1="{on.at(0.0)}%" x2="{on.at(0.0)}%" y1="0" y2="100%"/>'
    rect = (
        f'<rect class="bar" x="{min(start, end)}%" width="{max(abs(round(end - start, 2)), 0.3)}%" y="50%" height="18" '
        'transform="translate(0,-9)" rx="2"/>'
    )
    return f'<svg class="row {row.kind}" role="img" aria-label="{escape(row.name)}">{zero}{rect}{through}</svg>'
