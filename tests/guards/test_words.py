"""The repository speaks of the product: no registry's address, no machine's path, no data file in a template."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "a package registry's address": re.compile(
        r"https?://[^\s\"')]*(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|deb\.debian\.org|test\.pypi)", re.IGNORECASE
    ),
    "a path of one machine": re.compile(r"(?<![\w.])/(?:home/[a-z]|root/|work/|Users/[A-Za-z])"),
}
DATA = {".csv", ".parquet", ".arrow", ".db", ".sqlite", ".gz", ".jsonl", ".pkl", ".pickle", ".zip"}


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name]


def faults(text: str) -> list[str]:
    return [what for what, pattern in FORBIDDEN.items() if pattern.search(text)]


def test_the_repository_speaks_of_the_product_alone() -> None:
    said = []
    for file in tracked():
        if file == Path(__file__) or not file.is_file():
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            said.append(f"{file.relative_to(ROOT)}: not text")
            continue
        said += [f"{file.relative_to(ROOT)}: {what}" for what in faults(text)]
    assert not said, "\n".join(said)


def test_planted() -> None:
    assert faults("see https://files.pythonhosted.org/x") == ["a package registry's address"]
    assert faults("in /home/anna/project") == ["a path of one machine"]
    assert faults("under .payoff/work/ and https://mlflow.org and a/root/b") == []


def test_templates_carry_no_data() -> None:
    files = [file for file in tracked() if "templates" in file.parts]
    assert files
    assert [file.name for file in files if file.suffix in DATA or file.stat().st_size > 40_000] == []
