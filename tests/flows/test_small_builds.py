"""`payoff init` pins a large package to the build that pip knows on this machine; wheels here are names of files alone."""

from __future__ import annotations

import os
import platform
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from payoff.flows import init

TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"
MACHINE = platform.machine()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The template's pyproject.toml, and a pip that looks nowhere but in the folder `wheels`."""
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)  # no file at all
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path / 'wheels'} https://example.org/wheels relative/wheels")
    text = resources.files("payoff").joinpath("templates", "pytorch", "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(text.replace("{{slug}}", "shop"))
    return tmp_path


def used(project: Path, *wheels: str) -> tuple[dict, list[str]]:
    for name in wheels:
        (project / "wheels" / name).touch()
    told: list[str] = []
    init._use_small_builds(project, told.append)
    return tomllib.loads((project / "pyproject.toml").read_text()), told


def test_the_newest_that_fits_is_pinned_with_its_folder(project: Path) -> None:
    table, told = used(
        project,
        f"torch-2.9.1+cpu-{TAG}-{TAG}-manylinux_2_28_{MACHINE}.whl",
        f"torch-2.13.0+cpu-{TAG}-{TAG}-manylinux_2_28_{MACHINE}.whl",
        f"torch-2.14.0+cpu-cp39-cp39-manylinux_2_28_{MACHINE}.whl",
        f"torch-2.14.0+cpu-{TAG}-{TAG}-win_other.whl",
        f"torch-2.15.0-{TAG}-{TAG}-manylinux_2_28_{MACHINE}.whl",
        f"torchvision-9.9.9+cpu-{TAG}-{TAG}-manylinux_2_28_{MACHINE}.whl",
    )
    assert "torch==2.13.0+cpu" in table["project"]["dependencies"]
    assert table["project"]["requires-python"] == f"=={sys.version_info.major}.{sys.version_info.minor}.*"
    assert table["tool"]["uv"] == {"find-links": [str(project / "wheels")], "package": False}
    assert told == [f"torch 2.13.0+cpu comes from {project / 'wheels'}, where pip looks too"]


def test_without_one_nothing_changes(project: Path) -> None:
    before = (project / "pyproject.toml").read_text()
    table, told = used(project, f"torch-2.15.0-{TAG}-{TAG}-manylinux_2_28_{MACHINE}.whl")
    assert (project / "pyproject.toml").read_text() == before
    assert "torch>=2.6,<3" in table["project"]["dependencies"]
    assert told == []


def test_a_project_without_large_packages_does_not_ask_pip(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starter = resources.files("payoff").joinpath("templates", "starter", "pyproject.toml").read_text(encoding="utf-8")
    (project / "pyproject.toml").write_text(starter)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(init, "_on_disk", lambda name: pytest.fail(name))
    assert used(project)[1] == []
