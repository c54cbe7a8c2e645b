"""contracts/*.yaml: what each table promises, in the Open Data Contract Standard (ODCS v3)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base import hashing, text
from payoff.project.contracts import marks, quality, standard
from payoff.project.contracts.column import Property
from payoff.project.contracts.notes import Notes
from payoff.project.contracts.quality import Problem
from payoff.records.contract import Column, Contract, TableCheck

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.project.contracts.marks import Document
    from payoff.project.files import Reading

    Path_ = tuple[str | int, ...]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_FRESHNESS = ("freshness", "fr")


def read(reading: Reading, file: str) -> tuple[tuple[Contract, ...], dict[str, dict[str, str]]]:
    """The contracts in one file, and for each table the columns by the names of its properties. What is wrong is a finding."""
    document = marks.read(reading, file)
    if document is None:
        return (), {}
    notes = Notes(document, reading)
    # Loading a library for JSON schemas takes longer than all the rest; a contract that keeps to the standard always does.
    keeps = partial(standard.keeps, document.data)
    if not reading.remembered("standard", reading.digest(file), bool, keeps, decides=False):
        for path, problem in standard.problems(document.data):
            notes.find(problem, path)
        return (), {}
    return tuple(_File(document, notes).contracts), notes.names


class _File:
    """The tables of one contract file."""

    def __init__(self, document: Document, notes: Notes) -> None:
        self.document = document
        self.notes = notes
        self.contracts: list[Contract] = []
        tables = document.data.get("schema") or []
        for table in tables:
            notes.name(table)
        for index, table in enumerate(tables):
            self._table(table, ("schema", index))
        if not tables:
            what, expected = "the contract has no table", "a schema with one table or more"
            notes.find(Problem("PO-P075", "error", what, expected, "schema"), ())

    def _table(self, table: dict[str, Any], path: Path_) -> None:
        name = table["name"]
        if any(contract.table == name for contract in self.contracts):
            what = f"the table {name} is there twice"
            self.notes.find(Problem("PO-P076", "error", what, "one schema entry for each table", "name"), path)
            return
        columns: list[Column] = []
        checks: list[TableCheck] = []
        for index, prop in enumerate(table.get("properties", ())):
            column = Property(self.notes, name, prop, (*path, "properties", index))
            columns.append(column.made())
            checks += column.checks
        names = [column.name for column in columns]
        for column_name in {each for each in names if names.count(each) > 1}:
            what = f"the column {column_name} is there twice in {name}"
            self.notes.find(Problem("PO-P076", "error", what, "each column once", "properties"), path)
        keys = [self.notes.names[name][p["name"]] for p in table.get("properties", ()) if p.get("primaryKey")]
        if len(keys) > 1:
            line = self.document.line(path)
            checks.append(TableCheck(kind="unique", name="primary key", columns=tuple(keys), line=line))
        checks += self._rules(table, name, path)
        checks += self._service_levels(name, names)
        data = self.document.data
        contract = Contract(
            table=name,
            file=self.document.file,
            version=str(data["version"]),
            columns=self._related(table, name, columns, path),
            checks=tuple(checks),
            description=table.get("description", ""),
            epsilon=self._epsilon(table, path),
        )
        self.contracts.append(msgspec.structs.replace(contract, digest=digest(contract)))

    def _epsilon(self, table: dict[str, Any], path: Path_) -> float | None:
        """The custom property `epsilon` of a table: its budget."""
        for index, custom in enumerate(table.get("customProperties", ())):
            value = custom["value"]
            if custom["property"] != "epsilon":
                continue
            if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf"):
                return float(value)
            what, here = f"epsilon of {table['name']} is no budget", (*path, "customProperties", index)
            self.notes.find(Problem("PO-P075", "error", what, "a number above 0", "value"), here)
        return None

    def _rules(self, table: dict[str, Any], name: str, path: Path_) -> Iterator[TableCheck]:
        for index, rule in enumerate(table.get("quality", ())):
            here = (*path, "quality", index)
            made = quality.promise(rule, name, "", self.document.line(here))
            for problem in made.problems:
                self.notes.find(problem, here)
            for check in made.checks:
                known = self.notes.names[name]
                yield msgspec.structs.replace(check, columns=tuple(known.get(each, each) for each in check.columns))

    def _related(self, table: dict[str, Any], name: str, columns: list[Column], path: Path_) -> tuple[Column, ...]:
        """The columns, with the relationships that stand at the table."""
        found = {column.name: column for column in columns}
        for index, relation in enumerate(table.get("relationships", ())):
            here = (*path, "relationships", index)
            sides = [value if isinstance(value, list) else [value] for value in (relation["from"], relation["to"])]
            if len(sides[0]) != 1 or len(sides[1]) != 1:
                self.notes.find(quality.not_checked("a foreign key over several columns"), here)
                continue
            ours, theirs = self.notes.reference(sides[0][0], here), self.notes.reference(sides[1][0], here)
            if ours is None or theirs is None:
                continue
            column = found.get(self.notes.names.get(name, {}).get(ours[1], ours[1]))
            if ours[0] != name or column is None:
                what = f"the relationship's from names no column of {name}"
                self.notes.find(Problem("PO-P079", "error", what, text.did_you_mean(ours[1], found), "from"), here)
            elif column.references is not None:
                self.notes.find(quality.not_checked(f"a second foreign key of {column.name}"), here)
            else:
                found[column.name] = msgspec.structs.replace(column, references=theirs)
        return tuple(found.values())

    def _service_levels(self, table: str, columns: list[str]) -> Iterator[TableCheck]:
        data = self.document.data
        for index, level in enumerate(data.get("slaProperties") or ()):
            path = ("slaProperties", index)
            element = str(level.get("element") or data.get("slaDefaultElement") or "")
            owner, _, column = element.rpartition(".")
            if str(level["property"]).lower() not in _FRESHNESS:
                if table == self.document.data["schema"][0]["name"]:
                    self.notes.find(quality.not_checked(f"the service level {level['property']}", "property"), path)
                continue
            if owner not in ("", table) or (not owner and len(data["schema"]) > 1 and column not in columns):
                continue
            column = self.notes.names[table].get(column, column)
            seconds = _seconds(level)
            if column not in columns or seconds is None:
                what = "freshness needs the element (TABLE.COLUMN), a value and a unit"
                self.notes.find(Problem("PO-P075", "error", what, "element: a column; unit: s, m, h, d, w or y"), path)
                continue
            yield TableCheck(
                kind="freshness",
                name=f"freshness of {column}",
                column=column,
                maximum=seconds,
                line=self.document.line(path),
            )


def _seconds(level: dict[str, Any]) -> float | None:
    unit = str(level.get("unit", "")).lower()
    unit = {"min": "m", "mins": "m", "minute": "m", "minutes": "m", "sec": "s", "hr": "h", "yr": "y"}.get(
        unit, unit[:1]
    )
    try:
        return float(level["value"]) * _SECONDS[unit]
    except (TypeError, ValueError, KeyError):
        return None


def digest(contract: Contract) -> str:
    """The digest of what a contract says, wherever its lines stand."""
    plain = msgspec.to_builtins(contract)
    del plain["epsilon"]  # rows are not held against it
    for part in (plain, *plain["columns"], *plain["checks"]):
        for key in ("line", "file", "digest"):
            part.pop(key, None)
    return hashing.of_json(plain)
