"""What was really loaded, held against what others find out: the metadata of packages, threadpoolctl, the kernel."""

from __future__ import annotations

import importlib
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import pytest
import threadpoolctl

from payoff.base import switches
from payoff.worker import determinism, fingerprints

if TYPE_CHECKING:
    from conftest import Worker

PARTS = {
    "environment", "python", "implementation", "build", "compiler", "libc", "hash_seed", "seed", "threads", "deterministic", "switches",
    "packages", "libraries", "cpu", "gpu",
}  # fmt: skip


def called(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def test_the_worker_knows_the_same_switches() -> None:
    assert determinism.SWITCHES == switches.NAMES
    assert set(determinism.VARIABLES) <= set(switches.NAMES), "what a user may set himself is a fact of the step"


def test_every_part_is_there() -> None:
    """What is missing was not looked at; what is not there is said to be empty."""
    assert fingerprints.fingerprint({}).keys() == PARTS


def test_packages_are_those_of_the_metadata() -> None:
    """Every module that was imported here has its package, with the version that its metadata say."""
    found = fingerprints.packages()
    assert found["numpy"] == numpy.__version__
    for name, version in found.items():
        assert metadata.version(name) == version, name
    known = metadata.packages_distributions()
    for top, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if "." not in top and f"site-packages/{top}" in file and top in known:
            assert any(called(name) in found for name in known[top]), top


def installed(site: Path, name: str, version: str, files: dict[str, str], top_level: str = "") -> None:
    """A package as an installer leaves it."""
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    for file, text in files.items():
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text(text)
    (folder / "RECORD").write_text("".join(f"{file},,\n" for file in files) + f"{folder.name}/RECORD,,\n")
    if top_level:
        (folder / "top_level.txt").write_text(top_level)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder of packages, first on the path; what was imported from it is forgotten afterwards."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_packages_with_other_names_than_their_modules(site: Path) -> None:
    installed(site, "zz_same", "1.0", {"zz_same/__init__.py": ""})
    installed(site, "Other.Name", "2.0", {"zz_top/__init__.py": ""}, top_level="zz_top\n")
    installed(site, "in_record", "3.0", {"zz_single.py": ""})
    installed(site, "shared_one", "4.0", {"zz_shared/one/__init__.py": ""})
    installed(site, "shared_two", "5.0", {"zz_shared/two/__init__.py": ""})
    installed(site, "never", "6.0", {"zz_never/__init__.py": ""})
    for name in ("zz_same", "zz_top", "zz_single", "zz_shared.one"):
        importlib.import_module(name)
    found = fingerprints.packages()
    ours = {"zz-same": "1.0", "other-name": "2.0", "in-record": "3.0", "shared-one": "4.0"}
    assert {name: found.get(name) for name in ours} == ours
    assert not {"shared-two", "never"} & found.keys(), "what was not imported was not loaded"


def test_the_first_on_the_path_is_what_was_loaded(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(site, "zz_twice", "1.0", {"zz_twice/__init__.py": ""})
    installed(tmp_path / "later/site-packages", "zz_twice", "2.0", {"zz_twice/__init__.py": ""})
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "later/site-packages")])
    importlib.import_module("zz_twice")
    assert fingerprints.packages()["zz-twice"] == "1.0"


def test_libraries_are_those_of_threadpoolctl() -> None:
    numpy.linalg.svd(numpy.eye(3))
    found = fingerprints.libraries()
    others = threadpoolctl.threadpool_info()
    assert others
    for each in others:
        ours = found[Path(each["filepath"]).resolve().name]
        assert ours["threads"] == each["num_threads"]
        if each["internal_api"] == "openblas":
            assert each["version"] in ours["config"]
            assert (ours["kernel"], ours["layer"]) == (each["architecture"], each["threading_layer"])


def test_the_processor() -> None:
    text = Path("/proc/cpuinfo").read_text()
    found = fingerprints.processor()
    assert found["model"] in text
    assert set(found["features"]) <= set(text.split())


def test_a_graphics_processor(tmp_path: Path) -> None:
    """As the driver writes it."""
    assert fingerprints.graphics(str(tmp_path)) == {}
    (tmp_path / "gpus/0000:01:00.0").mkdir(parents=True)
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023\nGCC version:  gcc 12\n"
    )
    (tmp_path / "gpus/0000:01:00.0/information").write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 42\n")
    assert fingerprints.graphics(str(tmp_path)) == {"driver": "535.129.03", "models": ["NVIDIA H100 80GB HBM3"]}


def test_a_variable_of_the_shell_reaches_the_library(tmp_path: Path, python: Path, worker: Worker) -> None:
    """OpenBLAS takes another kernel and other threads; the step's own number of threads wins over the shell's."""
    source = "import numpy\ndef step():\n    return float(numpy.ones((9, 9)) @ numpy.ones(9) @ numpy.ones(9))\n"
    own = type(worker)(worker.root, python, OPENBLAS_CORETYPE="Sandybridge", OPENBLAS_NUM_THREADS="2")
    try:
        told = own.result(source)["fingerprint"]
        assert told["environment"] == {"OPENBLAS_CORETYPE": "Sandybridge", "OPENBLAS_NUM_THREADS": "2"}
        assert {(each["kernel"], each["threads"]) for each in blas(told)} == {("Sandybridge", 2)}
        told = own.result(source, threads=1)["fingerprint"]
        assert {(each["kernel"], each["threads"]) for each in blas(told)} == {("Sandybridge", 1)}
    finally:
        own.close()


def blas(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in told["libraries"].values() if each["kind"] == "openblas"]
