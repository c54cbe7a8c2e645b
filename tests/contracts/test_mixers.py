"""Environments between two, of small packages made here; nothing is asked of a network."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import uv

from payoff.base.errors import OutsideError
from payoff.testing.mixer import MixerSuite


def wheel(folder: Path, name: str, version: str, *needs: str) -> None:
    folder.mkdir(exist_ok=True)
    said = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {need}\n" for need in needs)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        file.writestr(f"{info}/METADATA", said)
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def project(folder: Path, wheels: Path, *asked: str, more: str = "") -> Path:
    folder.mkdir()
    pins = ", ".join(f'"{each}"' for each in asked)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "x"\nversion = "0"\nrequires-python = ">=3.10"\ndependencies = [{pins}]\n'
        f'[tool.uv]\npackage = false\nno-index = true\nfind-links = ["{wheels}"]\n{more}'
    )
    subprocess.run([uv.find_uv_bin(), "lock", "-q", "--project", str(folder)], check=True, cwd=folder)
    return folder


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    for version in ("1.0", "1.1", "1.2", "1.3rc1", "2.0"):
        wheel(folder, "alpha", version)
    wheel(folder, "beta", "1.0", "alpha")
    wheel(folder, "beta", "1.1", "alpha>=2")
    return folder


class TestLocks(MixerSuite):
    adapter = "payoff.mixers:locks"

    @pytest.fixture
    def projects(self, tmp_path: Path, wheels: Path) -> tuple[Path, Path]:
        return project(tmp_path / "a", wheels, "alpha==1.0", "beta==1.0"), project(tmp_path / "b", wheels, "alpha==2.0", "beta==1.1")

    def test_packages_of_one_side_only(self, mixer: Any, tmp_path: Path, wheels: Path) -> None:
        wheel(wheels, "gamma", "1.0")
        wheel(wheels, "delta", "1.0", "gamma")
        first = project(tmp_path / "a", wheels, "alpha==1.0")
        second = project(tmp_path / "b", wheels, "alpha==2.0", "delta==1.0")
        assert mixer.mix(first, second, {"alpha": "1.0", "delta": "1.0", "gamma": "1.0"}, tmp_path / "one") == ""
        assert '[[package]]\nname = "gamma"' in (tmp_path / "one" / "uv.lock").read_text()
        # With nothing that needs it, it changes nothing.
        assert mixer.mix(first, second, {"alpha": "1.0", "gamma": "1.0"}, tmp_path / "two") == ""
        assert '[[package]]\nname = "gamma"' not in (tmp_path / "two" / "uv.lock").read_text()

    def test_extras_and_markers_stay(self, mixer: Any, tmp_path: Path, wheels: Path) -> None:
        first = project(tmp_path / "a", wheels, "alpha==1.0 ; python_version > '3'")
        second = project(tmp_path / "b", wheels, "alpha==2.0 ; python_version > '3'")
        assert mixer.mix(first, second, {"alpha": "1.1"}, tmp_path / "mixed") == ""
        assert "python_version > '3'" in (tmp_path / "mixed" / "pyproject.toml").read_text()

    def test_an_index_that_cannot_be_reached(
        self, mixer: Any, tmp_path: Path, projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        for each in projects:
            file = each / "pyproject.toml"
            file.write_text(file.read_text().replace("no-index = true", "no-index = false").replace("find-links", "# "))
        with pytest.raises(OutsideError) as caught:
            mixer.mix(*projects, {"alpha": "1.1", "beta": "1.0"}, tmp_path / "mixed")
        assert caught.value.code == "PO-X020"
