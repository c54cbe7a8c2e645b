"""The import rules hold, and would be seen broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The house without what would make it slow to read."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "templates"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(folder / "src")}
    return subprocess.run(
        [LINT, "--no-cache"], cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_rules_hold(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("base/money.py", "from payoff.records import charter\n"),
        ("value/size.py", "def f():\n    from payoff.data import split\n"),
        ("adapters/sources/files.py", "from payoff.adapters.sources import sqlite\n"),
        ("adapters/stores/local.py", "from payoff.execute import run\n"),
        ("gates/contract.py", "from payoff.gates import holdout_size\n"),
        ("flows/run.py", "import duckdb\n"),
        ("execute/steps.py", "from payoff.adapters.engines import duckdb\n"),
        ("cli/run.py", "from payoff.value import size\n"),
    ],
)
def test_a_planted_import_is_seen(copy: Path, file: str, line: str) -> None:
    path = copy / "src" / "payoff" / file
    before = path.read_text(encoding="utf-8")
    try:
        path.write_text(f"{before}\n{line}", encoding="utf-8")
        assert lint(copy).returncode == 1
    finally:
        path.write_text(before, encoding="utf-8")
