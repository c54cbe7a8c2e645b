"""What the README and the tutorial show is what happens: their commands are run, their output is compared (numbers and bars may differ)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
BIN = str(Path(sys.executable).parent)


FROM_NOTHING = ("README.md", "docs/environments.md")  # what is installed is part of what they show


def steps(text: str) -> list[tuple[str, list[str]]]:
    """(command, the lines shown under it) of all console blocks; an edit of a file, told in a comment, comes as `edit ...`."""
    found: list[tuple[str, list[str]]] = []
    for comment, block in re.findall(r"<!-- (edit: .*?) -->|```console\n(.*?)```", text, re.DOTALL):
        if comment:
            found.append((comment, []))
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def plain(line: str) -> str:
    """Without what differs from run to run: ids, numbers, times, the lengths of bars."""
    line = re.sub(r"\d{8}-\d{6}-[0-9a-f]{6}( · .*)?", "RUN", line)
    line = re.sub(r"\b[0-9a-f]{8}\b|[+−-]?\d[\d.,:]*", "N", line)
    line = re.sub(r"[█├─┤│]+", "", line)
    return re.sub(r"\s+", " ", re.sub(r"N min N s|N m?s\b", "TIME", line)).strip()


def matches(shown: list[str], printed: list[str]) -> bool:
    """`...` alone in a line stands for any lines; what was not shown at the end does not matter."""
    pattern = "".join(
        "(?:.*\n)*?" if line.strip() == "..." else re.escape(plain(line)) + (".*\n" if line.endswith("…") else "\n")
        for line in shown
        if line.strip()
    )
    return re.match(pattern, "".join(f"{plain(line)}\n" for line in printed if line.strip())) is not None


def edit(folder: Path, told: str) -> None:
    file, after, old, new = re.fullmatch(r'edit: (\S+): after "(.*?)": "(.*?)" -> "(.*?)"', told).groups()  # type: ignore[union-attr]
    text = (folder / file).read_text(encoding="utf-8")
    at = text.index(old, text.index(after))
    (folder / file).write_text(text[:at] + new + text[at + len(old) :], encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", pytest.param("docs/tutorial.md", marks=pytest.mark.thorough), pytest.param("docs/worth.md", marks=pytest.mark.thorough), "docs/quantities.md", "docs/serving.md", "docs/environments.md"])
def test_the_commands_do_what_the_page_shows(tmp_path: Path, page: str, installed: Callable[[Path], None]) -> None:
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "COLUMNS": "160"}
    folder = tmp_path
    commands = steps((ROOT / page).read_text(encoding="utf-8"))
    assert len(commands) >= 5
    for command, shown in commands:
        if command.startswith("edit: "):
            edit(folder, command)
            continue
        if command.startswith("cd "):
            folder = folder / command[3:]
            continue
        done = subprocess.run(command, shell=True, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode in {0, 1}, f"{command}\n{done.stdout}\n{done.stderr}"
        assert matches(shown, done.stdout.splitlines()), f"$ {command}\n{done.stdout}\n-- is not what {page} shows:\n" + "\n".join(shown)
        if command.startswith("payoff init ") and page not in FROM_NOTHING:
            installed(folder / command.split()[2])


def test_a_wrong_page_would_be_seen() -> None:
    printed = ["+15,600 EUR a year", "✓ passed · run 20261123-182512-b4b883 · 17.3 s", "", "Verdicts"]
    assert matches(["+9 EUR a year", "✓ passed · run 20260101-000000-aaaaaa · 2.0 s"], printed)
    assert matches(["...", "Verdicts"], printed)
    assert not matches(["+9 USD a year"], printed)
    assert not matches(["✗ refused · run 20260101-000000-aaaaaa · 2.0 s"], printed)


def links(text: str) -> list[str]:
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)) if "://" not in target]


def test_links_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    lost = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in links(page.read_text(encoding="utf-8"))
        if not (page.parent / target.partition("#")[0]).exists()
    ]
    assert not lost, "\n".join(lost)
    assert links("[a](b.md) and [c](https://d.e) ```[f](g)```") == ["b.md"]
