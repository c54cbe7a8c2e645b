"""What docs/releases.md shows is what happens, on a base image that is made here."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
for _name, _file in {"docs_console": Path(__file__).with_name("test_console.py"), "docs_releases": ROOT / "tests/flows/releases.py"}.items():
    _spec = importlib.util.spec_from_file_location(_name, _file)
    assert _spec and _spec.loader
    sys.modules[_name] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_name])
console, releases = sys.modules["docs_console"], sys.modules["docs_releases"]


def plain(lines: list[str]) -> list[str]:
    return [re.sub(r"commit [0-9a-f]{12}", "COMMIT", re.sub(r"sha256:[0-9a-f…]+", "DIGEST", line)) for line in lines]


def test_the_page_is_what_happens(tmp_path: Path, installed: Callable[[Path], None]) -> None:
    digest = releases.base(tmp_path / "base")
    environ = {**os.environ, "PATH": f"{console.BIN}:{os.environ['PATH']}", "COLUMNS": "160"}
    environ |= {f"GIT_{who}_{what}": "ann@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    folder, commands = tmp_path, 0
    for kind, block in re.findall(r"```(toml|console)\n(.*?)```", (ROOT / "docs/releases.md").read_text(encoding="utf-8"), re.DOTALL):
        if kind == "toml":
            with open(folder / "payoff.toml", "a", encoding="utf-8") as stream:
                stream.write("\n" + block.replace("sha256:DIGEST", digest))
            continue
        for command, shown in console.steps(f"```console\n{block}```"):
            commands += 1
            if command.startswith("cd "):
                folder /= command[3:]
                continue
            done = subprocess.run(command, shell=True, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=240)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            assert console.matches(plain(shown), plain(done.stdout.splitlines())), f"$ {command}\n{done.stdout}\n{shown}"
            if command.startswith("payoff init "):
                installed(folder / command.split()[2])
    assert commands >= 10


def test_every_variable_of_a_container_is_told() -> None:
    said = (ROOT / "docs/releases.md").read_text(encoding="utf-8")
    source = (ROOT / "src/payoff/flows/serve/released.py").read_text(encoding="utf-8")
    names = set(re.findall(r"\"(PAYOFF_[A-Z_]+)\"", source))
    assert len(names) >= 8
    assert [name for name in sorted(names) if name not in said] == []
