"""contracts/*.yaml: what each table promises, in the Open Data Contract Standard (ODCS v3)."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from jsonschema import Draft201909Validator

from payoff.base import hashing, text
from payoff.project import marks, quality
from payoff.project.quality import Problem
from payoff.records.contract import Column, Contract, TableCheck

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema import ValidationError

    from payoff.project.files import Reading
    from payoff.project.marks import Document

    Path_ = tuple[str | int, ...]

SCHEMA = Path(__file__).parent.parent / "schemas" / "odcs-v3.json"
TYPES = ("string", "date", "timestamp", "time", "number", "integer", "object", "array", "boolean")
_OURS = ("known", "knownWhy", "currency")
_OPTIONS = {"minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"}
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_FRESHNESS = ("freshness", "fr")


def read(reading: Reading, file: str) -> tuple[tuple[Contract, ...], dict[str, dict[str, str]]]:
    """The contracts in one file, and for each table the columns by the names of its properties. What is wrong is a finding."""
    document = marks.read(reading, file)
    if document is None:
        return (), {}
    made = _File(document, reading)
    return tuple(made.contracts), made.names


@cache
def _standard() -> dict[str, Any]:
    """The standard's JSON schema; its rules for maps and vectors made to hold for these only."""
    schema: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for rule in schema["$defs"]["SchemaBaseProperty"]["allOf"]:
        for condition in (rule.get("if", {}), *rule.get("if", {}).get("anyOf", ())):
            if "properties" in condition:
                condition["required"] = ["logicalType"]
    return schema


