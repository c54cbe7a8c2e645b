"""`payoff environments` on projects of a few small packages made here; nothing is asked of a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import uv

from payoff.base.errors import InvalidInput, OutsideError, UserError
from payoff.flows.environments import known
from payoff.flows.environments.check import check
from payoff.flows.environments.collect import collect
from payoff.flows.environments.lock import lock
from payoff.flows.environments.ls import ls

if TYPE_CHECKING:
    from collections.abc import Callable

PAYOFF = str(Path(sys.executable).with_name("payoff"))
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schemas/environments.json").read_text())
BYTES = 300_000  # of each package


def wheel(folder: Path, name: str, version: str, *needs: str) -> None:
    folder.mkdir(exist_ok=True)
    said = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {need}\n" for need in needs)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        file.writestr(f"{name}.dat", os.urandom(BYTES))
        file.writestr(f"{info}/METADATA", said)
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"{name}.py,,\n{name}.dat,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels") / "räder"
    for version in ("1.0", "1.1"):
        wheel(folder, "alphaenv", version)
    wheel(folder, "betaenv", "1.0", "alphaenv")
    return folder


def ask(folder: Path, wheels: Path, *asked: str) -> None:
    folder.mkdir(exist_ok=True)
    pins = ", ".join(f'"{each}"' for each in asked)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "x"\nversion = "0"\nrequires-python = ">=3.10"\ndependencies = [{pins}]\n'
        f'[tool.uv]\npackage = false\nno-index = true\nfind-links = ["{wheels}"]\n'
    )


@pytest.fixture
def root(tmp_path: Path, wheels: Path) -> Path:
    """A project that has environments and nothing else: they can be looked after whatever is wrong with the rest."""
    folder = tmp_path / "ein Stück"
    ask(folder, wheels, "alphaenv==1.0")
    ask(folder / "other", wheels, "betaenv")
    (folder / "payoff.toml").write_text('[project]\nname = "small"\n[environments.other]\nfolder = "other"\n')
    lock(str(folder))
    return folder


def install(root: Path, *names: str) -> None:
    executor: Any = known.keeper(root)
    for each in known.environments(root):
        if not names or each.name in names:
            executor.prepare(each, lambda _line: None)
    executor.close()


def place(root: Path, name: str = "default") -> Path:
    return root / ".payoff/environments" / next(each.digest for each in known.environments(root) if each.name == name)


def age(folder: Path, days: int) -> None:
    moment = time.time() - 86400 * days - 60
    os.utime(folder / "payoff-ready", (moment, moment))


def test_what_is_installed_and_whose_it_is(root: Path, wheels: Path) -> None:
    assert ls(str(root)).environments == ()
    assert ls(str(root)).lacking == ("default", "other")
    install(root)
    age(place(root), 2)
    found = ls(str(root))
    assert [(each.environments, each.kept.name, each.kept.whole) for each in found.environments] == [(("other",), "other", True), (("default",), "default", True)]
    assert {each.kept.packages for each in found.environments} == {1, 2}
    assert all(each.kept.bytes > BYTES for each in found.environments)
    assert sum(each.kept.own_bytes for each in found.environments) == found.bytes
    # A lock that is another leaves what was installed for the one before.
    ask(root, wheels, "alphaenv==1.1")
    (made,) = lock(str(root), "default")
    assert [(each.package, each.before, each.after) for each in made.changes] == [("alphaenv", "1.0", "1.1")]
    found = ls(str(root))
    assert found.lacking == ("default",)
    assert found.environments[1].environments == ()
    assert found.environments[1].run is None


def test_files_that_two_have_count_once(root: Path, wheels: Path) -> None:
    """Files are links to one copy, where uv can make links."""
    ask(root, wheels, "alphaenv==1.1")
    lock(str(root))
    install(root)
    found = ls(str(root))
    both = sum(each.kept.bytes for each in found.environments)
    inodes = {file.stat().st_ino for file in (root / ".payoff/environments").rglob("alphaenv.dat")}
    assert found.bytes == both if len(inodes) == 2 else found.bytes <= both - BYTES


def test_locks_and_what_is_installed_are_held_against_each_other(root: Path, wheels: Path) -> None:
    install(root, "default")
    states = lambda: {each.name: (each.lock, each.installed) for each in check(str(root)).environments}  # noqa: E731
    assert states() == {"default": ("current", "whole"), "other": ("current", "absent")}
    assert check(str(root)).findings == ()
    subprocess.run([uv.find_uv_bin(), "pip", "install", "-q", "--offline", "--no-index", "-f", str(wheels), "--python", str(place(root) / "bin/python"), "betaenv"], check=True)
    assert states()["default"] == ("current", "changed")
    (wrong,) = check(str(root)).findings
    assert wrong.code == "PO-X024"
    assert "betaenv" in wrong.what
    ask(root, wheels, "betaenv")
    (root / "other" / "uv.lock").unlink()
    assert states() == {"default": ("stale", "unknown"), "other": ("missing", "unknown")}
    assert [each.code for each in check(str(root)).findings] == ["PO-P023", "PO-P021"]
    assert [each.code for each in check(str(root), "other").findings] == ["PO-P021"]
    with pytest.raises(UserError) as caught:
        check(str(root), "othr")
    assert caught.value.code == "PO-X022"
    assert "nearest: other" in caught.value.expected


def test_a_lock_moves_only_what_is_asked_for(root: Path, wheels: Path) -> None:
    ask(root / "other", wheels, "betaenv", "alphaenv<1.1")
    lock(str(root), "other")
    ask(root / "other", wheels, "betaenv")
    assert lock(str(root), "other")[0].changes == ()
    (moved,) = lock(str(root), "other", packages=["alphaenv"])
    assert [(each.package, each.after) for each in moved.changes] == [("alphaenv", "1.1")]
    ask(root, wheels, "alphaenv==7")
    with pytest.raises(UserError) as caught:
        lock(str(root), "default")
    assert caught.value.code == "PO-X025"
    assert "alphaenv" in caught.value.what


def test_a_lock_without_a_network(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    text = (root / "pyproject.toml").read_text()
    (root / "pyproject.toml").write_text(text.replace("no-index = true", "").replace("alphaenv==1.0", "alphaenvelse").replace("find-links", "# "))
    with pytest.raises(OutsideError) as caught:
        lock(str(root), "default")
    assert caught.value.code == "PO-X020"


def gone(root: Path, **bounds: Any) -> list[str]:
    return [each.kept.digest for each in collect(str(root), **bounds).removed]


@pytest.fixture
def three(root: Path, wheels: Path) -> tuple[Path, str, str]:
    """The lock of the project was another twice: two environments that it does not name, used 50 and 40 days ago, and two that it names."""
    install(root)
    digests = []
    for days, asked in ((50, "alphaenv==1.0"), (40, "alphaenv==1.1")):
        ask(root, wheels, asked)
        lock(str(root))
        install(root, "default")
        age(place(root), days)
        digests.append(place(root).name)
    ask(root, wheels, "betaenv", "alphaenv==1.0")
    lock(str(root))
    install(root)
    for name in ("default", "other"):
        age(place(root, name), 500)
    return root, digests[0], digests[1]


def test_what_nobody_needs_goes(three: tuple[Path, str, str]) -> None:
    """Never what the project names, however old."""
    root, older, newer = three
    assert gone(root, unused_for=60) == []
    assert gone(root, dry_run=True) == [older, newer]  # 30 days
    assert gone(root, unused_for=45) == [older]
    assert not (root / ".payoff/environments" / older).exists()
    assert (root / ".payoff/environments" / newer).exists()
    assert gone(root, unused_for=0) == [newer]
    assert gone(root, unused_for=0, keep_bytes=0) == []
    assert len(ls(str(root)).environments) == 2


def test_the_longest_unused_goes_until_the_rest_fits(three: tuple[Path, str, str]) -> None:
    root, older, newer = three
    total = ls(str(root)).bytes
    assert gone(root, keep_bytes=total) == []
    assert gone(root, keep_bytes=total - 1, dry_run=True) == [older]
    answer = collect(str(root), keep_bytes=total - 1)
    assert [each.kept.digest for each in answer.removed] == [older]
    assert answer.bytes == ls(str(root)).bytes < total
    assert gone(root, keep_bytes=0) == [newer]


def test_one_in_use_stays(three: tuple[Path, str, str], executor_of: Callable[[Path, str], Any]) -> None:
    """A process that has a server in it holds it, also when the process that started the server is gone."""
    root, older, newer = three
    executor = executor_of(root, older)
    assert {each.kept.digest: each.kept.in_use for each in ls(str(root)).environments}[older]
    answer = collect(str(root), unused_for=0)
    assert answer.held in ((older,), ())  # it was used just now, so that it need not be due
    assert older not in {each.kept.digest for each in answer.removed}
    answer = collect(str(root), keep_bytes=0)
    assert answer.held == (older,)
    executor.close()
    assert gone(root, keep_bytes=0) == [older]
    assert newer not in {each.kept.digest for each in ls(str(root)).environments}


@pytest.fixture
def executor_of() -> Any:
    """Starts a server in the environment of a digest that the project does not name any more."""
    made = []

    def start(root: Path, digest: str) -> Any:
        executor: Any = known.keeper(root)
        made.append(executor)
        from msgspec.structs import replace

        executor.prepare(replace(known.environments(root)[0], digest=digest), lambda _line: None)
        return executor

    yield start
    for each in made:
        each.close()


def test_what_an_interrupted_installation_left_goes(root: Path) -> None:
    install(root, "default")
    (place(root) / "payoff-ready").unlink()
    (one,) = ls(str(root)).environments
    assert not one.kept.whole
    answer = collect(str(root))
    assert answer.because == ("an installation that was interrupted",)
    assert ls(str(root)).environments == ()


def test_nothing_goes_on_a_guess(root: Path) -> None:
    """Of a lock that cannot be read it is not known which environment it names."""
    install(root)
    (root / "uv.lock").write_text("<<<<<<< HEAD\n")
    with pytest.raises(InvalidInput):
        collect(str(root), unused_for=0)
    assert len(ls(str(root)).environments) == 2


def test_old_locks_between_runs_go(root: Path) -> None:
    for name, days in (("old", 31), ("new", 2)):
        folder = root / ".payoff/laboratory/environments" / name
        folder.mkdir(parents=True)
        moment = time.time() - 86400 * days
        os.utime(folder, (moment, moment))
    assert collect(str(root), dry_run=True).mixes == 1
    assert collect(str(root)).mixes == 1
    assert os.listdir(root / ".payoff/laboratory/environments") == ["new"]


def test_screens_documents_and_exit_codes(root: Path) -> None:
    def payoff(*words: str, code: int = 0) -> str:
        done = subprocess.run([PAYOFF, "environments", *words], cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    install(root, "other")
    assert "the project: other" in payoff()
    assert "the next run does it: default" in payoff("list")
    for question, code in (("list", 0), ("check", 0), ("lock", 0), ("collect", 0)):
        document = json.loads(payoff(question, "--json", code=code))
        jsonschema.validate(document, SCHEMA)
        assert document[question] is not None
    (root / "other/uv.lock").unlink()
    assert "PO-P021" in payoff("check", code=2)
    assert "2 changes" not in payoff("lock", "default")
    assert "betaenv was not there → 1.0" in payoff("lock", "other")
    assert "nothing was removed" in payoff("collect", "--keep-bytes", "20GB")
    for words in (("colect",), ("collect", "--keep-bytes", "much"), ("collect", "--unused-for", "-1"), ("list", "--unused")):
        assert "Try: payoff environments" in payoff(*words, code=2)


@pytest.mark.parametrize(("text", "number"), [("20GB", 20 * 10**9), ("1.5 MiB", 1572864), ("7", 7), ("0kb", 0)])
def test_sizes(text: str, number: int) -> None:
    from payoff.cli.environments.environments import _size

    assert _size(text) == number
