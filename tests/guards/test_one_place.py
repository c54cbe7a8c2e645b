"""Each thing has one place."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "src" / "payoff"
# What -> the files (or folders) that may have it.
PLACES = {
    r"^\s*(?:import|from) hashlib\b": ("base/hashing.py", "cli/render/html.py"),  # the page's own content policy
    r"\bdatetime\.now\(|\btime\.time\(|\butcnow\(": ("base/clock.py",),
    r"^\s*(?:import|from) subprocess\b": (
        "adapters/", "project/", "flows/init.py", "testing/",
    ),
    r"(?<![\w.])print\(": ("cli/", "templates/", "testing/executor.py"),  # steps of users
    r"\bsys\.std(?:out|err)\.write\(": ("cli/", "worker/", "testing/", "adapters/trackers/mlflow/"),  # it is a process of its own
    r"\bpickle\.loads?\(": ("worker/", "testing/executor.py", "adapters/trackers/mlflow/loader.py"),
    r"(?<![\w.])(?:eval|exec)\(": (),
}  # fmt: skip


def elsewhere(name: str, source: str) -> list[str]:
    """What a file has that belongs into another."""
    said = []
    for pattern, places in PLACES.items():
        if any(name.startswith(place) for place in places):
            continue
        for number, line in enumerate(source.splitlines(), 1):
            if re.search(pattern, line) and not line.lstrip().startswith(("#", ">>>")):
                said.append(f"{name}:{number}: {line.strip()}")
    return said


def sources() -> list[tuple[str, str]]:
    return [(str(f.relative_to(HOUSE)), f.read_text(encoding="utf-8")) for f in sorted(HOUSE.rglob("*.py"))]


def test_each_thing_is_in_its_place() -> None:
    said = [what for name, source in sources() for what in elsewhere(name, source)]
    assert not said, "\n".join(said)


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("flows/run.py", "    print('x')", True),
        ("value/size.py", "import hashlib", True),
        ("gates/contract.py", "from subprocess import run", True),
        ("execute/steps.py", "    pickle.load(stream)", True),
        ("plan/keys.py", "    started = time.time()", True),
        ("cli/run.py", "    print('x')", False),
        ("value/size.py", "    # print(what) would be wrong", False),
        ("value/size.py", "blueprint(x)", False),
    ],
)
def test_planted(name: str, source: str, found: bool) -> None:
    assert bool(elsewhere(name, source)) is found


def adapters() -> dict[str, str]:
    """Adapter's name -> its place, from the entry points."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    return {
        name: module.removeprefix("payoff.").replace(".", "/")
        for group, each in points.items()
        if group != "payoff.gates"
        for name, module in each.items()
    }


def strangers(name: str, source: str, known: dict[str, str]) -> list[str]:
    """Strings in code that name an adapter outside its own file (docstrings may)."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None
    }
    return [
        f"{name}:{node.lineno}: {node.value!r}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and id(node) not in docs and node.value in known
        and not name.startswith(tuple(known.values()))
    ]  # fmt: skip


# The defaults of a project that names nothing, and words that are an adapter's name by chance.
ALLOWED = {
    "wiring/assemble.py": {"duckdb", "local", "sqlite"},
    "project/config.py": {"mlflow"},
    "records/project.py": {"mlflow"},
}


def test_no_adapter_is_named_outside_its_file() -> None:
    known = adapters()
    said = [
        what
        for name, source in sources()
        if not name.startswith(("templates/", "testing/", "adapters/"))
        for what in strangers(name, source, known)
        if not any(repr(word) in what for word in ALLOWED.get(name, set()))
    ]
    # sqlglot calls the engine's dialect by the same name; `files` is also an ordinary word.
    said = [what for what in said if "'files'" not in what and not re.search(r"(data|project|worker)/\S+ 'duckdb'", what)]
    assert not said, "\n".join(said)


def test_a_planted_name_is_found() -> None:
    known = {"postgresql": "adapters/sources/postgresql"}
    assert strangers("execute/steps.py", "if kind == 'postgresql': pass", known)
    assert not strangers("adapters/sources/postgresql.py", "KIND = 'postgresql'", known)
    assert not strangers("execute/steps.py", '"""Unlike postgresql."""', known)
