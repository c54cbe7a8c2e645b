"""`payoff environments` on projects of a few small packages made here; nothing is asked of a network."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

import jsonschema
import pytest
import uv

from payoff.base.errors import InvalidInput, OutsideError, UserError
from payoff.flows.environments import known
from payoff.flows.environments.check import check
from payoff.flows.environments.collect import MOST_HYBRIDS, bound, collect
from payoff.flows.environments.lock import lock
from payoff.flows.environments.ls import ls
from payoff.flows.opening import open_past

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of uv beside the projects: whatever else is on this machine, files can be linked, and nothing else is in it."""
    before = os.environ.get("UV_CACHE_DIR")
    folder = tmp_path_factory.mktemp("cache")
    os.environ["UV_CACHE_DIR"] = str(folder)
    yield folder
    os.environ.pop("UV_CACHE_DIR")
    if before is not None:
        os.environ["UV_CACHE_DIR"] = before


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """A project that has environments and nothing else: they can be looked after whatever is wrong with the rest. Locked, nothing installed."""
    folder = tmp_path_factory.mktemp("made") / "ein Stück"
    ask(folder, wheels, "alphaenv==1.0")
    ask(folder / "other", wheels, "betaenv")
    (folder / "payoff.toml").write_text('[project]\nname = "small"\n[environments.other]\nfolder = "other"\n')
    lock(str(folder))
    return folder


@pytest.fixture(scope="module")
def made_installed(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with both environments installed."""
    folder = copy(made, tmp_path_factory.mktemp("installed") / "ein Stück")
    install(folder)
    return folder


def copy(made: Path, to: Path) -> Path:
    """A project whose environments' files are links to the same; but for what says when they were used."""

    def link(file: str, target: str) -> None:
        (os.link if "site-packages" in file else shutil.copy2)(file, target)

    return Path(shutil.copytree(made, to, symlinks=True, copy_function=link))


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return copy(made, tmp_path / "ein Stück")


@pytest.fixture
def installed(made_installed: Path, tmp_path: Path) -> Path:
    return copy(made_installed, tmp_path / "ein Stück")


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


def test_files_that_two_have_are_one_on_the_disk(root: Path, wheels: Path, cache: Path) -> None:
    """Two environments and the cache have the same inode of a wheel's file, which counts once."""
    ask(root, wheels, "alphaenv==1.1")
    lock(str(root))
    install(root)
    inodes = {place(root, name): next(place(root, name).rglob("alphaenv.dat")).stat().st_ino for name in ("default", "other")}
    assert len(inodes) == 2
    (inode,) = set(inodes.values())
    assert inode in {file.stat().st_ino for file in cache.rglob("alphaenv.dat")}
    found = ls(str(root))
    assert found.bytes <= sum(each.kept.bytes for each in found.environments) - BYTES


class Index(BaseHTTPRequestHandler):
    """A package index that wants a password; it counts what it gave away."""

    folder: Path
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        name = unquote(self.path.rstrip("/").rpartition("/")[2])
        files = [each for each in sorted(self.folder.iterdir()) if each.name.startswith(f"{name}-")]
        wheel = self.folder / name
        body = wheel.read_bytes() if wheel.is_file() else "".join(f'<a href="/files/{each.name}">{each.name}</a>' for each in files).encode()
        self.asked.append(name)
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"user:geheim").decode():
            self.send_error(401)
            return
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "application/octet-stream" if wheel.is_file() else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


