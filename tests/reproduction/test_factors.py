"""All that can differ between two runs is named, each for itself, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from payoff.records.artifact import Artifact
from payoff.records.evidence import StepOutcome
from payoff.records.project import Environment, Git, Project, SourceSpec, Step, Tracking
from payoff.records.run import RunRecord
from payoff.reproduction.factors import Side, factors

if TYPE_CHECKING:
    from payoff.records.hybrids.attribution import Factor

LOADED: dict[str, Any] = {
    "environment": {}, "python": "3.12.1", "libraries": {"libopenblas.so": {"kind": "openblas", "kernel": "Haswell", "threads": 4}},
    "cpu": {"model": "EPYC", "features": ["avx2", "fma"]}, "gpu": {},
}  # fmt: skip


def step(name: str, **changes: Any) -> Step:
    plain: dict[str, Any] = {
        "kind": "python", "file": "pipeline.py", "line": 1, "inputs": (), "output": "object", "seed": 7,
        "parts": {f"pipeline.{name}": "1111111111", "features.scale": "2222222222"},
    }  # fmt: skip
    return Step(name=name, **{**plain, **changes})


def side(
    *,
    steps: tuple[Step, ...] | None = None,
    loaded: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
    charter: dict[str, Any] | None = None,
    **record: Any,
) -> Side:
    """A run of a project with a query, a model and a step beside it."""
    packages = {"numpy": "2.1.0", "pytz": "2024.1"}
    lock = {"name": "default", "folder": ".", "python": ">=3.11", "packages": packages, "digest": "d", **(environment or {})}
    query = step("examples", kind="sql", file="sql/examples.sql", parts={"sql/examples.sql": "3333333333"})
    files: dict[str, Any] = {
        "id": "p", "name": "p", "root": "/p", "charter": None, "contracts": (), "steps": (query, *(steps or (step("model"), step("rates")))),
        "sources": (SourceSpec(table="customers", kind="csv", options={}),), "environments": (Environment(**lock),),
        "git": Git(commit="c", branch="main", dirty=False), "tracking": Tracking(),
    }  # fmt: skip
    plain: dict[str, Any] = {
        "run": "r", "project": "p", "name": "p", "status": "passed", "started": "", "finished": "", "seconds": 1.0,
        "system": {"system": "Linux", "machine": "x86_64", "libc": "glibc-2.36"},
        "parameters": {"model": {"C": 1.0, "depth": 3}, "rates": {"depth": 2}},
        "tables": {"customers": table("aaaaaaaaaa", 10), "examples": table("b", 10)},
        "steps": (StepOutcome(name="model", state="ran", fingerprint={**LOADED, **(loaded or {})}),),
    }  # fmt: skip
    return Side(record=RunRecord(**{**plain, **record}), project=Project(**files), charter=charter or {"costs.build": 5, "objective.owner": "me"})


def table(identity: str, rows: int) -> Artifact:
    return Artifact(id=identity, kind="table", file="f", bytes=1, rows=rows)


def said(found: tuple[Factor, ...]) -> set[tuple[str, str, str, str]]:
    return {(each.id, each.name, each.a, each.b) for each in found}


def test_equal_runs_have_none() -> None:
    assert factors(side(), side()) == ()


PLANTED: dict[str, tuple[dict[str, Any], set[tuple[str, str, str, str]]]] = {
    "parameter": ({"parameters": {"model": {"C": 2.0, "depth": 3}, "rates": {"depth": 2}}}, {("parameter:model.C", "C", "1.0", "2.0")}),
    "a parameter that two steps have": (
        {"parameters": {"model": {"C": 1.0, "depth": 4}, "rates": {"depth": 2}}}, {("parameter:model.depth", "model.depth", "3", "4")}),
    "a parameter of another type": (
        {"parameters": {"model": {"C": 1, "depth": 3}, "rates": {"depth": 2}}}, {("parameter:model.C", "C", "1.0", "1")}),
    "seed": ({"steps": (step("model", seed=8), step("rates"))}, {("seed:model", "model", "7", "8")}),
    "no seed": ({"steps": (step("model", seed=None), step("rates"))}, {("seed:model", "model", "7", "")}),
    "threads": ({"steps": (step("model", threads=2), step("rates"))}, {("system:threads:model", "threads of model", "", "2")}),
    "determinism": (
        {"steps": (step("model", deterministic=False), step("rates"))},
        {("system:deterministic:model", "deterministic of model", "True", "False")}),
    "environment": (
        {"steps": (step("model", environment="other"), step("rates"))},
        {("system:environment:model", "environment of model", "default", "other")}),
    "equal versions from elsewhere": ({"environment": {"digest": "e"}}, {("system:lock:default", "lock of default", "d", "e")}),
    "variable": (
        {"system": {"system": "Linux", "machine": "x86_64", "libc": "glibc-2.36", "OPENBLAS_CORETYPE": "Prescott"}},
        {("system:env:OPENBLAS_CORETYPE", "OPENBLAS_CORETYPE", "", "Prescott")}),
    "data": (
        {"tables": {"customers": table("cccccccccc", 11), "examples": table("d", 11)}},
        {("data:customers", "customers", "10 rows, aaaaaaaa", "11 rows, cccccccc")}),
    "code": (
        {"steps": (step("model", parts={"pipeline.model": "1111111111", "features.scale": "9999999999"}),
                   step("rates", parts={"pipeline.rates": "1111111111", "features.scale": "9999999999"}))},
        {("code:features.scale", "features.scale", "22222222", "99999999")}),
    "new code": (
        {"steps": (step("model", parts={"pipeline.model": "1111111111", "features.scale": "2222222222", "features.clip": "7777777777"}), step("rates"))},
        {("code:features.clip", "features.clip", "", "77777777")}),
    "charter": ({"charter": {"costs.build": 6, "objective.owner": "me"}}, {("charter:costs.build", "charter costs.build", "5", "6")}),
    "words of the charter": ({"charter": {"costs.build": 5, "objective.owner": "you"}}, set()),
    "package": (
        {"environment": {"packages": {"numpy": "2.2.0", "pytz": "2024.1"}}}, {("package:default:numpy", "numpy", "2.1.0", "2.2.0")}),
    "a package that came and one that went": (
        {"environment": {"packages": {"numpy": "2.1.0", "tzdata": "1"}}},
        {("package:default:pytz", "pytz", "2024.1", ""), ("package:default:tzdata", "tzdata", "", "1")}),
    "python": ({"environment": {"python": ">=3.12"}}, {("system:python:default", "python", ">=3.11", ">=3.12")}),
    "processor": ({"loaded": {"cpu": {"model": "Xeon", "features": ["avx2", "fma"]}}}, {("hardware:cpu", "cpu", "EPYC", "Xeon")}),
    "features that a virtual machine hides": (
        {"loaded": {"cpu": {"model": "EPYC", "features": ["fma"]}}}, {("hardware:cpu features", "cpu features", "avx2, fma", "fma")}),
    "graphics processor": ({"loaded": {"gpu": {"models": ["H100"]}}}, {("hardware:gpu", "gpu", "none", "H100")}),
    "interpreter": ({"loaded": {"python": "3.12.7"}}, {("hardware:interpreter", "interpreter", "3.12.1", "3.12.7")}),
    "libc": ({"system": {"system": "Linux", "machine": "x86_64", "libc": "glibc-2.41"}}, {("hardware:libc", "libc", "glibc-2.36", "glibc-2.41")}),
    "more processors": (
        {"loaded": {"libraries": {"libopenblas.so": {"kind": "openblas", "kernel": "Haswell", "threads": 16}}}},
        {("hardware:threads", "threads", "4", "16")}),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_named_and_nothing_else(name: str) -> None:
    changes, expected = PLANTED[name]
    assert said(factors(side(), side(**changes))) == expected
    back = {(each, title, b, a) for each, title, a, b in expected}
    assert said(factors(side(**changes), side())) == back


def test_files_are_factors_and_a_join_is_part_of_its_file() -> None:
    def of(digest: str, **files: str) -> Side:
        known = step("known", kind="sql", file="payoff.toml", parts={"[joins.known]": digest})
        return msgspec.structs.replace(side(steps=(step("model"), step("rates"), known)), files=files)

    first = of("1", **{"payoff.toml": "aaaa", "data/rates.json": "bbbb", "*": ""})
    last = of("2", **{"payoff.toml": "cccc", "data/rates.json": "dddd", "*": "2 files, eeee"})
    assert said(factors(first, last)) == {
        ("file:payoff.toml", "payoff.toml ([joins.known])", "aaaa", "cccc"),
        ("file:data/rates.json", "data/rates.json", "bbbb", "dddd"),
        ("file:*", "other files", "", "2 files, eeee"),
    }
    assert all(each.testable for each in factors(first, last))


def test_what_cannot_be_switched_says_so_and_what_to_do() -> None:
    other = {"python": "3.12.7", "cpu": {"model": "Xeon", "features": []}, "gpu": {"models": ["H100"], "driver": "535"},
             "libraries": {"libopenblas.so": {"kind": "openblas", "kernel": "SkylakeX", "threads": 16}}}  # fmt: skip
    found = [each for each in factors(side(), side(loaded=other)) if each.id.startswith("hardware:")]
    assert {each.name for each in found} == {"cpu", "cpu features", "blas kernel", "gpu", "interpreter", "threads"}
    for each in found:
        assert not each.testable
        assert each.reason
    reasons = {each.name: each.reason for each in found}
    assert "OPENBLAS_CORETYPE" in reasons["blas kernel"]
    assert "OMP_NUM_THREADS" in reasons["threads"]
    assert "payoff reproduce" in reasons["cpu"]


def test_what_somebody_chose_is_not_said_twice() -> None:
    """Threads that a step asked for, a kernel that a variable asked for, an interpreter of another Python."""
    two = {"libraries": {"libopenblas.so": {"kind": "openblas", "kernel": "Haswell", "threads": 2}}}
    assert {each.id for each in factors(side(), side(steps=(step("model", threads=2), step("rates")), loaded=two))} == {
        "system:threads:model"
    }
    system = {"system": "Linux", "machine": "x86_64", "libc": "glibc-2.36"}
    asked = {"environment": {"OMP_NUM_THREADS": "2"}, **two}
    assert {each.id for each in factors(side(), side(loaded=asked, system=system | asked["environment"]))} == {
        "system:env:OMP_NUM_THREADS"
    }
    kernel = {"environment": {"OPENBLAS_CORETYPE": "Prescott"},
              "libraries": {"libopenblas.so": {"kind": "openblas", "kernel": "Prescott", "threads": 4}}}  # fmt: skip
    assert {each.id for each in factors(side(), side(loaded=kernel, system=system | kernel["environment"]))} == {
        "system:env:OPENBLAS_CORETYPE"
    }
    python = {"python": "3.13.0"}
    assert {each.id for each in factors(side(), side(loaded=python, environment={"python": ">=3.13"}))} == {
        "system:python:default"
    }


def test_a_record_without_fingerprints_differs_in_nothing_that_is_not_known() -> None:
    bare = side(steps=None)
    outcomes = tuple(msgspec.structs.replace(each, fingerprint={}) for each in bare.record.steps)
    bare = msgspec.structs.replace(bare, record=msgspec.structs.replace(bare.record, steps=outcomes))
    assert factors(side(), bare) == factors(bare, side()) == ()


def test_ids_are_unique_and_groups_are_of_a_kind() -> None:
    changes: dict[str, Any] = {}
    for name in ("parameter", "variable", "data", "package", "seed", "processor"):
        changes |= PLANTED[name][0]
    found = factors(side(), side(**changes))
    assert len({each.id for each in found}) == len(found) == 6
    groups: dict[str, set[str]] = {}
    for each in found:
        groups.setdefault(each.group, set()).add(each.kind)
    assert groups == {
        "parameters": {"parameter"}, "settings": {"seed", "system"}, "data": {"data"}, "packages of default": {"package"}, "hardware": {"hardware"},
    }  # fmt: skip
