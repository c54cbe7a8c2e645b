"""Reads the charter as its owner would: is it said what is wanted, by when, by whom, in words that need no explaining?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from payoff.base.money import plain
from payoff.project import toml
from payoff.project.aloud.words import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from payoff.project.files import Reading
    from payoff.project.toml import Document, Path
    from payoff.records.charter import Charter, QuantitySpec

WORDS = "words.toml"
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_YEAR = r"(?:19|20)\d\d"
_DATE = re.compile(
    rf"\b(?:(?:{_MONTHS})\s+\d{{0,2}},?\s*{_YEAR}|{_YEAR}-\d\d(?:-\d\d)?|[qh][1-4][ /-]?{_YEAR}|{_YEAR}[ /-]?q[1-4]|(?:by|end of|until|in)\s+{_YEAR})\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d.,]*\s?(?:%|‰)?")
_NOBODY = {
    "",
    "tbd",
    "todo",
    "n/a",
    "na",
    "nobody",
    "none",
    "owner",
    "name",
    "xxx",
    "me",
    "team",
    "the team",
    "data science",
    "data scientist",
}
_FEW = 3


def check(reading: Reading, charter: Charter, document: Document) -> None:
    """Remarks on the charter's words: nothing that stops a run, everything that an owner would ask."""
    for path, what, expected, remedy in _remarks(charter):
        reading.warn("PO-C030", what, document.place(path), expected=expected, remedy=f"{remedy} in {document.file}")
    words = _words(reading)
    for path, text in _texts(charter):
        for term in _terms(text, words):
            reading.warn(
                "PO-C031",
                f'{".".join(map(str, path))} says "{term}", which an owner need not know',
                document.place(path),
                expected=f'plain words, such as "{words[term.lower()]}"',
                remedy=f'reword it in {document.file}, or allow it: "{term.lower()}" = "" under [words] in {WORDS}',
            )


def paragraph(charter: Charter) -> str:
    """The two questions of the project, for somebody who knows nothing of models: what the business wants, and what is decided by what."""
    decision, outcome = charter.decision, charter.decision.outcome
    common = "; ".join(
        each.says or (f"always {each.action}" if each.action else each.name) for each in charter.common_solutions
    )
    if charter.quantity is not None:
        return _paragraph_of_quantity(charter, charter.quantity)
    actions = " or ".join(charter.actions)
    promised = charter.accept.min_gain_per_year
    pays = f"brings at least {promised:,f} {charter.currency} a year more than" if promised else "brings more than"
    return (
        f"What the business wants ({charter.objective.owner} answers for it): {_stop(charter.objective.statement)} "
        f"What is decided, {decision.per_year:,} times a year: {_ask(decision.question)} Each time the choice is {actions}. "
        f'To choose well one would have to know whether "{outcome.name}" will be the case, which means: {_stop(outcome.means)} '
        f"The model says how likely that is, and the choice with the highest expected money is taken. "
        f"It is used only if it {pays} what would be done without it: {_stop(common)}"
    )


def _paragraph_of_quantity(charter: Charter, quantity: QuantitySpec) -> str:
    decision, outcome = charter.decision, charter.decision.outcome
    promised = charter.accept.min_gain_per_year
    pays = f"brings at least {promised:,f} {charter.currency} a year more than" if promised else "brings more than"
    unit = f" {quantity.unit}" if quantity.unit else ""
    common = "; ".join(
        each.says or (f"always {each.action}{unit}" if each.action else each.name) for each in charter.common_solutions
    )
    knows = (
        "The model names the quantity."
        if charter.gives == "action"
        else "The model says what is to be expected, and the quantity with the highest expected money is taken."
    )
    return (
        f"What the business wants ({charter.objective.owner} answers for it): {_stop(charter.objective.statement)} "
        f"What is decided, {decision.per_year:,} times a year: {_ask(decision.question)} Each time a quantity is chosen, from"
        f" {plain(quantity.least)} to {plain(quantity.most)}{unit} in steps of {plain(quantity.step)}. "
        f'To choose well one would have to know "{outcome.name}", which means: {_stop(outcome.means)} {knows} '
        f"It is used only if it {pays} what would be done without it: {_stop(common)}"
    )


def _remarks(charter: Charter) -> Iterator[tuple[Path, str, str, str]]:
    objective, outcome = charter.objective, charter.decision.outcome
    statement: Path = ("objective", "statement")
    undated = _DATE.sub(" ", objective.statement)
    numbers = _NUMBER.findall(undated)
    if not numbers:
        yield (
            statement, "the objective names no quantity", "a figure with today's value and the goal: from 4.8 % to 4.0 %",
            "say which figure changes, from what to what,",
        )  # fmt: skip
    elif len(numbers) == 1:
        yield (
            statement, "the objective names one figure only", "today's value and the goal: from 4.8 % to 4.0 %",
            "say both,",
        )  # fmt: skip
    elif len({each.strip(" .,") for each in numbers}) == 1:
        yield (
            statement, "the objective's goal is today's value", "a goal that differs from today's value: from 4.8 % to 4.0 %",
            "say what is to change,",
        )  # fmt: skip
    if not _DATE.search(objective.statement):
        yield statement, "the objective has no date", "a date by which it is reached: by June 2027", "add it"
    if objective.owner.strip().lower() in _NOBODY:
        yield (
            ("objective", "owner"), f"the owner is {objective.owner!r}, which is nobody",
            "the person or role that answers for the money: Head of Retention", "name it",
        )  # fmt: skip
    if len(outcome.means.split()) < _FEW or outcome.means.strip().lower() == outcome.name.lower():
        yield (
            ("decision", "outcome"), f"it is not said what the outcome {outcome.name!r} means",
            "a sentence: cancels within 30 days", "write what happens, and within which time, into means",
        )  # fmt: skip
    if "?" not in charter.decision.question:
        yield (
            ("decision", "question"), "the decision's question is no question",
            "a question that ends in a question mark: Who gets an offer this month?", "ask it",
        )  # fmt: skip
    for each in charter.common_solutions:
        if each.sql is not None and not each.says:
            yield (
                ("common_solutions", each.name), f"the common solution {each.name} is not said in plain words",
                'says = "offer to whoever called more than 3 times"', "add says",
            )  # fmt: skip


def _texts(charter: Charter) -> Iterator[tuple[Path, str]]:
    yield ("objective", "statement"), charter.objective.statement
    yield ("decision", "question"), charter.decision.question
    yield ("decision", "outcome"), charter.decision.outcome.means
    for each in charter.common_solutions:
        if each.says:
            yield ("common_solutions", each.name), each.says


def _words(reading: Reading) -> Mapping[str, str]:
    """The shipped list with what the project adds; a word with an empty text is allowed."""
    document = toml.read(reading, WORDS)
    own = document.table.get("words", {}) if document is not None else {}
    merged = PLAIN | {str(word).lower(): str(said) for word, said in own.items()}
    return {word: said for word, said in merged.items() if said}


def _terms(text: str, words: Mapping[str, str]) -> list[str]:
    """The listed words that a text has, each once, the longer ones first. A word that the text explains in brackets behind it is explained."""
    if not words:
        return []
    listed = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    found = re.finditer(rf"(?<![\w-])({listed})(?![\w-])(?!\s*\()", text, re.IGNORECASE)
    return list(dict.fromkeys(match[1] for match in found))


def _stop(text: str) -> str:
    return text.strip() if text.strip().endswith((".", "!", "?")) else f"{text.strip()}."


def _ask(text: str) -> str:
    return text.strip() if text.strip().endswith("?") else f"{text.strip()}?"
