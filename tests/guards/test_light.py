"""What is asked often costs little: no heavy library is imported for it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {
    "numpy", "pandas", "polars", "pyarrow", "duckdb", "ibis", "mlflow", "mlflow_skinny", "sqlglot", "jsonschema", "yaml", "rich",
    "scipy", "sklearn", "torch", "fsspec", "adbc_driver_manager", "sqlalchemy", "requests", "uv", "msgspec", "sqlite3", "typing",
}  # fmt: skip
ASK = """
import runpy, sys
sys.argv = ["payoff", *sys.argv[1:]]
try:
    from payoff.cli.main import main
    main()
except SystemExit:
    pass
print(*sorted({name.partition(".")[0] for name in sys.modules}), sep="\\n", file=sys.stderr)
"""


def imported(at: Path, *words: str, code: str = ASK) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=at, capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [("--version",), ("--help",)])
def test_asking_for_help_imports_nothing_heavy(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert imported(tmp_path, *words) & HEAVY == set()


@pytest.mark.parametrize("verb", ["init", "check", "run", "runs", "show"])
def test_help_of_a_verb_imports_no_library(tmp_path: Path, verb: str) -> None:
    assert imported(tmp_path, verb, "--help") & (HEAVY - {"typing", "msgspec"}) == set()


def test_the_public_package_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import payoff, sys; print(*{n.partition('.')[0] for n in sys.modules}, file=sys.stderr)"
    assert imported(tmp_path, code=code) & HEAVY == set()


def test_adapters_import_their_library_when_they_are_used(tmp_path: Path) -> None:
    code = (
        "import payoff.adapters.sources.files, payoff.adapters.sources.sqlite, payoff.adapters.sources.postgresql, sys\n"
        "print(*{n.partition('.')[0] for n in sys.modules}, file=sys.stderr)"
    )
    assert imported(tmp_path, code=code) & {"pyarrow", "pandas", "polars", "numpy", "adbc_driver_manager"} == set()


def test_a_planted_import_is_seen(tmp_path: Path) -> None:
    code = "import json, decimal, numpy, sys; print(*{n.partition('.')[0] for n in sys.modules}, file=sys.stderr)"
    assert "numpy" in imported(tmp_path, code=code)
