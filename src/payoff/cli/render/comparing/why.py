"""The screen of `payoff why`: the two amounts, the waterfall between them, what is no cause, and what it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from payoff.base.text import count
from payoff.cli.render.amounts import amount, duration, figure
from payoff.cli.render.run import cut, fold, table

if TYPE_CHECKING:
    from payoff.records.answers.why import Expected, Why
    from payoff.records.hybrids.attribution import Attribution, Cause, Factor, Interaction, Measured

_BAR, _MOST, _NAMES = 28, 12, 8
_ONCE = 2  # replicates where A and B were executed once each
_TEN = 10.0
_APART = 0.1  # amounts closer together than this share of the largest are shown without zero
_GOOD = {"explained", "no-difference"}
_KINDS = {"hardware": "hardware", "system": "setting", "data": "data of", "code": "code of", "seed": "seed of"}


def exit_code(answer: Why) -> int:
    """0 when the difference is explained (or there is none, or only the plan was asked for), else 1."""
    return 0 if answer.attribution is None or answer.attribution.verdict in _GOOD else 1


def announcement(expected: Expected) -> str:
    """What is about to be done, before it begins."""
    bound = f", at most {expected.bound} for a single cause" if expected.bound > expected.executions else ""
    return (
        f"{count(expected.factors, 'thing')} can be switched between the two runs: about {count(expected.executions, 'execution')}"
        f"{bound}, {duration(expected.seconds)}. Steps that were computed before are not computed again; ctrl-C loses nothing."
    )


def text(answer: Why) -> str:
    """The whole screen, plain Unicode without colour."""
    found = answer.attribution
    if found is None:
        parts = [[_planned(answer)], _factors("What differs", answer.factors)]
    else:
        parts = [_head(answer, found), _waterfall(answer, found), _not(answer, found), _cost(answer, found)]
    parts.append([fold(note, "") for note in answer.notes])
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _planned(answer: Why) -> str:
    said = announcement(answer.expected)
    return f"{answer.metric} of {answer.a} and {answer.b}\n{fold(said, '')}"


def _factors(title: str, factors: tuple[Factor, ...]) -> list[str]:
    rows = [(each.kind, each.name, cut(each.a or "(none)", 24), cut(each.b or "(none)", 24)) for each in factors]
    return (
        [title, *table(("", "", "in A", "in B"), rows)]
        if rows
        else ["Nothing that is recorded differs between the two runs."]
    )


def _head(answer: Why, found: Attribution) -> list[str]:
    name = "The model's gain a year" if answer.metric == "gain" else answer.metric
    first, last = said(found.a, answer.unit), said(found.b, answer.unit)
    if found.verdict == "no-difference":
        head = [f"No difference: {name} is {first} in A and {last} in B", _noise(found, answer.unit)]
        return [each for each in [*head, fold(found.reason, "") if found.reason else ""] if each]
    difference = ""
    if found.a.value is not None and found.b.value is not None:
        difference = f" ({money(found.b.value - found.a.value, answer.unit, sign=True)})"
    head = [f"{name}: {first} -> {last}{difference}", _verdict(found)]
    return [*head, *([fold(found.reason, "")] if found.reason else []), _noise(found, answer.unit)]


def _verdict(found: Attribution) -> str:
    causes = [name(each) for each in found.causes]
    if found.verdict == "explained":
        return f"Explained by {_listed(causes)}." if causes else "Explained."
    if found.verdict == "partly":
        return f"Only partly explained, by {_listed(causes)}." if causes else "Not explained."
    return f"Not decided. Left as suspects: {_listed(causes)}." if causes else "Not decided."


def _noise(found: Attribution, unit: str) -> str:
    if found.noise.replicates <= _ONCE:
        return "Executed here, each once, they give the same." if found.executions else ""
    if found.a.value is None or found.b.value is None:
        return f"Each was executed again ({count(found.noise.replicates, 'replicate')})."
    if not found.noise.deviation:
        return f"Equal runs are equal to the last bit ({count(found.noise.replicates, 'replicate')})."
    return f"Equal runs differ by {money(found.noise.deviation, unit)} (standard deviation, {count(found.noise.replicates, 'replicate')})."


def _waterfall(answer: Why, found: Attribution) -> list[str]:
    """From A's amount to B's, a line each; where one of them is a failure there are no amounts, only what it takes."""
    if found.verdict == "no-difference":
        return []
    if found.a.value is None or found.b.value is None:
        rows = [(name(each), change(each), "makes the difference") for each in found.causes]
        return ["What it takes", *table(("", "", ""), rows)[1:]] if rows else []
    unit = answer.unit
    steps = [(name(each), change(each), each.effect or 0.0, _interval(each, unit)) for each in found.causes]
    steps += [(_together(each), "", each.effect or 0.0, _interval(each, unit)) for each in found.interactions]
    if found.remainder:
        steps.append(("not explained", "", found.remainder, ""))
    levels = [found.a.value]
    for *_, effect, _said in steps:
        levels.append(levels[-1] + effect)
    axis = _axis([*levels, found.b.value])
    amounts = [
        money(found.a.value, unit),
        *(money(step[2], unit, sign=True) for step in steps),
        money(found.b.value, unit),
    ]
    wide = max(len(each) for each in amounts)
    levelled = [("A", cut(answer.a, 20), amounts[0].rjust(wide), axis.whole(found.a.value), "")]
    for (title, what, _, interval), start, end, shown in zip(steps, levels, levels[1:], amounts[1:], strict=False):
        levelled.append((title, what, shown.rjust(wide), axis.part(start, end), interval))
    levelled.append(("B", cut(answer.b, 20), amounts[-1].rjust(wide), axis.whole(found.b.value), ""))
    return ["From A to B", *table(("", "", "", "", ""), levelled)[1:]]


class _Axis(NamedTuple):
    low: float
    high: float
    broken: bool

    def place(self, value: float) -> int:
        return round((value - self.low) / ((self.high - self.low) or 1.0) * _BAR)

    def part(self, start: float, end: float) -> str:
        """A floating bar."""
        first, last = sorted((self.place(start), self.place(end)))
        return (" " * first + "█" * max(1, last - first)).ljust(_BAR + 1)

    def whole(self, value: float) -> str:
        """A bar from zero; where zero is far off the picture, its beginning is dotted."""
        bar = self.part(self.low if self.broken else 0.0, value)
        return "·" + bar[1:] if self.broken else bar


def _axis(levels: list[float]) -> _Axis:
    low, high = min(levels), max(levels)
    broken = low * high > 0 and high - low < _APART * max(abs(low), abs(high))
    if broken:
        return _Axis(low - (high - low) / 4, high, broken=True)
    return _Axis(min(low, 0.0), max(high, 0.0), broken=False)


def _together(each: Interaction) -> str:
    return f"{' and '.join(each.names)} together"


def name(cause: Cause) -> str:
    """`package numpy`, `code of features.scale`; several where they could not be parted."""
    if len(cause.names) > 1 and cause.name not in cause.names:
        return f"one or more of {_listed(list(cause.names))}"
    return f"{_KINDS.get(cause.kind, cause.kind)} {cause.name}"


def change(cause: Cause) -> str:
    """`1.4.2 -> 1.5.2, since 1.5.0`; digests are no help to anybody."""
    if len(cause.names) > 1 or cause.kind in {"code", "data"}:
        return ""
    since = f", since {cause.first_changed}" if cause.first_changed and cause.first_changed != cause.b else ""
    return f"{cut(cause.a or '(none)', 24)} -> {cut(cause.b or '(none)', 24)}{since}"


def _interval(each: Cause | Interaction, unit: str) -> str:
    if each.low is None or each.high is None or each.low == each.high:
        return ""
    return f"({money(each.low, unit, sign=True)} … {money(each.high, unit, sign=True)})"


def _not(answer: Why, found: Attribution) -> list[str]:
    by = {each.id: each for each in answer.factors}
    lines: list[str] = []
    innocent = [by[each] for each in found.innocent if each in by]
    if innocent:
        lines.append(fold(f"Shown not to matter: {_listed([_short(each) for each in innocent])}.", ""))
    untested = [by[each] for each in found.untested if each in by]
    lines += [
        fold(f"Not tested: {_short(each)} ({each.a or 'none'} -> {each.b or 'none'}): {each.reason}", "")
        for each in untested
    ]
    return lines


def _short(factor: Factor) -> str:
    return f"{_KINDS.get(factor.kind, factor.kind)} {factor.name}"


def _cost(answer: Why, found: Attribution) -> list[str]:
    took = (
        f"{count(found.executions, 'execution')} (bound for a single cause: {found.bound}), {duration(answer.seconds)}"
    )
    return [
        f"{took}; the two runs themselves took {duration(answer.run_seconds)}.",
        f"What differs, in full: payoff diff {answer.a} {answer.b}",
    ]


def said(measured: Measured, unit: str) -> str:
    """An amount, or how it failed."""
    if measured.value is not None:
        return money(measured.value, unit)
    return f"failed ({cut(measured.error, 60)})" if measured.state == "failed" else "unknown"


def money(value: float, unit: str, *, sign: bool = False) -> str:
    """An amount of money without idle digits, or a figure of another kind.

    >>> money(-1234.56, "EUR", sign=True), money(0.98765, "")
    ('-1,235 EUR', '0.9877')
    """
    if unit:
        return f"{amount(value, 1.0 if abs(value) >= _TEN else 0.01, sign=sign)} {unit}"
    return f"+{figure(value)}" if sign and value > 0 else figure(value)


def _listed(names: list[str]) -> str:
    shown = names[:_NAMES]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    if more or len(shown) == 1:
        return ", ".join(shown) + more
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
