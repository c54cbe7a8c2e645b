"""The repository speaks of the product: no registry's address, no machine's path, not of how it was written; templates carry no data."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Words in pieces, so that this file itself holds none of them.
_WRITTEN_BY = (
    "clau" "de", "anthro" "pic", "open" "ai", "chat" "gpt", "co" "pilot", "ai" r"[ -]?(?:assist" "ants?|agents?)", "coding " "agents?",
    "sub-?" "agents?", "language " "models?", "ll" "ms?", "prompt " "engineering", "generated " "(?:by|with) ai", "as an " "ai",
    "this " "session", "in this " "workplace", "the " "brief",
)  # fmt: skip
FORBIDDEN = {
    "a package registry's address": re.compile(
        r"https?://[^\s\"')]*(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|deb\.debian\.org|conda\.anaconda\.org|crates\.io)", re.IGNORECASE
    ),
    "a path of one machine": re.compile(r"(?<![\w.\-/])/(?:home/[a-z]|root/|work/|workspace/|mnt/[a-z]|Users/[A-Za-z])|[A-Z]:\\Users"),
    "how it was written": re.compile(rf"\b(?:{'|'.join(_WRITTEN_BY)})\b", re.IGNORECASE),
    "a secret": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bghp_[A-Za-z0-9]{36}\b"),
}
# Texts of others, kept as they are.
VERBATIM = {"src/payoff/schemas/odcs-v3.json": "the standard's own schema"}
DATA = {
    ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".db", ".sqlite", ".gz", ".bz2", ".xz", ".zst", ".jsonl", ".ndjson", ".pkl",
    ".pickle", ".joblib", ".npy", ".npz", ".h5", ".zip", ".tar", ".xlsx", ".whl",
}  # fmt: skip
LARGEST = 40_000  # bytes of a file in a template


def tracked(root: Path) -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.split("\0") if name and (path := root / name).is_file()]


def faults(text: str) -> list[str]:
    return [what for what, pattern in FORBIDDEN.items() if pattern.search(text)]


def unfit(files: list[Path], root: Path) -> list[str]:
    said = []
    for file in files:
        name = file.relative_to(root).as_posix()
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            said.append(f"{name}: not text")
            continue
        if name not in VERBATIM:
            said += [f"{name}: {what}" for what in faults(text)]
    return said


def data_in_templates(files: list[Path], root: Path) -> list[str]:
    templates = [file for file in files if "templates" in file.relative_to(root).parts]
    return [file.name for file in templates if set(file.suffixes) & DATA or file.stat().st_size > LARGEST]


def test_the_repository_speaks_of_the_product_alone() -> None:
    files = tracked(ROOT)
    said = unfit(files, ROOT)
    assert not said, "\n".join(said)
    assert set(VERBATIM) <= {file.relative_to(ROOT).as_posix() for file in files}


def test_no_registry_is_written_into_a_lock() -> None:
    """Locks hold the address of an index: templates carry none, and pins are names and versions alone."""
    assert [file.name for file in tracked(ROOT) if file.name in {"uv.lock", "poetry.lock", "Pipfile.lock", ".pypirc", "pip.conf"}] == []


def test_templates_carry_no_data() -> None:
    files = tracked(ROOT)
    assert any("templates" in file.parts for file in files)
    assert data_in_templates(files, ROOT) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("see https://files.python" "hosted.org/x", "a package registry's address"),
        ("in /ho" "me/anna/project", "a path of one machine"),
        ("`/ro" "ot/project`", "a path of one machine"),
        ("written with Clau" "de", "how it was written"),
        ("a sub" "agent did it", "how it was written"),
        ("LL" "Ms", "how it was written"),
        ("-----BEGIN RSA PRIVATE " "KEY-----", "a secret"),
    ],
)
def test_planted_faults_are_found(text: str, fault: str) -> None:
    assert faults(text) == [fault]


@pytest.mark.parametrize(
    "text",
    [
        "under .payoff/work/ and https://mlflow.org and a/root/b and file://x/work/y",
        'a user agent, pytest.fixture(scope="session"), a session of the client, a model card, the claudication of a patient',
        "uv pip install payoff; git://home/x",
        "a briefing, all, helm",
    ],
)
def test_planted_innocents_are_left_alone(text: str) -> None:
    assert faults(text) == []


def test_planted_files_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "templates" / "x"
    folder.mkdir(parents=True)
    (folder / "pipeline.py").write_text("x = 1")
    (folder / "rows.csv").write_text("a\n1")
    (folder / "rows.csv.gz").write_bytes(b"\x1f\x8b\xff")
    (folder / "long.py").write_text("x = 1\n" * 10_000)
    files = sorted(folder.iterdir())
    assert data_in_templates(files, tmp_path) == ["long.py", "rows.csv", "rows.csv.gz"]
    assert unfit(files, tmp_path) == ["templates/x/rows.csv.gz: not text"]
