"""What others may import: few names, each explained, none of them lost unnoticed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import payoff
from payoff import extend

HOUSE = Path(payoff.__file__).parent
PUBLIC = {"__version__", "columns", "log_metric", "step"}
EXTEND = {
    "Artifact", "Bug", "Charter", "CheckResult", "Column", "Contract", "Engine", "Entry", "Environment", "Evidence", "Executor",
    "Failure", "Field", "Gain", "GateSpec", "Identity", "Input", "Interval", "InvalidInput", "Ledger", "Money", "Observer",
    "OutsideError", "PayoffError", "Project", "Readout", "Refused", "Remembered", "RunRecord", "Source", "SourceSpec", "State",
    "Step", "StepOutcome", "Store", "Summary", "TableCheck", "Task", "TaskInput", "TaskResult", "Tracker", "UserError", "Valuation",
    "Verdict", "Where",
}  # fmt: skip


def test_the_public_names() -> None:
    assert set(payoff.__all__) == PUBLIC
    assert set(extend.__all__) == EXTEND
    assert all(hasattr(payoff, name) for name in PUBLIC)
    assert all(hasattr(extend, name) for name in EXTEND)


def test_the_public_names_are_explained() -> None:
    assert [name for name in PUBLIC - {"__version__"} if not getattr(payoff, name).__doc__] == []
    assert [name for name in EXTEND if not getattr(extend, name).__doc__] == []


def test_authors_of_adapters_import_no_library() -> None:
    code = "import payoff.extend, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    seen = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert seen & {"numpy", "pandas", "pyarrow", "duckdb", "mlflow", "sqlglot", "ibis", "yaml", "jsonschema", "rich"} == set()


def methods(source: str) -> dict[str, int]:
    """Protocol -> how many methods it asks for."""
    return {
        node.name: sum(isinstance(each, ast.FunctionDef) for each in node.body)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "Protocol" for base in node.bases)
    }


def test_a_port_asks_for_few_methods() -> None:
    found: dict[str, int] = {}
    for file in (HOUSE / "ports").glob("*.py"):
        found |= methods(file.read_text(encoding="utf-8"))
    assert found
    assert {name: count for name, count in found.items() if count > 5} == {}
    planted = "class Fat(Protocol):\n" + "".join(f"    def m{n}(self): ...\n" for n in range(6))
    assert methods(planted) == {"Fat": 6}
