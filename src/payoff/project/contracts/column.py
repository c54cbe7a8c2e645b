"""One property of a contract, as the promise about a column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from payoff.base import text
from payoff.project.contracts import labelling, quality
from payoff.project.contracts.quality import Problem
from payoff.records.contract import Column, TableCheck

if TYPE_CHECKING:
    from payoff.project.contracts.notes import Notes

    Path_ = tuple[str | int, ...]

TYPES = ("string", "date", "timestamp", "time", "number", "integer", "object", "array", "boolean")
_OURS = ("known", "knownWhy", "currency", *labelling.KEYS)
_OPTIONS = {"minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"}
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


class Property:
    """One property of a table, on its way to being a column."""

    def __init__(self, notes: Notes, table: str, prop: dict[str, Any], path: Path_) -> None:
        self.notes = notes
        self.table = table
        self.prop = prop
        self.path = path
        self.name: str = prop.get("physicalName") or prop["name"]
        self.line = notes.document.line(path)
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
            self.changes["enum"] = tuple(each["value"] for each in values if each["value"] is not None)
        for index, rule in enumerate(prop.get("quality", ())):
            here = (*self.path, "quality", index)
            promise = quality.promise(rule, self.table, self.name, self.notes.document.line(here))
            for problem in promise.problems:
                self.notes.find(problem, here)
            self.changes |= promise.column
            self.checks += promise.checks
        self._check_values(kind)
        alone = self._is_only_key()
        primary = bool(prop.get("primaryKey"))
        fields: dict[str, Any] = {
            "required": bool(prop.get("required")) or primary,
            "unique": bool(prop.get("unique")) or (primary and alone),
            "primary_key": primary and alone,
            "physical_type": prop.get("physicalType"),
            "classification": labelling.classification(self),
            "description": prop.get("description", ""),
            "line": self.line,
            **self.changes,
        }
        return Column(name=self.name, type=kind, **fields)

    def warn(self, what: str, key: str) -> None:
        """Say that something is not checked."""
        self.notes.find(quality.not_checked(what, key), self.path)

    def wrong(self, what: str, expected: str, key: str) -> None:
        """Say that something cannot be."""
        self.notes.find(Problem("PO-P075", "error", f"{what} ({self.table}.{self.name})", expected, key), self.path)

    def _is_only_key(self) -> bool:
        table = next(each for each in self.notes.document.data["schema"] if each["name"] == self.table)
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
        """The custom properties that are Payoff's: known, knownWhy, currency, and those of labels."""
        for index, custom in enumerate(self.prop.get("customProperties", ())):
            name, value = custom["property"], custom["value"]
            here = (*self.path, "customProperties", index)
            near = text.nearest(name, _OURS)
            if name == "known" and value not in ("before", "after"):
                expected = "before or after (the decision)"
                self.notes.find(
                    Problem("PO-P075", "error", f"known of {self.name} is neither", expected, "value"), here
                )
            elif name == "currency" and not re.fullmatch("[A-Z]{3}", str(value)):
                what, expected = f"currency of {self.name} is none", "three capital letters, as EUR"
                self.notes.find(Problem("PO-P075", "error", what, expected, "value"), here)
            elif name in labelling.KEYS:
                labelling.read(self, name, value, here)
            elif name in _OURS:
                self.changes["why" if name == "knownWhy" else name] = str(value)
            elif near and name.lower().replace("_", "") in {each.lower() for each in _OURS} | {f"{near}s".lower()}:
                what = f"the custom property {name} of {self.name} is not used"
                self.notes.find(Problem("PO-P074", "warning", what, f"perhaps {near}", "property"), here)

    def _relation(self) -> None:
        for index, relation in enumerate(self.prop.get("relationships", ())):
            here = (*self.path, "relationships", index)
            target = relation["to"]
            if isinstance(target, list) and len(target) == 1:
                target = target[0]
            if isinstance(target, list) or "references" in self.changes:
                self.notes.find(quality.not_checked(f"a further foreign key of {self.name}"), here)
            elif reference := self.notes.reference(target, here):
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
