"""SQL: one query over the tables that were given, and what DuckDB says of it without the values of the data."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import duckdb

from payoff.adapters.engines.duckdb.files import full
from payoff.base.errors import Bug, OutsideError, UserError

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.adapters.engines.duckdb.memory import Budget

# Functions that make rows out of their arguments alone. All others read files, change settings (one ends the process when it
# meets a closed file system), or run SQL that was not looked at.
_MAKES_ROWS = {
    "generate_series", "histogram", "histogram_values", "json_each", "json_tree", "range", "repeat", "repeat_row", "summary", "unnest",
}  # fmt: skip
# What DuckDB says of a query before it reads a row: its words come from the SQL.
_SAID_OF_SQL = ("Parser", "Syntax", "Binder", "Catalog", "Permission")
# What it says of values, up to where the value would stand.
_SAID_OF_VALUES = re.compile(
    r"Could not convert string|Type [A-Z][A-Z0-9_]* with value|Could not cast value|Could not parse string|Malformed JSON"
    r"|[Ii]nvalid (?:date|time|timestamp) field format|(?:date|time|timestamp) field value out of range|Date out of range"
    r"|Overflow in [a-z]+ of [A-Z0-9]+|Cannot cast array of size|[Cc]annot take [a-z ]+ of a negative number|Map keys must be unique"
    r"|Invalid input for hex digit|Invalid type specifier|More than one row returned by a subquery|Unimplemented type for cast"
)
_CAST = re.compile(
    r" (?:to|type) (U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?\d*|DECIMAL\(\d+,\d+\)|BOOL|INTERVAL|FLOAT|DOUBLE|DATE|TIME|TIMESTAMP|UUID)"
    r"(?: when casting from source column (.+))?$"
)
_ERROR = re.compile(r"^([A-Z][A-Za-z ]*) Error: (.*)$", re.DOTALL)


def one(sql: str, cursor: duckdb.DuckDBPyConnection) -> str:
    """Exactly one statement, one that only reads, and only the tables it was given."""
    statements = duckdb.extract_statements(sql)
    tree: dict[str, Any] = {"error": True}
    if len(statements) == 1 and statements[0].type == duckdb.StatementType.SELECT:
        answer = cursor.execute("select json_serialize_sql($1)", [statements[0].query]).fetchone()
        tree = json.loads(answer[0]) if answer else tree
    if tree["error"]:
        raise UserError(
            f"the SQL holds {len(statements)} statements" if len(statements) != 1 else "the SQL is not a query",
            code="PO-E001",
            expected="one SELECT (or WITH ... SELECT)",
            remedy="keep one query per step; other statements belong in steps of their own",
        )
    parts: list[Any] = [tree]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            if part.get("type") == "TABLE_FUNCTION" and part["function"]["function_name"].lower() not in _MAKES_ROWS:
                raise UserError(
                    f"the query reads from {part['function']['function_name']}()",
                    code="PO-E008",
                    expected=f"tables that the step was given, or one of {', '.join(sorted(_MAKES_ROWS))}",
                    remedy="declare the file as a table in payoff.toml, and name the table in the query",
                )
            parts.extend(part.values())
        elif isinstance(part, list):
            parts.extend(part)
    return sql


class Said:
    """What DuckDB says of wrong SQL, without the values of the data."""

    def __init__(self, sql: str, spill: Path, budget: Budget) -> None:
        self.sql = sql
        self.spill = spill
        self.budget = budget

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # An error in the middle of a stream comes through Arrow as an OSError with DuckDB's words in it.
        if not isinstance(error, (duckdb.Error, OSError)) or isinstance(error, duckdb.InterruptException):
            return
        said = _ERROR.match(str(error))
        if said is None and isinstance(error, OSError):
            return
        family, text = (said[1], said[2]) if said else ("", str(error))
        if family == "Out of Memory":
            raise self.budget.short() from None
        if family == "IO" and "space" in text:
            raise full(self.spill) from None
        if family == "IO":
            raise OutsideError(
                f"the engine cannot use its temporary folder {self.spill}",
                code="PO-E010",
                expected="a folder that this user may write to",
                remedy=f"look at its owner and rights: ls -ld {self.spill}",
            ) from error
        if family in ("INTERNAL", "FATAL"):
            raise Bug(
                "the engine itself failed on this query",
                code="PO-E009",
                expected="an answer, or an error in the SQL",
                remedy="write the query in another way; please report it with the query",
            ) from error
        raise UserError(
            f"the query cannot be run: {_without_values(family, text, self.sql)}",
            code="PO-E002",
            expected="SQL in DuckDB's dialect over the tables named in it",
            remedy="correct the query; payoff check names the file and line of every step",
        ) from None


def _without_values(family: str, text: str, sql: str) -> str:
    """DuckDB's message, without values of the data: what it says of the SQL stays; of what it says of values only words known beforehand."""
    if family in _SAID_OF_SQL:
        return f"{family} Error: " + " ".join(text.split("\nLINE", 1)[0].split("\n\n", 1)[0].split())[:500]
    text = text.rpartition("\n\nLINE ")[0] or text
    known = _SAID_OF_VALUES.match(text)
    words = f"{family} Error: " + (
        known[0] if known else "a value does not fit (DuckDB's words are left out, they may hold data)"
    )
    cast = _CAST.search(text)
    if known and cast:
        words += f" … to {cast[1]}"
        if cast[2] and cast[2] in sql:
            words += f", column {cast[2]}"
    return words
