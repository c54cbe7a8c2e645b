"""What is asked often costs little: no heavy library is imported for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from payoff.cli.main import VERBS

HOUSE = Path(__file__).parents[2] / "src" / "payoff"
HEAVY = {
    "numpy", "pandas", "polars", "pyarrow", "duckdb", "ibis", "mlflow", "sqlglot", "jsonschema", "yaml", "rich", "scipy", "sklearn",
    "torch", "tensorflow", "fsspec", "adbc_driver_manager", "adbc_driver_sqlite", "adbc_driver_postgresql", "sqlalchemy", "alembic",
    "requests", "urllib3", "uv", "pydantic",
}  # fmt: skip
# Not heavy, but more than a version or a help text is worth: each takes as long as Python itself needs to start, or half of it.
SLOW = {"msgspec", "sqlite3", "typing", "asyncio", "subprocess", "importlib.metadata", "dataclasses", "inspect", "tomllib", "pathlib"}
# Does one thing after the other in a process of its own, and tells which modules each brought with it.
ASK = """
import sys
BEFORE = set(sys.modules)  # an editable install may import for itself
def tell(what):
    global BEFORE
    print("\\nimported by", what + ":", *(set(sys.modules) - BEFORE), file=sys.stderr)
    BEFORE = set(sys.modules)
for words in sys.argv[1:]:
    if words.startswith("import "):
        exec(words)
    else:
        from payoff.cli.main import main
        sys.argv = words.split()
        main()
    tell(words)
"""


def imported(at: Path, *commands: str, house: Path | None = None) -> dict[str, set[str]]:
    """The modules that each command (or `import NAME`) added; `house`: a folder with another `payoff` package, for planted faults."""
    environ = {**os.environ, **({"PYTHONPATH": str(house)} if house else {})}
    done = subprocess.run(
        [sys.executable, "-c", ASK, *commands], cwd=at, capture_output=True, text=True, check=False, timeout=60, env=environ
    )
    assert done.returncode == 0, done.stderr
    parts = [line.removeprefix("imported by ").partition(": ") for line in done.stderr.splitlines() if line.startswith("imported by ")]
    found = {command.rstrip(":"): set(modules.split()) for command, _, modules in parts}
    assert found.keys() == set(commands), done.stderr
    return found


def blamed(found: dict[str, set[str]], unwanted: set[str]) -> dict[str, set[str]]:
    """Command -> what it imported of what it should not."""
    return {command: modules & unwanted for command, modules in found.items() if modules & unwanted}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as `payoff init` writes it, before its first run."""
    folder = tmp_path_factory.mktemp("projects") / "starter"
    shutil.copytree(HOUSE / "templates" / "starter", folder)
    return folder


def test_version_and_help_import_nothing_further(tmp_path: Path) -> None:
    assert blamed(imported(tmp_path, "payoff --version", "payoff --help"), HEAVY | SLOW) == {}


def test_help_of_a_verb_imports_no_library(tmp_path: Path) -> None:
    found = imported(tmp_path, *(f"payoff {verb} --help" for verb in VERBS))
    assert blamed(found, HEAVY | {"sqlite3"}) == {}


def test_looking_at_runs_imports_no_library(project: Path) -> None:
    imported(project, "payoff runs")  # the files are read once, and what they say is kept
    assert blamed(imported(project, "payoff runs", "payoff runs --json", "payoff show latest"), HEAVY) == {}


def test_outside_of_a_project_nothing_is_imported_to_say_so(tmp_path: Path) -> None:
    found = imported(tmp_path, "payoff check", "payoff run", "payoff runs", "payoff show latest", "payoff nonsense")
    assert blamed(found, HEAVY) == {}


def test_a_broken_project_is_told_without_a_library(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "broken")
    (tmp_path / "broken" / "payoff.toml").write_text("[project\n")
    assert blamed(imported(tmp_path / "broken", "payoff check"), HEAVY - {"sqlglot", "yaml", "jsonschema"}) == {}


def test_a_room_imports_its_library_when_it_is_used(tmp_path: Path) -> None:
    """In the order of the house: nothing of ours is imported before it is asked for."""
    light = imported(
        tmp_path, "import payoff", "import payoff.base.errors", "import payoff.base.money", "import payoff.adapters.sources.files",
        "import payoff.adapters.sources.sqlite", "import payoff.adapters.sources.postgresql",
    )  # fmt: skip
    assert blamed(light, HEAVY | {"msgspec"}) == {}
    assert blamed(light, {"typing", "re"}).keys() & {"import payoff"} == set()
    rest = imported(
        tmp_path, "import payoff.extend", "import payoff.ports.kit", "import payoff.project", "import payoff.plan",
        "import payoff.wiring.assemble", "import payoff.flows", "import payoff.adapters.stores.local",
        "import payoff.adapters.ledgers.sqlite", "import payoff.adapters.trackers.mlflow", "import payoff.adapters.executors.local",
    )  # fmt: skip
    assert blamed(rest, HEAVY) == {}


@pytest.mark.parametrize(("line", "fault"), [("import numpy", {"payoff --help": {"numpy"}}), ("import json", {})])
def test_a_planted_import_is_seen(tmp_path: Path, line: str, fault: dict[str, set[str]]) -> None:
    (tmp_path / "payoff" / "cli").mkdir(parents=True)
    (tmp_path / "payoff" / "__init__.py").touch()
    (tmp_path / "payoff" / "cli" / "main.py").write_text(f"def main():\n    import sys\n    if '--help' in sys.argv:\n        {line}\n")
    assert blamed(imported(tmp_path, "payoff --version", "payoff --help", house=tmp_path), HEAVY) == fault