class _File:
    def __init__(self, document: Document, reading: Reading) -> None:
        self.document = document
        self.reading = reading
        self.contracts: list[Contract] = []
        self.names: dict[str, dict[str, str]] = {}
        self.ids: dict[str, tuple[str, str]] = {}
        if self._valid():
            for index, table in enumerate(document.data.get("schema") or ()):
                self._name(table)
                self._table(table, ("schema", index))
            if not self.contracts:
                self.find(
                    Problem(
                        "PO-P075", "error", "the contract has no table", "a schema with one table or more", "schema"
                    ),
                    (),
                )

    def find(self, problem: Problem, path: Path_) -> None:
        """Keep a problem as a finding, with its place."""
        place = self.document.place((*path, problem.key) if problem.key else path)
        self.reading.find(
            problem.severity,
            problem.code,
            problem.what,
            place,
            expected=problem.expected,
            remedy=f"change {place.file}:{place.line}, then: payoff check",
        )

    def _valid(self) -> bool:
        data = self.document.data
        version = data.get("apiVersion") if isinstance(data, dict) else None
        if isinstance(version, str) and version.startswith("v2"):
            what, expected = f"the contract is in version {version} of the standard", "apiVersion: v3.1.0 (ODCS v3)"
            self.find(Problem("PO-P073", "error", what, expected, "apiVersion"), ())
            return False
        errors = list(Draft201909Validator(_standard()).iter_errors(data))
        leaves = [leaf for error in errors for leaf in _leaves(error)]
        real = [leaf for leaf in leaves if leaf.validator != "unevaluatedProperties"]
        broken = {tuple(leaf.absolute_path) for leaf in real}
        found: dict[tuple[Path_, str], Problem] = {}
        for leaf in leaves:
            path = tuple(leaf.absolute_path)
            hidden = any(other[: len(path)] == path for other in broken)
            if leaf.validator != "unevaluatedProperties" or not hidden:
                found |= {(path, problem.what): problem for problem in _problems(leaf)}
        for (path, _), problem in found.items():
            self.find(problem, path)
        return not errors

    def _name(self, table: dict[str, Any]) -> None:
        columns = self.names.setdefault(table["name"], {})
        for prop in table.get("properties", ()):
            columns[prop["name"]] = prop.get("physicalName") or prop["name"]
            for name in (prop["name"], prop.get("id")):
                for owner in (table["name"], table.get("id")):
                    if name and owner:
                        self.ids[f"{owner}/{name}"] = (table["name"], prop["name"])

    def _table(self, table: dict[str, Any], path: Path_) -> None:
        name = table["name"]
        if any(contract.table == name for contract in self.contracts):
            what = f"the table {name} is there twice"
            self.find(Problem("PO-P076", "error", what, "one schema entry for each table", "name"), path)
            return
        columns: list[Column] = []
        checks: list[TableCheck] = []
        for index, prop in enumerate(table.get("properties", ())):
            column = _Property(self, name, prop, (*path, "properties", index))
            columns.append(column.made())
            checks += column.checks
        names = [column.name for column in columns]
        for column_name in {each for each in names if names.count(each) > 1}:
            what = f"the column {column_name} is there twice in {name}"
            self.find(Problem("PO-P076", "error", what, "each column once", "properties"), path)
        keys = [column.name for column in columns if column.primary_key]
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
        )
        self.contracts.append(msgspec.structs.replace(contract, digest=digest(contract)))

    def _rules(self, table: dict[str, Any], name: str, path: Path_) -> Iterator[TableCheck]:
        for index, rule in enumerate(table.get("quality", ())):
            here = (*path, "quality", index)
            made = quality.promise(rule, name, "", self.document.line(here))
            for problem in made.problems:
                self.find(problem, here)
            for check in made.checks:
                known = self.names[name]
                yield msgspec.structs.replace(check, columns=tuple(known.get(each, each) for each in check.columns))

    def _related(self, table: dict[str, Any], name: str, columns: list[Column], path: Path_) -> tuple[Column, ...]:
        """The columns, with the relationships that stand at the table."""
        found = {column.name: column for column in columns}
        for index, relation in enumerate(table.get("relationships", ())):
            here = (*path, "relationships", index)
            sides = [value if isinstance(value, list) else [value] for value in (relation["from"], relation["to"])]
            if len(sides[0]) != 1 or len(sides[1]) != 1:
                self.find(quality.not_checked("a foreign key over several columns"), here)
                continue
            ours, theirs = self.reference(sides[0][0], here), self.reference(sides[1][0], here)
            if ours is None or theirs is None:
                continue
            column = found.get(self.names.get(name, {}).get(ours[1], ours[1]))
            if ours[0] != name or column is None:
                what = f"the relationship's from names no column of {name}"
                self.find(Problem("PO-P079", "error", what, text.did_you_mean(ours[1], found), "from"), here)
            elif column.references is not None:
                self.find(quality.not_checked(f"a second foreign key of {column.name}"), here)
            else:
                found[column.name] = msgspec.structs.replace(column, references=theirs)
        return tuple(found.values())

    def reference(self, value: str, path: Path_) -> tuple[str, str] | None:
        """(table, property) of a reference, by names (`clients.id`) or by ids (`schema/clients/properties/id`)."""
        if "/" in value or "#" in value:
            parts = value.rpartition("#")[2].strip("/").split("/")
            known = self.ids.get("/".join(parts[1::2])) if "#" not in value.rstrip("#") else None
            if known is None:
                self.find(quality.not_checked("a reference by id that leads out of this file"), path)
            return known
        parts = value.rsplit(".", 2)
        return parts[-2], parts[-1]

    def _service_levels(self, table: str, columns: list[str]) -> Iterator[TableCheck]:
        data = self.document.data
        for index, level in enumerate(data.get("slaProperties") or ()):
            path = ("slaProperties", index)
            element = str(level.get("element") or data.get("slaDefaultElement") or "")
            owner, _, column = element.rpartition(".")
            if str(level["property"]).lower() not in _FRESHNESS:
                if table == self.document.data["schema"][0]["name"]:
                    self.find(quality.not_checked(f"the service level {level['property']}", "property"), path)
                continue
            if owner not in ("", table) or (not owner and len(data["schema"]) > 1 and column not in columns):
                continue
            column = self.names[table].get(column, column)
            seconds = _seconds(level)
            if column not in columns or seconds is None:
                what = "freshness needs the element (TABLE.COLUMN), a value and a unit"
                self.find(Problem("PO-P075", "error", what, "element: a column; unit: s, m, h, d, w or y"), path)
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
    for part in (plain, *plain["columns"], *plain["checks"]):
        for key in ("line", "file", "digest"):
            part.pop(key, None)
    return hashing.of_json(plain)


