"""A project folder becomes a Project; everything wrong is found at once."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from payoff.base.errors import InvalidInput, UserError
from payoff.project import charter_keys, config, find_root, inspect, load, schema_text, spec

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Written


def test_a_whole_project(written: Written) -> None:
    project = load(written.root)
    assert project.root == os.fspath(written.root)
    assert project.charter.outcomes == ("churned", "stays")
    assert project.charter.cell("nothing", "stays").amount == Decimal(0)
    assert project.charter.costs.run_per_year == Decimal("12000.10")
    assert [step.name for step in project.steps] == ["examples", "model", "usage_clean"]
    assert project.step("model").parameters == {"max_iter": 200}  # type: ignore[union-attr]
    assert project.source("customers").options["password"] == "${DB_PASSWORD}"  # type: ignore[union-attr]
    assert project.contract("usage").columns[0].references == ("customers", "customer_id")  # type: ignore[union-attr]
    assert set(project.files) >= {
        "payoff.toml",
        "charter.toml",
        "pipeline.py",
        "lib/deep.py",
        "uv.lock",
        "contracts/usage.yaml",
    }
    assert project.git.branch == "main"
    assert not project.git.dirty


def test_the_second_look_gives_the_same(written: Written) -> None:
    first = written.inspect()
    assert (written.root / ".payoff/cache/project/project.json").is_file()
    assert written.inspect() == first


def test_every_kind_of_file_is_looked_at_again(written: Written) -> None:
    for file, old, new in (
        ("payoff.toml", 'name = "churn"', 'name = "other"'),
        ("charter.toml", "120000", "120001"),
        ("lib/deep.py", "FACTOR = 3", "FACTOR = 4"),
        ("sql/usage_clean.sql", "> 0", "> 1"),
        ("contracts/usage.yaml", "number", "integer"),
        ("uv.lock", 'version = "2.1.0"', 'version = "2.1.1"'),
    ):
        before = written.project()
        written.change(file, old, new)
        after = written.project()
        assert {name for name, digest in after.files.items() if before.files[name] != digest} == {file}
        assert before.charter != after.charter or before != after


def test_a_new_file_is_seen(written: Written) -> None:
    written.project()
    written.write("sql/more.sql", "select 1 as x")
    assert written.codes() == ["PO-P048"]
    written.write("sklearn/ensemble.py", "class HistGradientBoostingClassifier:\n    pass\n")
    project, _ = written.inspect()
    assert project is not None
    assert "sklearn.ensemble.HistGradientBoostingClassifier" in project.step("model").parts  # type: ignore[union-attr]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"format":1}', b"\xff\xfe"])
def test_a_damaged_cache_is_no_cache(written: Written, damage: bytes) -> None:
    first = written.inspect()
    for entry in (written.root / ".payoff/cache/project").iterdir():
        entry.write_bytes(damage)
    assert written.inspect() == first


def test_a_cache_that_cannot_be_written_is_not_in_the_way(written: Written) -> None:
    (written.root / ".payoff").write_text("a file where the folder would be")
    written.git("rm", "-q", "--cached", "-f", "--ignore-unmatch", ".payoff")
    assert written.project().name == "churn"


def test_all_errors_at_once(written: Written) -> None:
    written.change("payoff.toml", "path =", "paths =")
    written.change("payoff.toml", "[sources.usage]", "[tracking]\nur = 1\n[sources.usage]")
    written.change("charter.toml", "holdout = 0.25", "holdout = 2")
    written.change("contracts/usage.yaml", "logicalType: number", "logicalTyp: number")
    written.change("lib/deep.py", "FACTOR = 3", "FACTOR = = 3")
    with pytest.raises(InvalidInput) as caught:
        load(written.root)
    assert sorted(part.code for part in caught.value.parts) == ["PO-P006", "PO-P009", "PO-P040", "PO-P073"]
    assert {str(part.where) for part in caught.value.parts} == {
        "payoff.toml:8",
        "charter.toml:23",
        "lib/deep.py:1",
        "contracts/usage.yaml:14",
    }


@pytest.mark.parametrize("file", ["charter.toml", "pyproject.toml", "uv.lock"])
def test_a_missing_file(written: Written, file: str) -> None:
    written.remove(file)
    finding = next(f for f in written.inspect()[1] if f.severity == "error")
    assert finding.code == {"charter.toml": "PO-P003", "pyproject.toml": "PO-P020", "uv.lock": "PO-P021"}[file]
    assert file in finding.what


def test_no_steps_at_all(written: Written) -> None:
    written.remove("pipeline.py")
    written.remove("sql/usage_clean.sql")
    assert "PO-P056" in written.codes()


def test_a_file_that_is_not_text(written: Written) -> None:
    (written.root / "charter.toml").write_bytes(b"[objective]\nowner = '\xff'\n")
    finding = written.only("PO-P004")
    assert (finding.where.file, finding.where.line) == ("charter.toml", 2)  # type: ignore[union-attr]


def test_find_root(written: Written, tmp_path: Path) -> None:
    assert find_root(written.root / "lib") == written.root
    with pytest.raises(UserError, match="PO-P002") as caught:
        find_root(tmp_path)
    assert "payoff init" in caught.value.remedy


def test_a_folder_without_a_project_is_a_finding(tmp_path: Path) -> None:
    project, findings = inspect(tmp_path)
    assert project is None
    assert [finding.code for finding in findings] == ["PO-P002"]


@pytest.mark.parametrize(("name", "specification"), [("payoff", config), ("charter", charter_keys)])
def test_the_schemas_say_what_is_checked(name: str, specification: object) -> None:
    made = spec.json_schema(specification.SPEC, specification.FILE)  # type: ignore[attr-defined]
    assert json.loads(schema_text(name)) == made, "write src/payoff/schemas anew from spec.json_schema"
