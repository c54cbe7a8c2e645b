"""`python -m payoff` puts the folder it is called in on Python's path: none of the user's modules there may run in control."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["json", "tomllib", "msgspec", "pyarrow"])
def test_a_module_in_the_folder_is_not_run(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("print('mine ran')\n")
    words = [sys.executable, "-m", "payoff", "check"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "mine ran" not in done.stdout + done.stderr
    assert done.returncode == 2