def test_a_private_index_and_then_no_network(root: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password comes from uv's variables and is in no file; what was installed once is installed again without the index."""
    Index.folder = wheels
    server = HTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("UV_INDEX_PRIVATE_USERNAME", "user")
    monkeypatch.setenv("UV_INDEX_PRIVATE_PASSWORD", "geheim")
    address = f"http://127.0.0.1:{server.server_address[1]}/simple"
    try:
        (root / "pyproject.toml").write_text(
            '[project]\nname = "x"\nversion = "0"\nrequires-python = ">=3.10"\ndependencies = ["betaenv"]\n[tool.uv]\npackage = false\n'
            f'[[tool.uv.index]]\nname = "private"\nurl = "{address}"\ndefault = true\n'
        )
        lock(str(root), "default")
        install(root, "default")
    finally:
        server.shutdown()
        server.server_close()
    assert any(name.startswith("betaenv-1.0") for name in Index.asked)
    assert "geheim" not in (root / "uv.lock").read_text()
    assert run_in(root, "import betaenv, alphaenv; print(betaenv.VERSION, alphaenv.VERSION)") == "1.0 1.0"
    shutil.rmtree(root / ".payoff/environments")
    monkeypatch.setenv("UV_OFFLINE", "1")
    install(root, "default")
    assert run_in(root, "import betaenv; print(betaenv.VERSION)") == "1.0"
    assert lock(str(root), "default")[0].changes == ()
    assert {each.name: each.lock for each in check(str(root)).environments} == {"default": "current", "other": "current"}


def test_a_wheelhouse_is_an_index(root: Path, wheels: Path) -> None:
    """A folder of wheels, as an index of its own that one package is pinned to."""
    (root / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "0"\nrequires-python = ">=3.10"\ndependencies = ["alphaenv"]\n[tool.uv]\npackage = false\n'
        f'[tool.uv.sources]\nalphaenv = {{ index = "house" }}\n[[tool.uv.index]]\nname = "house"\nurl = "{wheels}"\nformat = "flat"\nexplicit = true\n'
    )
    (made,) = lock(str(root), "default", upgrade=True)
    assert [each.after for each in made.changes] == ["1.1"]
    install(root, "default")
    assert run_in(root, "import alphaenv; print(alphaenv.VERSION)") == "1.1"


def run_in(root: Path, program: str) -> str:
    done = subprocess.run([place(root) / "bin/python", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_locks_and_what_is_installed_are_held_against_each_other(installed: Path, wheels: Path) -> None:
    root = installed
    shutil.rmtree(place(root, "other"))
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


@pytest.fixture(scope="module")
def made_three(made_installed: Path, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The lock of the project was another twice: two environments that it does not name, used 50 and 40 days ago, and two that it names."""
    root = copy(made_installed, tmp_path_factory.mktemp("three") / "ein Stück")
    digests = []
    for days, asked in ((50, "alphaenv==1.0"), (40, "alphaenv==1.1")):
        ask(root, wheels, asked)
        lock(str(root), "default")
        install(root, "default")
        age(place(root), days)
        digests.append(place(root).name)
    ask(root, wheels, "betaenv", "alphaenv==1.0")
    lock(str(root), "default")
    install(root, "default")
    for name in ("default", "other"):
        age(place(root, name), 500)
    return root, digests[0], digests[1]


@pytest.fixture
def three(made_three: tuple[Path, str, str], tmp_path: Path) -> tuple[Path, str, str]:
    made, older, newer = made_three
    return copy(made, tmp_path / "ein Stück"), older, newer


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


def test_what_an_interrupted_installation_left_goes(installed: Path) -> None:
    root = installed
    shutil.rmtree(place(root, "other"))
    (place(root) / "payoff-ready").unlink()
    (one,) = ls(str(root)).environments
    assert not one.kept.whole
    answer = collect(str(root))
    assert answer.because == ("an installation that was interrupted",)
    assert ls(str(root)).environments == ()


def test_nothing_goes_on_a_guess(installed: Path) -> None:
    """Of a lock that cannot be read it is not known which environment it names."""
    root = installed
    (root / "uv.lock").write_text("<<<<<<< HEAD\n")
    with pytest.raises(InvalidInput):
        collect(str(root), unused_for=0)
    assert len(ls(str(root)).environments) == 2


def hybrid(root: Path, number: int) -> str:
    """An environment as a search for causes leaves it: named for a lock in the laboratory, used so many days ago."""
    folder = root / ".payoff/environments" / f"hybrid{number}"
    folder.mkdir(parents=True)
    facts = {"name": "default", "folder": str(root / ".payoff/laboratory/environments/x"), "python": "3.11", "packages": 1}
    (folder / "payoff-ready").write_text(json.dumps(facts))
    (folder / "large.dat").write_bytes(os.urandom(50_000))
    age(folder, number)
    return folder.name


def test_hybrids_of_runs_are_bounded(installed: Path) -> None:
    """Without a word after each search for causes, and by hand: those used last stay, and all that are no hybrids."""
    names = [hybrid(installed, number) for number in range(MOST_HYBRIDS + 3)]
    before = ls(str(installed)).bytes
    answer = collect(str(installed), dry_run=True)
    assert [each.kept.digest for each in answer.removed] == names[: MOST_HYBRIDS - 1 : -1]
    assert all("hybrids" in each for each in answer.because)
    assert before - answer.bytes >= 3 * 50_000
    held = os.open(installed / ".payoff/environments" / f"{names[-1]}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_SH)
    assert bound(open_past(str(installed))) == 2
    os.close(held)
    assert bound(open_past(str(installed))) == 1
    assert bound(open_past(str(installed))) == 0
    assert len(ls(str(installed)).environments) == MOST_HYBRIDS + 2


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