class _Property:
    """One property of a table, on its way to being a column."""

    def __init__(self, owner: _File, table: str, prop: dict[str, Any], path: Path_) -> None:
        self.owner = owner
        self.table = table
        self.prop = prop
        self.path = path
        self.name: str = prop.get("physicalName") or prop["name"]
        self.line = owner.document.line(path)
        self.checks: list[TableCheck] = []
        self.changes: dict[str, Any] = {}

    def made(self) -> Column:
        """The column's promise; table checks that it needs besides are in `checks`."""
        prop = self.prop
        kind = prop.get("logicalType")
        for key in ("properties", "items", "map"):
            if key in prop:
                self.warn(f"what is inside of {self.name}", key)
        if kind is not None and kind not in TYPES:
            self.warn(f"the type {kind}", "logicalType")
            kind = None
        self._options(prop.get("logicalTypeOptions") or {}, kind)
        self._own()
        self._relation()
        if values := prop.get("enum"):
            self.changes["enum"] = tuple(each["value"] for each in values)
        for index, rule in enumerate(prop.get("quality", ())):
            here = (*self.path, "quality", index)
            promise = quality.promise(rule, self.table, self.name, self.owner.document.line(here))
            for problem in promise.problems:
                self.owner.find(problem, here)
            self.changes |= promise.column
            self.checks += promise.checks
        self._check_values(kind)
        alone = self._is_only_key()
        primary = bool(prop.get("primaryKey"))
        fields: dict[str, Any] = {
            "required": bool(prop.get("required")) or primary,
            "unique": bool(prop.get("unique")) or (primary and alone),
            "primary_key": primary,
            "physical_type": prop.get("physicalType"),
            "classification": prop.get("classification", "internal"),
            "description": prop.get("description", ""),
            "line": self.line,
            **self.changes,
        }
        return Column(name=self.name, type=kind, **fields)

    def warn(self, what: str, key: str) -> None:
        """Say that something is not checked."""
        self.owner.find(quality.not_checked(what, key), self.path)

    def wrong(self, what: str, expected: str, key: str) -> None:
        """Say that something cannot be."""
        self.owner.find(Problem("PO-P075", "error", f"{what} ({self.table}.{self.name})", expected, key), self.path)

    def _is_only_key(self) -> bool:
        table = next(each for each in self.owner.document.data["schema"] if each["name"] == self.table)
        return sum(bool(each.get("primaryKey")) for each in table["properties"]) == 1

    def _options(self, options: dict[str, Any], kind: str | None) -> None:
        for key, value in options.items():
            if key in _OPTIONS and kind in ("string", None):
                self.changes[_OPTIONS[key]] = value
            elif key in _BOUNDS:
                self._bound(key, value, kind)
            elif key == "multipleOf":
                name = quality.quoted(self.name)
                self._must_be_none(f"{name} % {quality.literal(value)} <> 0", f"multiple of {value:g}: {self.name}")
            else:
                self.warn(f"the option {key} of {self.name}", "logicalTypeOptions")

    def _bound(self, key: str, value: Any, kind: str | None) -> None:
        low = key.endswith("inimum")
        side = "minimum" if low else "maximum"
        if not key.startswith("exclusive"):
            self.changes[side] = value
        elif kind == "integer" and isinstance(value, int):
            self.changes[side] = value + 1 if low else value - 1
        else:
            sign = "<=" if low else ">="
            name = quality.quoted(self.name)
            self._must_be_none(f"{name} {sign} {quality.literal(value)}", f"{key} of {self.name}")

    def _must_be_none(self, condition: str, name: str) -> None:
        query = f"select count(*) from {{table}} where {condition}"
        self.checks.append(
            TableCheck(kind="sql", name=name, column=self.name, sql=query, minimum=0, maximum=0, line=self.line)
        )

    def _own(self) -> None:
        """The custom properties that are Payoff's: known, knownWhy, currency."""
        for index, custom in enumerate(self.prop.get("customProperties", ())):
            name, value = custom["property"], custom["value"]
            here = (*self.path, "customProperties", index)
            near = text.nearest(name, _OURS)
            if name == "known" and value not in ("before", "after"):
                expected = "before or after (the decision)"
                self.owner.find(
                    Problem("PO-P075", "error", f"known of {self.name} is neither", expected, "value"), here
                )
            elif name == "currency" and not re.fullmatch("[A-Z]{3}", str(value)):
                what, expected = f"currency of {self.name} is none", "three capital letters, as EUR"
                self.owner.find(Problem("PO-P075", "error", what, expected, "value"), here)
            elif name in _OURS:
                self.changes["why" if name == "knownWhy" else name] = str(value)
            elif near and name.lower().replace("_", "") in {each.lower() for each in _OURS} | {f"{near}s".lower()}:
                what = f"the custom property {name} of {self.name} is not used"
                self.owner.find(Problem("PO-P074", "warning", what, f"perhaps {near}", "property"), here)

    def _relation(self) -> None:
        for index, relation in enumerate(self.prop.get("relationships", ())):
            here = (*self.path, "relationships", index)
            target = relation["to"]
            if isinstance(target, list) and len(target) == 1:
                target = target[0]
            if isinstance(target, list) or "references" in self.changes:
                self.owner.find(quality.not_checked(f"a further foreign key of {self.name}"), here)
            elif reference := self.owner.reference(target, here):
                self.changes["references"] = reference

    def _check_values(self, kind: str | None) -> None:
        low, high = self.changes.get("minimum"), self.changes.get("maximum")
        if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low > high:
            self.wrong("the minimum is above the maximum", "a minimum of at most the maximum", "logicalTypeOptions")
        values = self.changes.get("enum", ())
        shapes: dict[str | None, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool}
        shape = shapes.get(kind, object)
        if any(not isinstance(v, shape) or (isinstance(v, bool) and shape in (str, int)) for v in values):
            self.wrong(
                f"an allowed value is not of the type {kind}", "quotes around text such as yes, no, on, off", "quality"
            )
        if pattern := self.changes.get("pattern"):
            try:
                re.compile(pattern)
            except re.error as error:
                self.wrong(f"the pattern cannot be read: {error.msg}", "a regular expression", "logicalTypeOptions")


