"""What is wrong with an answer of an interview; nothing when it is fine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from payoff.base.errors import PayoffError
from payoff.base.text import did_you_mean
from payoff.project.charter_rules import amount as money_of
from payoff.project.charter_rules import expression

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Check = Callable[[str], str]

_TAKEN = ("currency", "quantity")  # what [payoff] has beside the actions
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_FEW = 10  # values of a column: more were perhaps not all seen


def data(columns_of: Callable[[str], Sequence[str]], found: dict[str, Sequence[str]]) -> Check:
    """A file of data, whose columns are then found."""

    def check(given: str) -> str:
        try:
            found[given] = columns_of(given)
        except PayoffError as error:
            return f"{error.what}."
        return ""

    return check


def something(given: str) -> str:
    """Anything."""
    return "" if given else "An answer is needed."


def sentence(given: str) -> str:
    """More than a word."""
    return "" if len(given.split()) > 1 else "A few words are needed, so that somebody else understands it."


def plain(given: str) -> str:
    """Digits as a person writes them, without what stands between thousands."""
    return given.replace(",", "").replace("_", "").replace(" ", "")


def whole(given: str) -> str:
    """A whole number."""
    number = plain(given)
    ok = number.isascii() and number.isdigit() and int(number) > 0
    return "" if ok else "A whole number is needed, such as 120000."


def number(given: str) -> str:
    """A number."""
    return "" if re.fullmatch(r"[0-9]+(\.[0-9]+)?", plain(given)) else "An amount is needed, such as 12000."


def likely(values: Sequence[str]) -> str:
    """The value that is most often the case that matters."""
    known = [each for each in values if each.lower() in ("true", "1", "yes", "y")]
    return known[0] if known else (values[-1] if values else "")


def seen(outcome: str, values: Sequence[str]) -> Check:
    """A value that the column has."""

    def check(given: str) -> str:
        few = len(values) < _FEW
        return "" if given in values or (given and not few) else f"{outcome} has no value {given}; {listed(values)}."

    return check


def filled(columns: Sequence[str], values_of: Callable[[str], Sequence[str]]) -> Check:
    """A column that says something: an empty one has no case that could matter."""

    def check(given: str) -> str:
        wrong = one_of(columns)(given)
        return wrong or ("" if values_of(given) else f"{given} has no values.")

    return check


def money(currency: str, columns: Sequence[str], outcome: str) -> Check:
    """An amount, or a formula of columns."""

    def check(given: str) -> str:
        if not given:
            return "An amount or a formula is needed; 0 when nothing happens."
        written = money_of(given)
        if written is not None:
            return "" if written[1] == currency else f"Money is counted in {currency}, not in {written[1]}."
        return "" if is_number(given) else _formula(given, columns, outcome)[0]

    return check


def rule(actions: Sequence[str], columns: Sequence[str], outcome: str) -> Check:
    """An action, or a rule that ends in one."""

    def check(given: str) -> str:
        if given in actions:
            return ""
        wrong, results = _formula(given, columns, outcome)
        other = [each for each in results if each not in actions]
        if not wrong and (other or not results):
            return f"It must end in one of {', '.join(actions)}{f', not {other[0]}' if other else ''}."
        return wrong

    return check


def _formula(given: str, columns: Sequence[str], outcome: str) -> tuple[str, tuple[str, ...]]:
    """What is wrong with a formula of columns, and the texts it can result in. What happened afterwards is no column to decide by."""
    found = expression(given)
    if found.wrong:
        return f"That is no formula: {found.wrong}.", ()
    missing = [each for each in found.columns if each.lower() not in {name.lower() for name in columns}]
    if missing:
        return f"There is no column {missing[0]}; {did_you_mean(missing[0], columns)}.", ()
    if outcome.lower() in {each.lower() for each in found.columns}:
        return f"{outcome} is not known yet when it is decided; only the other columns are.", ()
    return "", found.results


def is_number(given: str) -> bool:
    """Whether it is a number and nothing else."""
    return re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", given.replace(",", "")) is not None


def currency(given: str) -> str:
    """The code of a currency."""
    return "" if re.fullmatch(r"[A-Z]{3}", given) else "Three capital letters are needed, such as EUR."


def one_of(names: Sequence[str]) -> Check:
    """One of some names."""
    return lambda given: "" if given in names else f"There is no column {given}; {did_you_mean(given, names)}."


def other_than(name: str) -> Check:
    """One word, and not this one."""

    def check(given: str) -> str:
        if not NAME.fullmatch(given):
            return "One word of letters and digits is needed."
        return "" if given != name else "It must differ from the outcome's own name."

    return check


def split(given: str) -> list[str]:
    """What stands between commas."""
    return [each.strip() for each in given.split(",") if each.strip()]


def actions(given: str) -> str:
    """At least two words."""
    names = split(given)
    if len(names) < 2 or len(set(names)) < len(names):
        return "At least two different actions are needed."
    taken = [name for name in names if name in _TAKEN]
    if taken:
        return f"{taken[0]} means something else in a charter: another word is needed."
    odd = [name for name in names if not NAME.fullmatch(name)]
    return f"One word of letters and digits each is needed, not {odd[0]!r}." if odd else ""


def listed(columns: Sequence[str]) -> str:
    """Names, said one after the other."""
    return "one of " + ", ".join(columns)
