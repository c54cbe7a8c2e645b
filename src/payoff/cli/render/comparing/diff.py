"""The screen of `payoff diff`: results in money first, then code, data, parameters and settings, packages, machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.text import count
from payoff.cli.render.amounts import figure
from payoff.cli.render.comparing.why import money
from payoff.cli.render.run import cut, fold, table

if TYPE_CHECKING:
    from payoff.records.answers.diff import Code, Diff, Fact, Number, Rows

_LINES, _WIDE, _NUMBERS = 24, 30, 14
_PACKAGES = {"package"}


def text(answer: Diff) -> str:
    """The whole screen, plain Unicode without colour."""
    packages = [each for each in answer.factors if each.kind in _PACKAGES]
    others = [each for each in answer.factors if each.kind not in _PACKAGES and each.kind != "hardware"]
    parts = [
        [f"A: {answer.a}", f"B: {answer.b}"],
        [fold(said, "") for said in [changed(answer)] if said],
        _facts("How they ended", answer.outcome),
        _numbers(answer.results),
        _code(answer.code),
        _data(answer.data),
        _pairs("Parameters, settings, charter", [(each.name, each.a, each.b) for each in others]),
        _pairs("Packages", [(each.name, each.a, each.b) for each in packages]),
        _facts("Machine and libraries", answer.machine),
    ]
    if not any(parts[2:]):
        parts.append(
            [
                "Nothing differs."
                if not answer.notes or answer.a == answer.b
                else "Nothing differs of what could be compared."
            ]
        )
    elif not parts[3] and not answer.outcome:
        parts.insert(2, ["The results are the same."])
    parts.append([fold(note, "") for note in answer.notes])
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def changed(answer: Diff) -> str:
    """What the difference in decisions brings, in a sentence or two; why it cannot be said, where only that is news."""
    change = answer.change
    if change is None:
        return f"What B's decisions bring over A's cannot be said: {answer.apart}." if answer.apart else ""
    asked = f"on the {change.decisions:,} decisions that both made"
    if not change.differ:
        return f"A and B bring the same {asked}."
    mean, low, high = (money(each, change.currency, sign=True) for each in (change.mean, change.low, change.high))
    sure = (
        ""
        if change.low > 0 or change.high < 0
        else " Chance alone could make this difference: zero lies within its bounds."
    )
    return (
        f"B's decisions bring {mean} a year over A's ({low} … {high} at {100 * change.confidence:.3g} % confidence), {asked}, "
        f"of which {change.differ:,} brought another amount.{sure}"
    )


def number_rows(numbers: tuple[Number, ...]) -> list[tuple[str, str, str, str]]:
    """(name, A's, B's, change) of the first numbers, money first."""
    return [(_name(each), _number(each, each.a), _number(each, each.b), _change(each)) for each in numbers[:_NUMBERS]]


def _numbers(numbers: tuple[Number, ...]) -> list[str]:
    rows = number_rows(numbers)
    if not rows:
        return []
    more = (
        [f"and {count(len(numbers) - _NUMBERS, 'number')} more (--json has them all)"]
        if len(numbers) > _NUMBERS
        else []
    )
    return [*table(("Results", "A", "B", "B - A"), rows), *more]


def _name(each: Number) -> str:
    return "gain a year" if each.name == "gain" else each.name.replace("per_year.", "a year: ")


def _number(each: Number, value: float | None) -> str:
    return "(none)" if value is None else money(value, each.unit) if each.unit else figure(value)


def _change(each: Number) -> str:
    if each.a is None or each.b is None:
        return ""
    change = each.b - each.a
    return money(change, each.unit, sign=True) if each.unit else f"{'+' if change > 0 else ''}{figure(change)}"


def _code(code: tuple[Code, ...]) -> list[str]:
    lines: list[str] = []
    for each in code:
        lines += ["", f"{each.name} ({each.state})"]
        shown = each.diff.splitlines()
        lines += [f"  {line}" for line in shown[:_LINES]]
        if len(shown) > _LINES:
            lines.append(f"  ... {count(len(shown) - _LINES, 'line')} more (--json has them all)")
    return ["Code", *lines[1:]] if lines else []


def _data(data: tuple[Rows, ...]) -> list[str]:
    lines: list[str] = []
    for each in data:
        lines.append(f"{each.table}: {_rows(each)}")
        lines += [f"  {column}: another value in {count(number, 'row')}" for column, number in each.columns.items()]
        lines += [f"  {said}" for said in each.schema]
    return ["Data", *lines] if lines else []


def _rows(each: Rows) -> str:
    if each.note:
        return each.note
    said = [f"{each.a_rows or 0:,} -> {each.b_rows or 0:,} rows"]
    said += [
        f"{number:,} {word}"
        for word, number in (("added", each.added), ("removed", each.removed), ("changed", each.changed))
        if number
    ]
    return ", ".join(said) + (f" (by {', '.join(each.key)})" if each.key else " (rows as wholes: there is no key)")


def _facts(title: str, facts: tuple[Fact, ...]) -> list[str]:
    return _pairs(title, [(each.name + (f" ({each.where})" if each.where else ""), each.a, each.b) for each in facts])


def _pairs(title: str, rows: list[tuple[str, str, str]]) -> list[str]:
    if not rows:
        return []
    shown = [(name, *_apart(a, b)) for name, a, b in rows]
    return table(
        (title, "A", "B"), [(name, cut(a or "(none)", _WIDE), cut(b or "(none)", _WIDE)) for name, a, b in shown]
    )


def _apart(a: str, b: str) -> tuple[str, str]:
    """Two texts; of long ones only the words that the other does not have, so that what differs is not what is cut off."""
    if max(len(a), len(b)) <= _WIDE or not a or not b:
        return a, b
    words = [text.replace(";", " ").replace(",", " ").split() for text in (a, b)]
    only = [[each for each in own if each not in other] for own, other in (words, words[::-1])]
    return (" ".join(only[0]) or "(less)", " ".join(only[1]) or "(less)") if any(only) else (a, b)
