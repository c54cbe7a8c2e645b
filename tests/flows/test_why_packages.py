"""`payoff why` names the package, and the first of its versions that matters; the packages are made here, and no network is asked."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import uv

PAYOFF = str(Path(sys.executable).with_name("payoff"))


def wheel(folder: Path, name: str, version: str, code: str, *needs: str) -> None:
    folder.mkdir(exist_ok=True)
    said = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {need}\n" for need in needs)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", code)
        file.writestr(f"{info}/METADATA", said)
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def lock(light: Any, **versions: str) -> None:
    file = light.root / "pyproject.toml"
    lines = [line for line in file.read_text().splitlines() if not line.strip().startswith(('"alphapkg', '"betapkg', '"gammapkg'))]
    at = next(n for n, line in enumerate(lines) if line.startswith("dependencies"))
    lines[at + 1 : at + 1] = [f'    "{name}=={version}",' for name, version in versions.items()]
    file.write_text("\n".join(lines) + "\n")
    subprocess.run([uv.find_uv_bin(), "lock", "-q"], cwd=light.root, check=True)


@pytest.fixture
def packaged(light: Any, tmp_path: Path) -> Any:
    """The light project with three packages more, of which `alphapkg` has a say in the model from 1.2 on."""
    wheels = tmp_path / "wheels"
    for version, slope in (("1.0", 0.35), ("1.1", 0.35), ("1.2", 0.5), ("1.3", 0.5), ("2.0", 0.5)):
        wheel(wheels, "alphapkg", version, f"SLOPE = {slope}\n")
    wheel(wheels, "betapkg", "1.0", "")
    wheel(wheels, "betapkg", "1.1", "")
    wheel(wheels, "gammapkg", "1.0", "", "alphapkg")
    wheel(wheels, "gammapkg", "2.0", "", "alphapkg>=2")
    environments = light.root / ".payoff/environments"
    environments.unlink()  # what is made here is no other test's
    with open(light.root / "pyproject.toml", "a", encoding="utf-8") as stream:
        stream.write(f'\n[[tool.uv.index]]\nname = "own"\nurl = "{wheels}"\nformat = "flat"\n')
    light.change("pipeline.py", "import pyarrow as pa\n", "import alphapkg\nimport pyarrow as pa\n")
    light.change("pipeline.py", "return Fitted(slope)", "return Fitted(alphapkg.SLOPE)")
    return light


def test_the_package_and_the_version_that_matters(packaged: Any) -> None:
    lock(packaged, alphapkg="1.0", betapkg="1.0", gammapkg="1.0")
    first = packaged.run(code=None)["run"]
    lock(packaged, alphapkg="2.0", betapkg="1.1", gammapkg="2.0")
    second = packaged.run(code=None)["run"]
    done = subprocess.run([PAYOFF, "why", first, second, "--json"], cwd=packaged.root, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["verdict"] == "explained", found
    assert [(each["kind"], each["name"], each["a"], each["b"], each["first_changed"]) for each in found["causes"]] == [
        ("package", "alphapkg", "1.0", "2.0", "1.2")
    ]
    assert found["executions"] <= found["bound"]
    assert {each["id"] for each in found["factors"]} == {f"package:default:{name}" for name in ("alphapkg", "betapkg", "gammapkg")}
