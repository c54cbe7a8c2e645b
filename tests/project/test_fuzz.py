"""Whatever stands in the files, the loader answers with findings: it never fails."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from payoff.project import inspect

if TYPE_CHECKING:
    from conftest import Written

NAMES = (
    "payoff.toml",
    "charter.toml",
    "pipeline.py",
    "lib/features.py",
    "lib/deep.py",
    "sql/usage_clean.sql",
    "contracts/customers.yaml",
    "contracts/usage.yaml",
    "pyproject.toml",
    "uv.lock",
)
PIECES = [
    "\x00", "\ufeff", "\ud7ff", '"', "'''", '"""', "[", "]]", "{", "}", "= 1", "nan", "inf", "-1e999", "1" * 40, "true", "2026-01-01",
    "\\ud800", '"\\uD800"', "&a", "*a", "!!binary x", "? [", "- ", ": ", "|", "#", "@step\n", "def a(", "lambda: ", "import ", "from . import *",
    "from .. import x", "case ", "async ", "select ", ";", "--", "/*", "$$", "::", "${", "😀", "\r", "\t", "\\", "%", "null", "~", "<<: *a",
    "class A(A): x = x\n", "x: 'y['\n", "global x\n", "(" * 200, "-" * 300,
]  # fmt: skip


def mangled(text: str, chance: random.Random) -> str:
    """A text after a few of the things that happen to texts."""
    for _ in range(chance.randint(1, 3)):
        at, to = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
        lines = text.split("\n")
        match chance.randint(0, 5):
            case 0:
                text = text[:at] + text[min(to, at + 9) :]
            case 1:
                text = text[:at] + chance.choice(PIECES) + text[at:]
            case 2:
                text = text[:at] + chance.choice(PIECES) + text[min(to, at + 12) :]
            case 3:
                del lines[chance.randrange(len(lines))]
                text = "\n".join(lines)
            case 4:
                lines.insert(chance.randrange(len(lines)), chance.choice(lines))
                text = "\n".join(lines)
            case _:
                chance.shuffle(lines)
                text = "\n".join(lines)
    return text


@pytest.mark.parametrize("file", NAMES)
def test_mangled_files(written: Written, file: str) -> None:
    chance = random.Random(file)
    path = Path(written.root / file)
    original = path.read_text(encoding="utf-8")
    for _ in range(40):
        path.write_bytes(mangled(original, chance).encode("utf-8", "surrogatepass"))
        first = inspect(written.root)
        assert first[0] is not None or any(finding.severity == "error" for finding in first[1])
        again = inspect(written.root)
        assert again[1] == first[1], "the same from the cache"
        assert (again[0] and again[0].git) == (first[0] and first[0].git), "the same from git"
        assert again[0] == first[0], "the same from the cache"
        assert all(finding.what and finding.code for finding in first[1])
    shutil.rmtree(written.root / ".payoff")
