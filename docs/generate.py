"""Writes docs/reference/ from the code: `python docs/generate.py`; with `--check` only says whether it is current."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from payoff.records.answers.diff import Diff
from payoff.records.answers.environments import EnvironmentsAnswer
from payoff.records.answers.exporting import Exported
from payoff.records.answers.worth import Worth
from payoff.records.catalog import Answer

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "docs" / "reference"
MADE = "<!-- made by docs/generate.py from the code: do not edit -->\n"


def help_of(*words: str) -> str:
    """What a command says of itself, at a width of 100."""
    environ = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "payoff", *words, "--help"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()


def commands() -> str:
    """Every verb and its options."""
    text = help_of()
    verbs = re.findall(r"^  (\w+)  +\S", text, re.MULTILINE)
    parts = [f"# Commands\n{MADE}", f"```text\n{text}\n```"]
    parts += [f"## payoff {verb}\n```text\n{help_of(verb)}\n```" for verb in verbs]
    schemas = "".join(
        f"| `{json.loads(file.read_text(encoding='utf-8'))['title']}` | [{file.name}](../schemas/{file.name}) |\n"
        for file in sorted((ROOT / "docs" / "schemas").glob("*.json"))
    )
    parts.append(f"## Documents of `--json`\n| of | schema |\n|---|---|\n{schemas}")
    return "\n\n".join(parts).rstrip() + "\n"


def keys(schema: dict[str, Any], whole: dict[str, Any], path: str = "") -> list[tuple[str, str, bool, str]]:
    """(path, type, required, description) of every key of a JSON schema."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = {**whole["$defs"][name], **{key: value for key, value in schema.items() if key != "$ref"}}
    found = []
    for name, part in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        found.append((here, kind(part), name in schema.get("required", []), part.get("description", "")))
        found += keys(part, whole, here)
    rest = schema.get("additionalProperties")
    if isinstance(rest, dict) and rest:
        here = f"{path}.NAME" if path else "NAME"
        found.append((here, kind(rest), False, rest.get("description", "")))
        found += keys(rest, whole, here)
    return found


def kind(part: dict[str, Any]) -> str:
    """A schema's type in words."""
    if "enum" in part:
        return " or ".join(f"`{json.dumps(each)}`" for each in part["enum"])
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    for word in ("anyOf", "oneOf"):
        if word in part:
            return " or ".join(dict.fromkeys(kind(each) for each in part[word]))
    given = part.get("type", "any")
    names = {
        "object": "table",
        "array": "list",
        "string": "text",
        "boolean": "true or false",
        "integer": "whole number",
    }
    listed = [given] if isinstance(given, str) else given
    return " or ".join(names.get(each, each) for each in listed)


def files() -> str:
    """The keys of the TOML files."""
    parts = [f"# Files of a project\n{MADE}"]
    for name in ("charter", "payoff"):
        schema = json.loads((ROOT / "src" / "payoff" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
        rows = "".join(
            f"| `{path}` | {type_} | {'yes' if required else ''} | {cell(words)} |\n"
            for path, type_, required, words in keys(schema, schema)
        )
        parts.append(f"## {name}.toml\n| key | type | needed | |\n|---|---|---|---|\n{rows}")
    parts.append(
        "## contracts/*.yaml\nThe Open Data Contract Standard, version 3; each file is validated against the standard's schema."
    )
    return "\n\n".join(parts).rstrip() + "\n"


def cell(text: str) -> str:
    """Text that fits into one cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def adapters() -> str:
    """What is registered, with its options, and the gates."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    parts = [f"# Adapters and gates\n{MADE}"]
    for group, registered in points.items():
        for name, path in registered.items():
            module = import_module(path)
            if group == "payoff.gates":
                gate = module.GATE
                title = f"## {group}: {name}\n`{gate.code}`: {gate.title}. {inspect.getdoc(module.judge)}"
            else:
                options = [f"`{each.name}`" for each in dataclasses.fields(module.Options)]
                title = f"## {group}: {name}\n{(module.__doc__ or '').strip()}\n\n"
                title += f"Options: {', '.join(options) or 'none'}. {inspect.getdoc(module.Options) or ''}"
            parts.append(title.rstrip())
    return "\n\n".join(parts) + "\n"


def names() -> str:
    """The public Python API."""
    parts = [f"# Python API\n{MADE}", "## payoff\nWhat a project's own code may use."]
    package = import_module("payoff")
    for name in sorted(set(package.__all__) - {"__version__"}):
        each = getattr(package, name)
        sign = "(...)" if inspect.isclass(each) else str(inspect.signature(each))
        parts.append(f"### {name}\n```python\n{name}{sign.replace(chr(39), '')}\n```\n{inspect.getdoc(each)}")
    extend = import_module("payoff.extend")
    parts.append(f"## payoff.extend\n{inspect.getdoc(extend)}")
    rows = "".join(f"| `{name}` | {cell(first(getattr(extend, name)))} |\n" for name in sorted(extend.__all__))
    parts.append(f"| name | |\n|---|---|\n{rows}")
    return "\n\n".join(parts).rstrip() + "\n"


def first(each: object) -> str:
    """The first sentence of a docstring."""
    return (inspect.getdoc(each) or "").split("\n\n")[0]


def errors() -> str:
    """All codes, with where they are explained."""
    rows = []
    for page in sorted((ROOT / "docs" / "errors").glob("*.md")):
        for code, title in re.findall(r"^## (PO-\w\d{3}) (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            rows.append(f"| `{code}` | [{cell(title)}](../errors/{page.name}) |")
    return f"# Error codes\n{MADE}\n| code | |\n|---|---|\n" + "\n".join(sorted(rows)) + "\n"


def index() -> str:
    """The list of these pages."""
    listed = "".join(f"- [{name}]({name}.md)\n" for name in ("commands", "files", "adapters", "names", "errors"))
    return f"# Reference\n{MADE}\n{listed}"


PAGES = {"index": index, "commands": commands, "files": files, "adapters": adapters, "names": names, "errors": errors}


def schema_of(verb: str, record: type) -> str:
    """The JSON schema of a verb's document, from its records."""
    made = msgspec.json.schema(record)
    top = made["$defs"].pop(record.__name__)
    for part in (top, *made["$defs"].values()):
        part["description"] = " ".join(part.get("description", "").split())
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"payoff {verb} --json"}
    body = {name: part for name, part in top.items() if name != "title"}
    return json.dumps(head | body | {"$defs": made["$defs"]}, indent=1) + "\n"


def main() -> int:
    """Write the pages, or say which are not current."""
    check = sys.argv[1:] == ["--check"]
    PLACE.mkdir(exist_ok=True)
    stale = []
    documents = {"worth": Worth, "data": Answer, "diff": Diff, "environments": EnvironmentsAnswer, "export": Exported}
    made = {
        ROOT / "docs" / "schemas" / f"{verb}.json": functools.partial(schema_of, verb, record)
        for verb, record in documents.items()
    }
    made |= {PLACE / f"{name}.md": make for name, make in PAGES.items()}
    for path, make in made.items():
        name, text = path.stem, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and stale:
        sys.stdout.write(f"not current: {', '.join(stale)}\nTry: python docs/generate.py\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
