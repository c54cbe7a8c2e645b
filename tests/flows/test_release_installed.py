"""Payoff packs itself the same, whether it is installed from its wheel or worked on."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import uv

ROOT = Path(__file__).parents[2]
LISTED = """
import hashlib, sys
from payoff.flows.releasing.packing import installed
for each in sorted(installed.ours(installed.Interpreter("/usr/bin/python3", "3.11")).members, key=lambda one: one.path):
    data = open(each.source, "rb").read() if each.source else each.data
    print(each.path, hashlib.sha256(data).hexdigest(), each.executable, each.target)
"""


def listed(python: Path | str) -> str:
    done = subprocess.run([str(python), "-c", LISTED], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_from_its_wheel_as_from_its_sources(tmp_path: Path) -> None:
    tool = uv.find_uv_bin()
    subprocess.run([tool, "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(ROOT)], check=True)
    place = tmp_path / "venv"
    subprocess.run([tool, "venv", "--quiet", "--python", sys.executable, str(place)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    python = place / "bin/python"
    subprocess.run([tool, "pip", "install", "--quiet", "--no-deps", "--python", str(python), str(wheel)], check=True)
    (site,) = place.glob("lib/python3*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    found = listed(python)
    # The list of what Payoff's own distribution has differs: of one that is worked on it has no module.
    unlike = "payoff-0.1.0.dist-info/RECORD"
    assert [line for line in found.splitlines() if unlike not in line] == [line for line in listed(sys.executable).splitlines() if unlike not in line]
    assert str(site) in subprocess.run([str(python), "-c", "import payoff; print(payoff.__file__)"], capture_output=True, text=True, check=True).stdout
    (module,) = site.glob("payoff/serving/app.py")
    module.write_text(module.read_text() + "\n")
    done = subprocess.run([str(python), "-c", LISTED], capture_output=True, text=True, check=False, cwd="/")
    assert "PO-A071" in done.stderr or "app.py of the package payoff was changed" in done.stderr
