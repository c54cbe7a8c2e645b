"""Every adapter that is registered runs its port's public suite; every rule is tried on a planted fault; every verb is whole."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from payoff.cli.main import VERBS

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "src" / "payoff"
# Suites still to be written, each with its reason; may only get shorter.
MISSING: dict[str, str] = {}
RULES = {"payoff.gates", "payoff.monitors"}  # functions, tried in tests/planted


def points(project: str) -> dict[str, dict[str, str]]:
    return tomllib.loads(project)["project"]["entry-points"]


def registered(project: str) -> set[str]:
    return {f"{group}:{name}" for group, each in points(project).items() if group not in RULES for name in each}


def suite_of(adapter: str) -> str:
    """`payoff.ledgers:sqlite` -> `payoff.testing.ledger.LedgerSuite`."""
    ports = adapter.partition(":")[0].removeprefix("payoff.")
    port = f"{ports[:-3]}y" if ports.endswith("ies") else ports.removesuffix("s")
    folder = "releasing." if port in {"registry", "signer", "deployer", "front"} else ""
    return f"payoff.testing.{folder}{port}.{port.title()}Suite"


def covered(source: str) -> set[str]:
    """`adapter = "payoff.ledgers:sqlite"` in a class that pytest collects and that derives from its port's public suite."""
    module = ast.parse(source)
    stands = {
        each.asname or each.name: f"{node.module}.{each.name}"
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    }
    return {
        statement.value.value
        for node in module.body
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test")
        for statement in node.body
        if isinstance(statement, ast.Assign)
        and [getattr(target, "id", "") for target in statement.targets] == ["adapter"]
        and isinstance(statement.value, ast.Constant)
        and suite_of(statement.value.value) in {stands.get(getattr(base, "id", "")) for base in node.bases}
    }


def uncovered(project: str, tests: Path, missing: dict[str, str]) -> list[str]:
    wanted = registered(project)
    seen = set().union(*(covered(file.read_text(encoding="utf-8")) for file in tests.glob("test_*.py")))
    return (
        [f"{each} runs no suite" for each in sorted(wanted - seen - missing.keys())]
        + [f"{each} runs its suite: take it off the list" for each in sorted(missing.keys() & seen)]
        + [f"{each} is not registered" for each in sorted((seen | missing.keys()) - wanted)]
    )


def untried(project: str, tests: Path) -> list[str]:
    """Gates and monitors that no test in tests/planted imports."""
    tried = {
        f"{node.module}.{each.name}"
        for file in tests.glob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    }
    return sorted({module for group, each in points(project).items() if group in RULES for module in each.values()} - tried)


def half_verbs(house: Path, reference: str, verbs: set[str]) -> list[str]:
    """Verbs without a flow, a front door or a place in the reference."""
    wanted = {
        "no flow": lambda verb: any((house / "flows").rglob(f"{verb}.py")) or (house / "flows" / verb / "__init__.py").is_file(),
        "no command line": lambda verb: any((house / "cli").rglob(f"{verb}.py")),
        "not in the reference": lambda verb: f"\n## payoff {verb}\n" in reference,
    }
    return [f"{verb}: {fault}" for verb in sorted(verbs) for fault, whole in wanted.items() if not whole(verb)]


PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_every_adapter_runs_its_suite() -> None:
    assert len(registered(PROJECT)) >= 8
    assert uncovered(PROJECT, ROOT / "tests" / "contracts", MISSING) == []


def test_every_rule_is_tried() -> None:
    assert untried(PROJECT, ROOT / "tests" / "planted") == []


def test_every_port_of_the_entry_points_has_a_suite() -> None:
    gone = [suite_of(each) for each in registered(PROJECT)]
    files = [HOUSE.parent / f"{name.rpartition('.')[0].replace('.', '/')}.py" for name in gone]
    assert [str(file) for file in files if not file.is_file()] == []


def test_every_verb_is_whole() -> None:
    reference = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    assert half_verbs(HOUSE, reference, set(VERBS)) == []


PLANTED = '[project.entry-points."payoff.sources"]\nx = "a.b"\n[project.entry-points."payoff.gates"]\ny = "c.d"'
SUITE = "from payoff.testing.source import SourceSuite\n"


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (SUITE + "class TestX(SourceSuite):\n    adapter = 'payoff.sources:x'", []),
        ("class TestX:\n    adapter = 'payoff.sources:x'", ["payoff.sources:x runs no suite"]),
        ("class TestX(Own):\n    adapter = 'payoff.sources:x'", ["payoff.sources:x runs no suite"]),
        (SUITE + "class X(SourceSuite):\n    adapter = 'payoff.sources:x'", ["payoff.sources:x runs no suite"]),
        (
            SUITE + "class TestX(SourceSuite):\n    adapter = 'payoff.sources:y'",
            ["payoff.sources:x runs no suite", "payoff.sources:y is not registered"],
        ),
    ],
)
def test_planted_adapters(tmp_path: Path, source: str, fault: list[str]) -> None:
    (tmp_path / "test_x.py").write_text(source)
    assert uncovered(PLANTED, tmp_path, {}) == fault


def test_planted_exceptions(tmp_path: Path) -> None:
    assert uncovered(PLANTED, tmp_path, {"payoff.sources:x": "soon"}) == []
    (tmp_path / "test_x.py").write_text(SUITE + "class TestX(SourceSuite):\n    adapter = 'payoff.sources:x'")
    assert uncovered(PLANTED, tmp_path, {"payoff.sources:x": "soon"}) == ["payoff.sources:x runs its suite: take it off the list"]


def test_planted_rules(tmp_path: Path) -> None:
    assert untried(PLANTED, tmp_path) == ["c.d"]
    (tmp_path / "test_y.py").write_text("from c import d")
    assert untried(PLANTED, tmp_path) == []


def test_planted_verbs(tmp_path: Path) -> None:
    assert half_verbs(tmp_path, "", {"go"}) == ["go: no flow", "go: no command line", "go: not in the reference"]
    for room in ("flows", "cli"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "go.py").touch()
    assert half_verbs(tmp_path, "\n## payoff go\n", {"go"}) == []
