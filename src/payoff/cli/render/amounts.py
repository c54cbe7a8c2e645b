"""Numbers for people: thousands separators, no digits beyond what the interval supports, dates in words."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from payoff.records.evidence import Gain, Interval

_DIGITS, _THOUSAND, _MINUTE = 3, 1000, 60
_EXPONENT = 1e15  # longer numbers read better with one
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def grain(interval: Interval | Gain) -> float:
    """The step to round to: three digits of the interval's width (of the mean, when the interval has no width).

    >>> from payoff.records.evidence import Interval
    >>> grain(Interval(41312.4, 12021.9, 70397.0))
    100.0
    """
    width = abs(interval.high - interval.low) or abs(interval.mean)
    if not math.isfinite(width) or width == 0:
        return 1.0
    step = 10.0 ** (math.floor(math.log10(width)) - _DIGITS + 1)
    largest = max(abs(interval.mean), abs(interval.low), abs(interval.high))
    return max(step, 1.0 if largest >= _THOUSAND else 0.01)


def amount(value: float, step: float = 1.0, *, sign: bool = False) -> str:
    """A number rounded to a step, with thousands separators.

    >>> amount(41312.4, 10.0, sign=True), amount(-0.123, 0.01), amount(0.2, 1.0, sign=True)
    ('+41,310', '-0.12', '0')
    """
    if not math.isfinite(value):
        return "unknown"
    decimals = max(0, -math.floor(math.log10(step))) if step < 1 else 0
    rounded = round(value / step) * step
    if not rounded:
        return "0"
    return f"{rounded:{'+' if sign else ''},.{decimals}f}"


def figure(value: float) -> str:
    """A number of any kind to four digits, without exponents where people read them.

    >>> figure(0.743156), figure(120331.4), figure(3.0)
    ('0.7432', '120,331', '3')
    """
    return f"{value:,.0f}" if _THOUSAND <= abs(value) < _EXPONENT else f"{value:.4g}"


def short(value: float) -> str:
    """A number for an axis: `-4M`, `250k`, `0`.

    >>> short(-4e6), short(2500.0), short(0.5)
    ('-4M', '2.5k', '0.5')
    """
    for unit, name in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.6g}{name}"
    return f"{value:.4g}"


def percent(share: float, *, decimals: int = 1) -> str:
    """A share as a percentage without idle digits.

    >>> percent(0.95), percent(0.9873), percent(0.0004)
    ('95 %', '98.7 %', 'under 0.1 %')
    """
    text = f"{share * 100:.{decimals}f}"
    if share > 0 and not float(text):
        return f"under {10**-decimals:g} %"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def when(moment: str) -> str:
    """A UTC time in words; what cannot be read is given back.

    >>> when("2026-11-23T14:41:05.123Z")
    '23 November 2026, 14:41 UTC'
    """
    try:
        time = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    return f"{time.day} {MONTHS[time.month - 1]} {time.year}, {time:%H:%M} UTC"


def duration(seconds: float) -> str:
    """A duration in the two largest units.

    >>> duration(0.0034), duration(4.21), duration(185.0), duration(7322.0)
    ('0.00 s', '4.2 s', '3 min 5 s', '2 h 2 min')
    """
    if seconds < _MINUTE:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between two bounds, at most `most`, zero among them when it lies between.

    >>> ticks(-300.0, 1250.0)
    [0.0, 500.0, 1000.0]
    """
    width = high - low
    if not (math.isfinite(width) and width > 0):
        return [low]
    raw = width / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step)
    return [index * step + 0.0 for index in range(first, math.floor(high / step) + 1)]