def _leaves(error: ValidationError) -> Iterator[ValidationError]:
    """The errors that say what is wrong: of alternatives, those of the one that fits best."""
    if not error.context:
        yield error
        return
    schema: Any = error.schema
    if error.validator == "oneOf" and "Common comparison" in str(schema.get("description", "")):
        yield error
        return
    branches: dict[Any, list[ValidationError]] = {}
    for each in error.context:
        branches.setdefault(each.schema_path[0], []).append(each)
    best = max(branches.values(), key=lambda each: max(len(one.absolute_path) for one in each))
    for each in best:
        yield from _leaves(each)


def _problems(error: ValidationError) -> Iterator[Problem]:
    """An error of the JSON schema in our words."""
    found: Any = error.validator
    value: Any = error.validator_value
    schema: Any = error.schema
    instance: Any = error.instance
    if found == "required":
        missing = [name for name in value if name not in instance]
        for name in missing[:1] if error.message.startswith("'") else missing:
            if error.message.startswith(f"'{name}'") or len(missing) == 1:
                yield _broken(f"{name} is missing", _says_of(schema, name))
                return
        yield _broken(error.message[:120], "what the standard asks for")
    elif found in ("unevaluatedProperties", "additionalProperties"):
        known = _known_keys(schema)
        for name in instance:
            if name not in known:
                yield _broken(f"unknown key {name!r}", text.did_you_mean(str(name), known), str(name))
    elif found == "enum":
        shown = instance if isinstance(instance, str) and len(instance) < 40 else type(instance).__name__
        yield _broken(f"{shown!r} is not one of the allowed values", text.did_you_mean(str(shown), map(str, value)))
    elif found == "type":
        kinds = value if isinstance(value, str) else " or ".join(value)
        yield _broken(f"a value is {_kind(instance)}", kinds)
    elif found == "oneOf":
        yield _broken("the rule has no comparison, or several", f"one of {', '.join(quality.OPERATORS)}")
    else:
        expected = value if isinstance(value, (str, int, float)) else "what the standard allows"
        yield _broken(f"a value breaks the standard's rule {found!r}", f"{found}: {expected}")


def _broken(what: str, expected: str, key: str = "") -> Problem:
    return Problem("PO-P073", "error", what, expected, key)


def _kind(value: Any) -> str:
    kinds = {
        bool: "true/false",
        str: "text",
        int: "a whole number",
        float: "a number",
        dict: "a mapping",
        list: "a list",
    }
    return kinds.get(type(value), "empty")


def _says_of(schema: dict[str, Any], name: str) -> str:
    if name == "metric":
        return "metric: nullValues, missingValues, invalidValues, duplicateValues or rowCount (`rule` is its old name)"
    found = schema.get("properties", {}).get(name, {})
    listed = f" ({', '.join(map(str, found['enum'][:6]))})" if "enum" in found else ""
    return f"{name}: {found.get('description', 'the standard asks for it')}{listed}"


def _known_keys(schema: Any) -> set[str]:
    """All keys that a part of the standard's schema knows, wherever it says so."""
    if not isinstance(schema, dict):
        return set()
    known = set(schema.get("properties", {}))
    reference = schema.get("$ref", "")
    if reference.startswith("#/$defs/"):
        known |= _known_keys(_standard()["$defs"][reference.removeprefix("#/$defs/")])
    for word in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(word, ()):
            known |= _known_keys(part)
    for word in ("then", "else"):
        known |= _known_keys(schema.get(word))
    return known
