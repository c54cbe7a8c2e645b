"""Point-in-time joins in payoff.toml (and what those in the pipeline share with them): each becomes a step, as a query in `sql/` does."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base import hashing
from payoff.project.spec import Key, Section
from payoff.records.finding import Place
from payoff.records.joins.as_of import AsOf, Join
from payoff.records.project import Input, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from payoff.project.files import Reading
    from payoff.project.toml import Document

FILE = "payoff.toml"
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
FACTS = Section(
    {
        "by": Key(
            "texts",
            'the columns by which a fact belongs to a row, as ["product_id"] or ["product_id = id"] (default: none, one history for all)',
        ),
        "valid": Key("text", "the column with the time from which a fact holds", required=True),
        "known": Key("text", "the column with the time at which a fact arrived (default: when it begins to hold)"),
        "within": Key(
            "text",
            "the greatest age of a fact",
            pattern=rf"[0-9]{{1,9}} ?({'|'.join(_SECONDS)})s?",
            pattern_says='a number of seconds, minutes, hours, days or weeks, as "30 days"',
        ),
        "columns": Key("texts", "the columns that are taken over", required=True),
        "prefix": Key("text", "what their names begin with in the new table (default: nothing)"),
    },
    "a table of facts, and how they belong to the rows",
)
SPEC = Section(
    {},
    "tables in which each row has what was known at its own time",
    other=Section(
        {
            "rows": Key("text", "the table whose rows these are, each once and in its order", required=True),
            "at": Key("text", "the column with the row's own time", required=True),
            "as_of": Section({}, "the tables of facts", required=True, other=FACTS),
        },
        "a table that steps take by this name",
    ),
)


Wrong = Callable[[str, str, int], None]  # what is wrong, what is expected, in which line


def steps(document: Document, reading: Reading) -> Iterator[Step]:
    """The joins that payoff.toml declares, as steps; what is wrong with one becomes a finding."""

    def wrong(what: str, expected: str, line: int) -> None:
        refuse(reading, Place(FILE, line), what, expected)

    for name, section in document.table.get("joins", {}).items():
        path = ("joins", name)
        facts = tuple(
            facts_of(table, each, document.line((*path, "as_of", table))) for table, each in section["as_of"].items()
        )
        join = Join(name=name, rows=section["rows"], at=section["at"], as_of=facts, line=document.line(path))
        if sound(join, wrong):
            yield step(join)


def refuse(reading: Reading, place: Place, what: str, expected: str) -> None:
    """Report a join that is declared in a wrong way."""
    remedy = f"correct it in {place.file}:{place.line}, then: payoff check"
    reading.error("PO-P016", what, place, expected=expected, remedy=remedy)


def facts_of(table: str, section: Mapping[str, Any], line: int) -> AsOf:
    """A table of facts as its section says; the kinds of its values have been held against `FACTS`."""
    within = section.get("within", "")
    pairs = [[part.strip() for part in each.split("=", 1)] for each in section.get("by", ())]
    return AsOf(
        table=table,
        by=tuple((pair[0], pair[-1]) for pair in pairs),
        valid=section["valid"],
        known=section.get("known", ""),
        within=_seconds(within) if within else None,
        columns=tuple(section["columns"]),
        prefix=section.get("prefix", ""),
        line=line,
    )


def _seconds(text: str) -> int:
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    return int(number) * _SECONDS[text.removeprefix(number).strip().removesuffix("s")]


def sound(join: Join, wrong: Wrong) -> bool:
    """Whether steps can take it by its name, there are facts, and each of their columns has a name of its own."""
    if not re.fullmatch(_NAME, join.name) or join.name in ("train", "holdout"):
        expected = "a name that can be a parameter of a function, other than train and holdout"
        wrong(f"a join cannot be named {join.name!r}", expected, join.line)
        return False
    if not join.as_of:
        wrong(f"the join {join.name} takes no facts", "a table of facts, and how they belong to the rows", join.line)
        return False
    seen: dict[str, str] = {}
    for facts in join.as_of:
        if not facts.columns or not all(left and right for left, right in facts.by):
            wrong(f"the facts of {facts.table} name no column", "the names of columns in by and columns", facts.line)
            return False
        for name in (facts.prefix + column for column in facts.columns):
            if name.lower() in seen:
                what = f"the join {join.name} would have two columns named {name}, of {seen[name.lower()]} and {facts.table}"
                wrong(what, 'a prefix of their own, as prefix = "price_"', facts.line)
                return False
            seen[name.lower()] = facts.table
    return True


def step(join: Join) -> Step:
    """The step that the join is."""
    code = hashing.of_json(_meaning(join))
    tables = dict.fromkeys((join.rows, *(facts.table for facts in join.as_of)))
    return Step(
        name=join.name,
        kind="sql",
        file=join.file,
        line=join.line,
        inputs=tuple(Input(name=table, form="ibis") for table in tables),
        output="ibis",
        sql=join.sql(),
        join=join,
        code=code,
        parts={f"[joins.{join.name}]": code},
    )


def _meaning(join: Join) -> Any:
    """What the join says, wherever it stands."""
    facts = tuple(msgspec.structs.replace(each, line=0) for each in join.as_of)
    said = msgspec.to_builtins(msgspec.structs.replace(join, as_of=facts, line=0))
    return {name: value for name, value in said.items() if name != "file"}
