"""The questions that make a charter, one at a time; each answer is looked at before the next question comes."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from payoff.flows.interviews import answers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    Check = Callable[[str], str]  # what is wrong with an answer; nothing when it is fine
    Answers = dict[str, str]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask, why, an example; what is taken when nothing is typed; and what was wrong with the answer before."""

    ask: str
    why: str = ""
    default: str = ""
    wrong: str = ""


class Interview(msgspec.Struct, frozen=True, kw_only=True):
    """The files that the answers make: name -> text."""

    files: dict[str, str]


def interview(
    columns_of: Callable[[str], Sequence[str]], values_of: Callable[[str, str], Sequence[str]]
) -> Generator[Question, str, Interview]:
    """Yields questions, takes answers, and ends with the files. `columns_of` gives the columns of a data file, or raises a `PayoffError`;
    `values_of` the most frequent values of one of them.
    """
    seen: dict[str, Sequence[str]] = {}
    statement = yield from _ask(
        "What does the business want? Which figure changes, from what to what, by when?",
        why="Keep more paying subscribers: bring monthly churn from 4.8 % to 4.0 % by June 2027.", check=answers.sentence,
    )  # fmt: skip
    owner = yield from _ask(
        "Who answers for that?", why="a person or a role: Head of Retention", check=answers.something
    )
    question = yield from _ask(
        "What is decided, again and again?", why="Which subscribers get an offer this month?", check=answers.sentence
    )
    per_year = yield from _ask("How many such decisions are there a year?", check=answers.whole)
    file = yield from _ask(
        "Which file has decisions of the past, one per row, with what came of them?",
        why="CSV, Parquet or JSON lines, such as ../data/customers.csv", check=answers.data(columns_of, seen),
    )  # fmt: skip
    columns = seen[file]
    identity = yield from _ask("Which column names a row?", why=answers.listed(columns), check=answers.one_of(columns))
    outcome = yield from _ask(
        "Which column says what happened afterwards?", why=answers.listed(columns),
        check=answers.filled(columns, lambda column: values_of(file, column)),
    )  # fmt: skip
    values = [each.lower() if each.lower() in ("true", "false") else each for each in values_of(file, outcome)]
    positive = yield from _ask(
        f"Which value of {outcome} is the case that matters?",
        why=f"it has {', '.join(values)}", default=answers.likely(values), check=answers.seen(outcome, values),
    )  # fmt: skip
    means = yield from _ask(
        "What does that mean, in plain words?", why="cancels within 30 days", check=answers.sentence
    )
    opposite = yield from _ask("What is the opposite called?", default="otherwise", check=answers.other_than(outcome))
    currency = yield from _ask("In which currency is money counted?", default="EUR", check=answers.currency)
    listed = yield from _ask(
        "What can be done each time? The actions, with commas between them; doing nothing is one, too.",
        default="offer, nothing", check=answers.actions,
    )  # fmt: skip
    actions = answers.split(listed)
    cells = {}
    for action in actions:
        for case, name in ((f"it is the case that matters ({means})", outcome), ("it is not", opposite)):
            cells[action, name] = yield from _ask(
                f"What does it bring or cost the business to do '{action}' when {case}?",
                why=f"an amount in {currency} (costs with a minus), or a formula of columns: 0.3 * lifetime_value - 5",
                default="0", check=answers.money(currency, columns, outcome),
            )  # fmt: skip
    common, says = yield from _today(actions, columns, outcome)
    costs = yield from _costs(currency)
    given = {
        "statement": statement, "owner": owner, "question": question, "per_year": per_year, "file": file, "id": identity,
        "outcome": outcome, "positive": positive, "means": means, "currency": currency, "common": common, "says": says,
        **costs,
    }  # fmt: skip
    return Interview(files={"charter.toml": _charter(given, actions, cells), "payoff.toml": _config(file)})


def _today(actions: Sequence[str], columns: Sequence[str], outcome: str) -> Generator[Question, str, tuple[str, str]]:
    common = yield from _ask(
        "What would be done without a model?",
        why=f"one of {', '.join(actions)} for everybody, or a rule in SQL: case when calls > 3 then '{actions[0]}' else '{actions[-1]}' end",
        default=actions[-1], check=answers.rule(actions, columns, outcome),
    )  # fmt: skip
    says = ""
    if common not in actions:
        says = yield from _ask("Say that rule in plain words.", check=answers.sentence)
    return common, says


def _costs(currency: str) -> Generator[Question, str, Answers]:
    build = yield from _ask(f"What does building a model cost, once, in {currency}?", default="0", check=answers.number)
    run = yield from _ask(f"What does running it cost a year, in {currency}?", default="0", check=answers.number)
    promised = yield from _ask(
        f"What must it earn more a year to be worth the trouble, in {currency}?", default="0", check=answers.number
    )
    return {"build": build, "run": run, "promised": promised}


def _ask(ask: str, *, why: str = "", default: str = "", check: Check) -> Generator[Question, str, str]:
    wrong = ""
    while True:
        given = (yield Question(ask=ask, why=why, default=default, wrong=wrong)).strip() or default
        wrong = check(given)
        if not wrong:
            return given


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: str) -> str:
    """As TOML writes it, which knows no commas between digits and no zeros before them."""
    return format(Decimal(answers.plain(value)), "f")


def _scalar(value: str) -> str:
    """A value of a column: true, false, a whole number or a text; `01` is the code of something, not the number 1."""
    whole = value.isascii() and value.isdigit() and str(int(value)) == value
    return value.lower() if value.lower() in ("true", "false") or whole else _text(value)


def _cell(value: str) -> str:
    return _number(value) if answers.is_number(value) else _text(value)


def _charter(given: Answers, actions: Sequence[str], cells: dict[tuple[str, str], str]) -> str:
    money = "\n".join(f"{action}.{_key(outcome)} = {_cell(value)}" for (action, outcome), value in cells.items())
    fixed = "\n".join(f"always_{action} = {{ action = {_text(action)} }}" for action in actions)
    rule = ""
    if given["common"] not in actions:
        rule = f"\ntoday = {{ sql = {_text(given['common'])}, says = {_text(given['says'])} }}"
    return f"""#:schema ./schemas/charter.schema.json
# Why: the decision, and what it is worth.
[objective]
statement = {_text(given["statement"])}
owner = {_text(given["owner"])}

[decision]
question = {_text(given["question"])}
examples = "examples"
id = {_text(given["id"])}
outcome = {{ column = {_text(given["outcome"])}, positive = {_scalar(given["positive"])}, means = {_text(given["means"])} }}
per_year = {_number(given["per_year"])}

# Money per decision: a number, or an SQL expression over the row.
[payoff]
currency = {_text(given["currency"])}
{money}

# What would be done without a model; always evaluated beside it.
[common_solutions]
{fixed}{rule}

[split]
by = "hash"
on = {_text(given["id"])}
holdout = 0.3

[costs]
build = {_number(given["build"])}
run_per_year = {_number(given["run"])}

[accept]
confidence = 0.95
min_gain_per_year = {_number(given["promised"])}
"""


def _key(name: str) -> str:
    return name if answers.NAME.fullmatch(name) else _text(name)


def _config(file: str) -> str:
    return f"""#:schema ./schemas/payoff.schema.json
# How: where the data is and where runs are tracked. Secrets only as ${{ENV_VAR}} references.
[project]
name = "{{{{name}}}}"

[sources.examples]
kind = "files"
path = {_text(os.path.abspath(file))}
"""
