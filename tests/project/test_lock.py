"""Environments from uv locks: what is installed, what changed, whether the lock fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Written

    from payoff.records.project import Environment


def default(written: Written) -> Environment:
    return written.project().environments[0]


def test_only_what_is_installed_counts(written: Written) -> None:
    assert default(written).packages == {"numpy": "2.1.0", "pandas": "2.2.0", "scikit-learn": "1.5.0"}
    written.change("payoff.toml", "[sources.usage]", '[environments.test]\ngroups = ["dev"]\n[sources.usage]')
    assert "pytest" in written.project().environments[1].packages


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "numpy"\nversion = "2.1.0"', 'name = "numpy"\nversion = "2.1.1"'),
        ("sha256:aa", "sha256:ab"),
        (
            'source = { registry = "mirror" }\nwheels = [{ url = "numpy.whl"',
            'source = { git = "x#1" }\nwheels = [{ url = "numpy.whl"',
        ),
    ],
)
def test_a_transitive_package_changes_the_environment(written: Written, old: str, new: str) -> None:
    before = default(written)
    written.change("uv.lock", old, new)
    assert default(written).digest != before.digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("revision = 3", "revision = 4"),
        ('[[package]]\nname = "numpy"', '\n# a comment\n[[package]]\nname = "numpy"'),
        ('version = "9.0.0"', 'version = "9.0.1"'),
        ('registry = "mirror"', 'registry = "another mirror"'),
        ('version = "0.1.0"', 'version = "0.2.0"'),
    ],
)
def test_what_is_not_installed_or_not_content_does_not(written: Written, old: str, new: str) -> None:
    before = default(written)
    written.change("uv.lock", old, new)
    assert default(written).digest == before.digest


def test_a_python_version_counts(written: Written) -> None:
    before = default(written)
    written.write(".python-version", "3.11.7\n")
    after = default(written)
    assert (before.python, after.python) == (">=3.11", "3.11.7")
    assert before.digest != after.digest


@pytest.mark.parametrize(
    ("old", "new", "words", "line"),
    [
        ('"scikit_learn"', '"scikit_learn", "polars"', "polars is not in the lock", 5),
        ('"pandas>=2", ', "", "pandas is in the lock", 5),
        ("pandas>=2", "pandas>=2,<3", "another version of pandas", 5),
        ('["pytest"]', '["pytest", "hypothesis"]', "hypothesis is not in the lock", 7),
        ('">=3.11"', '">=3.12"', "requires-python", 4),
        ("[dependency-groups]", '[project.optional-dependencies]\nx = ["duckdb"]\n[dependency-groups]', "duckdb", 7),
    ],
)
def test_a_lock_that_does_not_match(written: Written, old: str, new: str, words: str, line: int) -> None:
    written.change("pyproject.toml", old, new)
    finding = written.only("PO-P023")
    assert words in finding.what
    assert finding.where is not None
    assert (finding.where.file, finding.where.line) == ("pyproject.toml", line)
    assert finding.try_ == "uv lock"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("pandas>=2", "Pandas >= 2"),
        ("pandas>=2", "pandas (>=2)"),
        ("scikit_learn", "scikit.learn"),
        ('["pytest"]', '[{include-group = "more"}]\nmore = ["pytest"]'),
    ],
)
def test_another_spelling_is_the_same(written: Written, old: str, new: str) -> None:
    written.change("pyproject.toml", old, new)
    if "more" in new:
        written.change(
            "uv.lock", 'dev = [{ name = "pytest" }]', 'dev = [{ name = "pytest" }]\nmore = [{ name = "pytest" }]'
        )
    written.project()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("version = 1\n<<<<<<< HEAD\n", "merge conflict"),
        ("version = 9\n", "format"),
        ("version = 1\n", "project itself"),
        ("a =", "TOML"),
    ],
)
def test_a_lock_that_is_none(written: Written, content: str, words: str) -> None:
    written.write("uv.lock", content)
    assert words in written.only("PO-P022").what


def test_a_lock_in_a_folder(written: Written) -> None:
    written.change(
        "payoff.toml", "[sources.usage]", '[environments.train]\nfolder = "environments/train"\n[sources.usage]'
    )
    assert written.only("PO-P020").try_ == 'uv init --bare "environments/train"'
    for file in ("pyproject.toml", "uv.lock"):
        content = (written.root / file).read_text()
        written.write(f"environments/train/{file}", content.replace("2.1.0", "2.0.0"))
    train = written.project().environments[1]
    assert (train.folder, train.packages["numpy"]) == ("environments/train", "2.0.0")


def test_one_package_in_two_versions(written: Written) -> None:
    written.change(
        "uv.lock",
        '[[package]]\nname = "pandas"',
        '[[package]]\nname = "numpy"\nversion = "1.26.0"\nsource = { registry = "mirror" }\n\n[[package]]\nname = "pandas"',
    )
    assert default(written).packages["numpy"] == "1.26.0, 2.1.0"
