"""The questions that make a charter, one at a time; each answer is looked at before the next question comes."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import msgspec

from payoff.base.errors import PayoffError
from payoff.base.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    Check = Callable[[str], str]  # what is wrong with an answer; nothing when it is fine
    Answers = dict[str, str]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask, why, an example; what is taken when nothing is typed; and what was wrong with the answer before."""

    ask: str
    why: str = ""
    default: str = ""
    wrong: str = ""


class Interview(msgspec.Struct, frozen=True, kw_only=True):
    """The files that the answers make: name -> text."""

    files: dict[str, str]


def interview(columns_of: Callable[[str], Sequence[str]]) -> Generator[Question, str, Interview]:
    """Yields questions, takes answers, and ends with the files. `columns_of` gives the columns of a data file, or raises a `PayoffError`."""
    seen: dict[str, Sequence[str]] = {}

    def data(answer: str) -> str:
        try:
            seen[answer] = columns_of(answer)
        except PayoffError as error:
            return f"{error.what}."
        return ""

    statement = yield from _ask(
        "What does the business want? Which figure changes, from what to what, by when?",
        why="Keep more paying subscribers: bring monthly churn from 4.8 % to 4.0 % by June 2027.", check=_sentence,
    )  # fmt: skip
    owner = yield from _ask("Who answers for that?", why="a person or a role: Head of Retention", check=_something)
    question = yield from _ask(
        "What is decided, again and again?", why="Which subscribers get an offer this month?", check=_sentence
    )
    per_year = yield from _ask("How many such decisions are there a year?", check=_whole)
    file = yield from _ask(
        "Which file has decisions of the past, one per row, with what came of them?",
        why="CSV, Parquet or JSON lines, such as ../data/customers.csv", check=data,
    )  # fmt: skip
    columns = seen[file]
    identity = yield from _ask("Which column names a row?", why=_listed(columns), check=_one_of(columns))
    outcome = yield from _ask(
        "Which column says what happened afterwards?", why=_listed(columns), check=_one_of(columns)
    )
    positive = yield from _ask(
        f"Which value of {outcome} is the case that matters?", why="true, 1, yes ...", default="true", check=_something
    )
    means = yield from _ask("What does that mean, in plain words?", why="cancels within 30 days", check=_sentence)
    opposite = yield from _ask("What is the opposite called?", default="otherwise", check=_other_than(outcome))
    currency = yield from _ask("In which currency is money counted?", default="EUR", check=_currency)
    listed = yield from _ask(
        "What can be done each time? The actions, with commas between them; doing nothing is one, too.",
        default="offer, nothing", check=_actions,
    )  # fmt: skip
    actions = _split(listed)
    cells = {}
    for action in actions:
        for case, name in ((f"it is the case that matters ({means})", outcome), ("it is not", opposite)):
            cells[action, name] = yield from _ask(
                f"What does it bring or cost the business to do '{action}' when {case}?",
                why=f"an amount in {currency} (costs with a minus), or a formula of columns: 0.3 * lifetime_value - 5",
                default="0", check=_money,
            )  # fmt: skip
    common = yield from _ask(
        "What would be done without a model?",
        why=f"one of {', '.join(actions)} for everybody, or a rule in SQL: case when calls > 3 then '{actions[0]}' else '{actions[-1]}' end",
        default=actions[-1], check=_something,
    )  # fmt: skip
    says = ""
    if common not in actions:
        says = yield from _ask("Say that rule in plain words.", check=_sentence)
    costs = yield from _costs(currency)
    answers = {
        "statement": statement, "owner": owner, "question": question, "per_year": per_year, "file": file, "id": identity,
        "outcome": outcome, "positive": positive, "means": means, "currency": currency, "common": common, "says": says,
        **costs,
    }  # fmt: skip
    return Interview(files={"charter.toml": _charter(answers, actions, cells), "payoff.toml": _config(file)})


def _costs(currency: str) -> Generator[Question, str, Answers]:
    build = yield from _ask(f"What does building a model cost, once, in {currency}?", default="0", check=_number)
    run = yield from _ask(f"What does running it cost a year, in {currency}?", default="0", check=_number)
    promised = yield from _ask(
        f"What must it earn more a year to be worth the trouble, in {currency}?", default="0", check=_number
    )
    return {"build": build, "run": run, "promised": promised}


