"""Pictures as inline SVG. Every x is a percentage: a picture fits a phone and a page without scaling its text."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from payoff.cli.render.amounts import amount, grain, percent, short, ticks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payoff.cli.render.words import Rung
    from payoff.records.evidence import Gain, Interval

_EDGE = 0.02
_THIN = 0.05  # percent of the width: thinner than a line


class Scale(NamedTuple):
    """Amounts to percent of the picture's width."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Where a value lies, in percent, two decimals; what is not a number lies at zero."""
        value = value if math.isfinite(value) else 0.0
        return round((value - self.low) / (self.high - self.low) * 100, 2)


def scale(values: Iterable[float], edge: float = _EDGE) -> Scale:
    """A scale that has all values and zero, with some room at both ends."""
    known = [0.0, *(value for value in values if math.isfinite(value))]
    low, high = min(known), max(known)
    room = (high - low or 1.0) * edge
    return Scale(low - room, high + room)


def rung_scale(rungs: list[Rung]) -> Scale:
    """The one scale of all rows of a ladder."""
    return scale(bound for rung in rungs for bound in (rung.year.low, rung.year.high, rung.year.mean))


def rung(each: Rung, on: Scale, currency: str) -> str:
    """One row of the ladder: a bar from zero to the mean, the interval as a whisker."""
    year, zero = each.year, on.at(0.0)
    mean, low, high = on.at(year.mean), on.at(year.low), on.at(year.high)
    label = f"{each.name}: {between(year, currency)}"
    return (
        f'<svg class="row {each.kind}" role="img" aria-label="{escape(label)}">'
        f'<line class="zero" x1="{zero}%" x2="{zero}%" y1="0" y2="100%"/>'
        f'<rect class="bar" x="{min(zero, mean)}%" width="{abs(round(mean - zero, 2))}%" y="50%" height="18" '
        f'transform="translate(0,-9)" rx="2"/>'
        f"{_whisker(low, high)}"
        f'<circle class="dot" cx="{mean}%" cy="50%" r="5"/></svg>'
    )


def axis(on: Scale) -> str:
    """Round amounts under the ladder."""
    marks = "".join(
        f'<text x="{on.at(tick)}%" y="14" text-anchor="{anchor(on.at(tick), 4)}">{minus(short(tick))}</text>'
        for tick in ticks(on.low, on.high, 4)
    )
    return f'<svg class="axis" aria-hidden="true" height="20">{marks}</svg>'


def gap(gain: Gain, promised: float, currency: str) -> str:
    """The gain with its interval against zero (no difference) and the promised minimum."""
    on = scale((gain.low, gain.high, gain.mean, promised), 0.28)
    step = grain(gain)
    mean, low, high, zero = (on.at(value) for value in (gain.mean, gain.low, gain.high, 0.0))
    label = f"The model against {gain.over}: {between(gain, currency)}; no difference is 0"
    parts = [
        f'<line class="zero" x1="{zero}%" x2="{zero}%" y1="26" y2="94"/>',
        _mark(zero, 110, "0: no difference"),
    ]
    if promised:
        place = on.at(promised)
        label += f"; the promised minimum is {amount(promised)}"
        parts += [
            f'<line class="promised" x1="{place}%" x2="{place}%" y1="20" y2="78"/>',
            _mark(place, 13, f"promised minimum {amount(promised)}"),
        ]
    parts += [
        f'<rect class="span" x="{low}%" width="{round(high - low, 2)}%" y="53" height="14" rx="7"/>',
        f'<circle class="dot" cx="{mean}%" cy="60" r="8"/>',
        f'<text class="value" x="{mean}%" y="44" text-anchor="middle">{_signed(gain.mean, step)}</text>',
        f'<text class="bound" x="{low}%" y="86" dx="-3" text-anchor="end">{_signed(gain.low, step)}</text>',
        f'<text class="bound" x="{high}%" y="86" dx="3" text-anchor="start">{_signed(gain.high, step)}</text>',
    ]
    return f'<svg class="gap" role="img" aria-label="{escape(label)}" height="118">{"".join(parts)}</svg>'


def _mark(place: float, y: int, text: str) -> str:
    return f'<text class="mark" x="{place}%" y="{y}" text-anchor="{anchor(place)}">{escape(text)}</text>'


def share(part: float) -> str:
    """A share as a small bar behind its number."""
    width = round(min(max(part, 0.0), 1.0) * 100, 1)
    return (
        '<svg class="share" aria-hidden="true"><rect class="rail" width="100%" height="100%" rx="3"/>'
        f'<rect class="part" width="{width}%" height="100%" rx="3"/></svg><span>{percent(part)}</span>'
    )


def between(interval: Interval | Gain, currency: str) -> str:
    """An amount and its interval as a phrase for those who hear the page."""
    step = grain(interval)
    low, high = amount(interval.low, step), amount(interval.high, step)
    return f"{amount(interval.mean, step)} {currency} a year, between {low} and {high}"


def _signed(value: float, step: float) -> str:
    return minus(amount(value, step, sign=True))


def minus(text: str) -> str:
    """A number's text with a real minus sign, as HTML."""
    return escape(text).replace("-", "\N{MINUS SIGN}")


def _whisker(low: float, high: float) -> str:
    if high - low < _THIN:
        return ""
    return (
        f'<line class="whisker" x1="{low}%" x2="{high}%" y1="50%" y2="50%"/>'
        f'<rect class="cap" x="{low}%" width="2" y="50%" height="12" transform="translate(-1,-6)"/>'
        f'<rect class="cap" x="{high}%" width="2" y="50%" height="12" transform="translate(-1,-6)"/>'
    )


def anchor(place: float, edge: float = 24) -> str:
    """Text that stands near an edge runs inward."""
    return "start" if place < edge else "end" if place > 100 - edge else "middle"
