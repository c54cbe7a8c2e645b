"""Every adapter that is registered runs its port's public suite."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Suites still to be written; may only get shorter.
MISSING: set[str] = set()
PORTS = ("sources", "engines", "stores", "executors", "ledgers", "trackers")


def registered(project: str) -> set[str]:
    points = tomllib.loads(project)["project"]["entry-points"]
    return {f"{group}:{name}" for group in points if group.partition(".")[2] in PORTS for name in points[group]}


def covered(source: str) -> set[str]:
    """`adapter = "payoff.ledgers:sqlite"` in a test class that derives from a suite."""
    return {
        statement.value.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef) and node.bases
        for statement in node.body
        if isinstance(statement, ast.Assign)
        and [getattr(target, "id", "") for target in statement.targets] == ["adapter"]
        and isinstance(statement.value, ast.Constant)
    }


def test_every_adapter_runs_its_suite() -> None:
    wanted = registered((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    files = (ROOT / "tests" / "contracts").glob("test_*.py")
    seen = set().union(*(covered(file.read_text(encoding="utf-8")) for file in files))
    assert sorted(wanted - seen - MISSING) == []
    assert sorted(MISSING & seen) == []
    assert sorted(seen - wanted) == []


def test_planted() -> None:
    assert registered('[project.entry-points."payoff.sources"]\nx = "a.b"\n[project.entry-points."payoff.gates"]\ny = "c"') == {
        "payoff.sources:x"
    }
    assert covered('class TestX(Suite):\n    adapter = "payoff.sources:x"') == {"payoff.sources:x"}
    assert covered('class TestX:\n    adapter = "payoff.sources:x"') == set()