def _ask(ask: str, *, why: str = "", default: str = "", check: Check) -> Generator[Question, str, str]:
    wrong = ""
    while True:
        given = (yield Question(ask=ask, why=why, default=default, wrong=wrong)).strip() or default
        wrong = check(given)
        if not wrong:
            return given


def _something(given: str) -> str:
    return "" if given else "An answer is needed."


def _sentence(given: str) -> str:
    return "" if len(given.split()) > 1 else "A few words are needed, so that somebody else understands it."


def _whole(given: str) -> str:
    plain = given.replace(",", "").replace("_", "").replace(" ", "")
    return "" if plain.isdigit() and int(plain) > 0 else "A whole number is needed, such as 120000."


def _number(given: str) -> str:
    return "" if re.fullmatch(r"\d+(\.\d+)?", given.replace(",", "")) else "An amount is needed, such as 12000."


def _money(given: str) -> str:
    return "" if given else "An amount or a formula is needed; 0 when nothing happens."


def _currency(given: str) -> str:
    return "" if re.fullmatch(r"[A-Z]{3}", given) else "Three capital letters are needed, such as EUR."


def _one_of(names: Sequence[str]) -> Check:
    return lambda given: "" if given in names else f"There is no column {given}; {did_you_mean(given, names)}."


def _other_than(name: str) -> Check:
    def check(given: str) -> str:
        if not _NAME.fullmatch(given):
            return "One word of letters and digits is needed."
        return "" if given != name else "It must differ from the outcome's own name."

    return check


def _split(given: str) -> list[str]:
    return [each.strip() for each in given.split(",") if each.strip()]


def _actions(given: str) -> str:
    names = _split(given)
    if len(names) < 2 or len(set(names)) < len(names):
        return "At least two different actions are needed."
    odd = [name for name in names if not _NAME.fullmatch(name) or name == "currency"]
    return f"One word of letters and digits each is needed, not {odd[0]!r}." if odd else ""


def _listed(columns: Sequence[str]) -> str:
    return "one of " + ", ".join(columns)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(value: str) -> str:
    return value.replace(",", "").replace("_", "").replace(" ", "")


def _scalar(value: str) -> str:
    return value.lower() if value.lower() in ("true", "false") or value.isdigit() else _text(value)


def _cell(value: str) -> str:
    plain = value.replace(",", "")
    if re.fullmatch(r"[-+]?\d+(\.\d+)?", plain):
        return plain
    return _text(value)


def _charter(answers: Answers, actions: Sequence[str], cells: dict[tuple[str, str], str]) -> str:
    money = "\n".join(f"{action}.{_key(outcome)} = {_cell(value)}" for (action, outcome), value in cells.items())
    fixed = "\n".join(f"always_{action} = {{ action = {_text(action)} }}" for action in actions)
    rule = ""
    if answers["common"] not in actions:
        rule = f"\ntoday = {{ sql = {_text(answers['common'])}, says = {_text(answers['says'])} }}"
    return f"""#:schema ./schemas/charter.schema.json
# Why: the decision, and what it is worth.
[objective]
statement = {_text(answers["statement"])}
owner = {_text(answers["owner"])}

[decision]
question = {_text(answers["question"])}
examples = "examples"
id = {_text(answers["id"])}
outcome = {{ column = {_text(answers["outcome"])}, positive = {_scalar(answers["positive"])}, means = {_text(answers["means"])} }}
per_year = {_plain(answers["per_year"])}

# Money per decision: a number, or an SQL expression over the row.
[payoff]
currency = {_text(answers["currency"])}
{money}

# What would be done without a model; always evaluated beside it.
[common_solutions]
{fixed}{rule}

[split]
by = "hash"
on = {_text(answers["id"])}
holdout = 0.3

[costs]
build = {_plain(answers["build"])}
run_per_year = {_plain(answers["run"])}

[accept]
confidence = 0.95
min_gain_per_year = {_plain(answers["promised"])}
"""


def _key(name: str) -> str:
    return name if _NAME.fullmatch(name) else _text(name)


def _config(file: str) -> str:
    return f"""#:schema ./schemas/payoff.schema.json
# How: where the data is and where runs are tracked. Secrets only as ${{ENV_VAR}} references.
[project]
name = "{{{{name}}}}"

[sources.examples]
kind = "files"
path = {_text(os.path.abspath(file))}
"""
