"""The standard's JSON schema, and what breaks it in our words."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.base import lazy, text
from payoff.project.contracts.quality import OPERATORS, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jsonschema

    Path_ = tuple[str | int, ...]
else:
    jsonschema = lazy.Module("jsonschema")

SCHEMA = Path(__file__).parents[2] / "schemas" / "odcs-v3.json"


@cache
def _standard() -> dict[str, Any]:
    """The standard's JSON schema; its rules for maps and vectors made to hold for these only."""
    schema: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for rule in schema["$defs"]["SchemaBaseProperty"]["allOf"]:
        for condition in (rule.get("if", {}), *rule.get("if", {}).get("anyOf", ())):
            if "properties" in condition:
                condition["required"] = ["logicalType"]
    return schema


def keeps(data: Any) -> bool:
    """Whether a document keeps to the standard."""
    return next(problems(data), None) is None


def problems(data: Any) -> Iterator[tuple[Path_, Problem]]:
    """Everything by which a document breaks the standard, with the path to it."""
    version = data.get("apiVersion") if isinstance(data, dict) else None
    if isinstance(version, str) and version.startswith("v2"):
        what, expected = f"the contract is in version {version} of the standard", "apiVersion: v3.1.0 (ODCS v3)"
        yield (), Problem("PO-P073", "error", what, expected, "apiVersion")
        return
    errors = jsonschema.Draft201909Validator(_standard()).iter_errors(data)
    leaves = [leaf for error in errors for leaf in _leaves(error)]
    broken = {tuple(leaf.absolute_path) for leaf in leaves if leaf.validator != "unevaluatedProperties"}
    found: dict[tuple[Path_, str], Problem] = {}
    for leaf in leaves:
        path = tuple(leaf.absolute_path)
        hidden = any(other[: len(path)] == path for other in broken)
        if leaf.validator != "unevaluatedProperties" or not hidden:
            found |= {(path, problem.what): problem for problem in _problems(leaf)}
    for (path, _), problem in found.items():
        yield path, problem


def _leaves(error: jsonschema.ValidationError) -> Iterator[jsonschema.ValidationError]:
    """The errors that say what is wrong: of alternatives, those of the one that fits best."""
    if not error.context:
        yield error
        return
    schema: Any = error.schema
    if error.validator == "oneOf" and "Common comparison" in str(schema.get("description", "")):
        yield error
        return
    branches: dict[Any, list[jsonschema.ValidationError]] = {}
    for each in error.context:
        branches.setdefault(each.schema_path[0], []).append(each)
    best = max(branches.values(), key=lambda each: max(len(one.absolute_path) for one in each))
    for each in best:
        yield from _leaves(each)


def _problems(error: jsonschema.ValidationError) -> Iterator[Problem]:
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
        yield _broken("the rule has no comparison, or several", f"one of {', '.join(OPERATORS)}")
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
