"""What `payoff release` refuses when it packs: a run without a model, a server or an environment that cannot be in that image."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from payoff.adapters.registries import layout
from payoff.base.errors import OutsideError, UserError
from payoff.flows.exporting import subject
from payoff.flows.opening import open_project
from payoff.flows.releasing.packing import ground, installed, parts
from payoff.flows.releasing.packing.compiled import compiled
from payoff.flows.serve import offer as offers
from payoff.flows.show import find
from payoff.records.release.image import Member
from payoff.records.release.settings import ReleaseSpec

_spec = importlib.util.spec_from_file_location("refused_releases", Path(__file__).with_name("releases.py"))
assert _spec and _spec.loader
releases = importlib.util.module_from_spec(_spec)
sys.modules["refused_releases"] = releases
_spec.loader.exec_module(releases)
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_a_run_without_a_model_that_was_scored(light: Any) -> None:
    """Each part that a release stands on is missed; the run as it was is not refused."""
    opened = open_project(str(light.root))
    record, _ = find(opened, light.first["run"])
    parts._refuse_without(record, opened.project)
    assert subject.model(subject.Subject(opened, record)).is_file()
    stages = tuple(each for each in record.stages if each.name != "score")
    assert len(stages) < len(record.stages)
    for without in ({"model": None}, {"valuation": None}, {"charter": None}, {"stages": stages}):
        with pytest.raises(UserError, match=record.run) as caught:
            parts._refuse_without(msgspec.structs.replace(record, **without), opened.project)
        assert caught.value.code == "PO-A092"
    with pytest.raises(UserError, match=record.run) as caught:
        parts._refuse_without(record, msgspec.structs.replace(opened.project, steps=()))
    assert caught.value.code == "PO-A092"
    with pytest.raises(UserError, match=record.run) as caught:
        subject.model(subject.Subject(opened, msgspec.structs.replace(record, model=None)))
    assert caught.value.code == "PO-A092"


@pytest.mark.parametrize(("base", "environment", "code"), [(HERE, HERE, ""), ("3.99", "3.99", "PO-A074"), (HERE, "3.99", "PO-A073"), ("3.99", HERE, "PO-A073")])
def test_packages_are_for_the_python_that_loads_them(light: Any, tmp_path: Path, base: str, environment: str, code: str) -> None:
    """The base's, the environment's and Payoff's own are of one version."""
    digest = releases.base(tmp_path / "base", releases.small(base))
    found = ground.ground(ReleaseSpec(digest=digest), layout.connect(tmp_path, layout.Options("base")), tmp_path / "known")
    opened = open_project(str(light.root))
    record, _ = find(opened, light.first["run"])
    offer = offers.of(opened, record, opened.project, lambda _: None)
    python = tmp_path / "environment/bin/python"
    (tmp_path / f"environment/lib/python{environment}").mkdir(parents=True)
    offer = offer._replace(python=python)
    if not code:
        parts._refuse_other_python(found, offer)
        return
    with pytest.raises(UserError, match=f"Python {environment}" if code == "PO-A073" else f"Payoff runs with Python {HERE}") as caught:
        parts._refuse_other_python(found, offer)
    assert caught.value.code == code


def test_a_package_that_the_server_needs_and_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = installed.served()
    names = {each.name.partition("-")[0]: each for each in listed}
    assert "payoff" in names and len(names) > 5
    for each in listed:
        (tmp_path / each.name).mkdir()
        for file in ("METADATA", "RECORD"):
            shutil.copy(each / file, tmp_path / each.name)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert [each.name for each in installed.served()] == [each.name for each in listed]
    shutil.rmtree(tmp_path / names["msgspec"].name)
    with pytest.raises(UserError, match="the package msgspec is not installed") as caught:
        installed.served()
    assert caught.value.code == "PO-A075"


def test_modules_that_cannot_be_compiled(tmp_path: Path) -> None:
    """The interpreter fails, or cannot read; a module that is no Python is no failure, and nothing half-made is left."""
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text("x = 1\n")
    bad.write_text("x = = 1\n")
    members = [Member(path=f"opt/lib/{each.name}", source=os.fspath(each), size=6) for each in (good, bad)]
    made = compiled(members, Path(sys.executable), HERE, tmp_path / "kept")
    assert [each.path for each in made] == [f"opt/lib/__pycache__/good.cpython-{HERE.replace('.', '')}.pyc"]

    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\necho 'No space left on device' >&2\nexit 1\n")
    failing.chmod(0o755)
    gone = [members[0], Member(path="opt/lib/gone.py", source=os.fspath(tmp_path / "gone.py"), size=6)]
    for python, listed, words in ((failing, members, "No space left"), (Path(sys.executable), gone, "No such file")):
        with pytest.raises(OutsideError, match=words) as caught:
            compiled(listed, python, HERE, tmp_path / "other")
        assert caught.value.code == "PO-A076"
        assert not (tmp_path / "other").exists() and not list(tmp_path.glob(".other*"))
