"""`payoff sandbox` on the light project: what its command sees, what it does not, and what it can do."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from payoff.adapters.executors.local import entering
from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.flows.data.audit import audit
from payoff.flows.data.sample import MASK
from payoff.flows.data.sample import sample
from payoff.flows.environments import known
from payoff.flows.environments.collect import collect
from payoff.flows.environments.sandbox import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAYOFF = str(Path(sys.executable).with_name("payoff"))
WORD = "verschlossen-und-verriegelt"  # a secret in the environment
ENCLOSES = subprocess.run(["unshare", "-Urm", "true"], check=False, capture_output=True).returncode == 0
enclosed = pytest.mark.skipif(not ENCLOSES, reason="this machine allows no user namespaces")
LEDGER = {".payoff/ledger.db", ".payoff/ledger.db-wal", ".payoff/ledger.db-shm"}  # where the access is written down

LOOK = f"""
import glob, json, os
import payoff_tables
from payoff_tables import customers, examples, train, rates
def read(path):
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""
print(json.dumps({{
    "tables": sorted(payoff_tables.__all__),
    "kinds": [type(customers).__module__, type(customers).__name__],
    "columns": {{name: getattr(payoff_tables, name).column_names for name in payoff_tables.__all__}},
    "names": sorted(set(customers.column("name").to_pylist())),
    "ids": {{name: getattr(payoff_tables, name).column("customer_id").to_pylist() for name in ("customers", "examples")}},
    "train": train.num_rows,
    "cwd": os.getcwd(), "home": os.environ["HOME"], "temporary": os.environ["TMPDIR"],
    "variables": sorted(os.environ),
    "secret": [path for path in glob.glob("/proc/[0-9]*/environ") if b"{WORD}" in read(path)],
}}))
"""

REACH = """
import json, os, sys
root, outside = sys.argv[1:]
def tried(do):
    try:
        do()
        return "done"
    except OSError as error:
        return type(error).__name__
write = lambda path: tried(lambda: open(path, "a").close())
inside = lambda name: os.path.join(root, name)
places = (inside("pipeline.py"), inside("new"), "/tmp/new-of-sandbox", os.path.join(sys.prefix, "new"), inside(".payoff/new"), "project/new")
print(json.dumps({
    "written": {path: write(path) for path in places},
    "home": write("mine"), "temporary": write(os.path.join(os.environ["TMPDIR"], "x")), "shm": write("/dev/shm/x"),
    "there": [path for path in (inside(".payoff/store"), inside(".payoff/ledger.db"), inside(".git/HEAD"), outside) if os.path.exists(path)],
    "data": open(inside("data/customers.csv")).read(), "passwords": open(inside(".env")).read(),
    "code": open(inside("pipeline.py")).read()[:20],
    "removed": tried(lambda: os.remove(inside("charter.toml"))),
    "undone": os.system(f"mount -o remount,rw / 2>/dev/null; umount '{inside('data/customers.csv')}' 2>/dev/null") and "",
    "again": open(inside("data/customers.csv")).read() + write(inside("new")),
}))
"""


@pytest.fixture(scope="module")
def root(made_light: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy of the light project for all tests here: a sandbox leaves it as it was, which is tested."""
    kept = made_light / ".payoff/environments"
    away = lambda folder, names: [name for name in names if Path(folder, name) in (kept, made_light / ".venv")]  # noqa: E731
    copied = Path(shutil.copytree(made_light, tmp_path_factory.mktemp("sandbox") / "ein Stück 数", symlinks=True, ignore=away))
    (copied / ".payoff/environments").symlink_to(kept)
    (copied / ".env").write_text(f"DATABASE_PASSWORD={WORD}\n")
    (copied.parent / "draußen").mkdir()
    (copied.parent / "draußen/names.csv").write_text(f"customer_id,word\n1,{WORD}\n")
    with open(copied / "payoff.toml", "a", encoding="utf-8") as stream:
        stream.write('[sources.names]\nkind = "files"\npath = "../draußen/*.csv"\n')
    return copied


@pytest.fixture
def enter(root: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """A sandbox of this process: its exit code, what its command printed, what it was told."""

    def do(*command: str, code: int = 0, **more: Any) -> Said:
        told: list[str] = []
        capfd.readouterr()
        ended = sandbox(str(root), command, told.append, **more)
        out, err = capfd.readouterr()
        assert ended == code, out + err
        return Said(out, err, "\n".join(told))

    return do


class Said:
    def __init__(self, out: str, err: str, told: str) -> None:
        self.out, self.err, self.told = out, err, told


def tree(root: Path) -> dict[str, tuple[int, int]]:
    """All files of the project, its store included, but the ledger, the environments, and what Payoff has of a project that it loads (git's objects are looked at)."""
    away = {"environments", "objects", "cache"}
    files = (path for path in root.rglob("*") if path.is_file() and not away & set(path.parts))
    facts = {str(path.relative_to(root)): path.stat() for path in files}
    return {name: (each.st_mtime_ns, each.st_size) for name, each in facts.items() if name not in LEDGER}


def left(root: Path) -> list[Path]:
    """What sessions left."""
    base = root / ".payoff/sandbox"
    return sorted(base.iterdir()) if base.exists() else []


def held_out(root: Path) -> set[int]:
    """The ids that the newest run held out."""
    from payoff.execute.worth import _holdout
    from payoff.flows.opening import open_past
    from payoff.flows.show import find

    past = open_past(str(root))
    artifact = _holdout(find(past, "latest")[0])
    assert artifact is not None
    with pa.memory_map(str(past.kit.store.path(artifact))) as source:
        return set(pa.ipc.open_file(source).read_all().column("customer_id").to_pylist())


def test_tables_as_they_may_be_shown(root: Path, enter: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(root)
    monkeypatch.setenv("DATABASE_PASSWORD", WORD)
    found = json.loads(enter("python", "-c", LOOK).out)
    assert found["tables"] == ["customers", "examples", "rates", "train"]
    assert found["kinds"] == ["pyarrow.lib", "Table"]
    assert found["names"] == [MASK]
    away = held_out(root)
    assert len(away) > 10
    for name, ids in found["ids"].items():
        assert len(ids) > 10, name
        assert not away & set(ids), name
    assert found["train"] == len(found["ids"]["examples"])
    assert found["columns"]["customers"] == list(sample(str(root), "customers").columns)
    # Nothing of this process's environment but what a terminal needs.
    assert "DATABASE_PASSWORD" not in found["variables"]
    assert "ORT_DISABLE_TELEMETRY" in found["variables"]
    if ENCLOSES:
        assert found["secret"] == []  # nor by way of another process
    assert found["cwd"] == found["home"]
    assert found["temporary"].startswith(found["home"])
    assert tree(root) == before
    assert left(root) == []
    access = next(each for each in audit(str(root), "customers") if each.how == "sandbox")
    assert "customer_id" in access.columns
    assert "name" not in access.columns


@enclosed
@pytest.mark.parametrize("at_home", [False, True])
def test_nothing_is_written_outside(root: Path, enter: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, at_home: bool) -> None:
    """Also where the project is in the user's home, which is hidden."""
    before = tree(root)
    if at_home:
        monkeypatch.setenv("HOME", str(root.parent))
    said = enter("python", "-c", REACH, str(root), str(root.parent / "draußen/names.csv"), tables=["rates"])
    found = json.loads(said.out.splitlines()[-1])
    assert set(found["written"].values()) == {"OSError"}  # a file system that is read-only
    assert found["removed"] == "OSError"
    assert found["home"] == found["temporary"] == found["shm"] == "done"
    assert found["there"] == []
    assert found["data"] == found["passwords"] == ""
    assert found["again"] == "OSError"
    assert found["code"]
    # What was left is kept, and said; nothing else is new.
    (kept,) = left(root)
    assert os.listdir(kept / "work") == ["mine"]
    assert f"{kept.name}/work" in said.told
    shutil.rmtree(kept)
    assert tree(root) == before


def test_a_program_on_standard_input_and_its_end(root: Path) -> None:
    """As a user types it: also that the exit code is the command's."""

    def ask(typed: str, *words: str, code: int) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([PAYOFF, "sandbox", *words], cwd=root, input=typed, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    program = "print(rates.num_rows > 1)\nimport pipeline\nprint(pipeline.model.__name__)\nraise ValueError('too bad')"
    done = ask(program, code=1)
    assert done.stdout.split() == ["True", "model"]
    assert "ValueError: too bad" in done.stderr
    ask("", "--table", "rates", "--", "sh", "-c", "exit 7", code=7)


def test_what_ends_by_a_signal(enter: Callable[..., Said]) -> None:
    enter("sh", "-c", "kill -9 $$", code=137, tables=["rates"])


def test_a_prompt(root: Path) -> None:
    """On a terminal: tables are variables once they are named; Ctrl-C stops what was typed and not the prompt."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [PAYOFF, "sandbox"], cwd=root, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )
    os.close(theirs)
    said = b""

    def until(text: bytes) -> None:
        nonlocal said
        deadline = time.monotonic() + 60
        while text not in said and time.monotonic() < deadline:
            if select.select([ours], [], [], 1)[0]:
                try:
                    said += os.read(ours, 4096)
                except OSError:
                    break
        assert text in said, said.decode()
        said = said.partition(text)[2]

    try:
        until(b"customers")
        until(b"without the rows that are held out")
        until(b">>> ")
        os.write(ours, b"def rows(): return customers.num_rows\n\nprint('n', rows() > 10)\n")
        until(b"n True")
        os.write(ours, b"import time; print('beg' + 'un', flush=True); [time.sleep(0.01) for _ in range(60_000)]\n")
        until(b"begun")
        os.write(ours, b"\x03")
        until(b"KeyboardInterrupt")
        os.write(ours, b"1/0\n")
        until(b"ZeroDivisionError")
        until(b">>> ")  # what is typed before that is thrown away when the prompt takes over the terminal
        os.write(ours, b"\x04")
        assert process.wait(90) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert left(root) == []


@pytest.fixture
def begun(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`payoff sandbox` with a command that runs on, with a process of its own that left its session; no terminal."""
    program = "import subprocess, sys, time; subprocess.Popen(['sleep', '611'], start_new_session=True); print('begun', flush=True); time.sleep(612)"
    process = subprocess.Popen(
        [PAYOFF, "sandbox", "--table", "rates", "--", "python", "-c", program], cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    yield process
    process.kill()
    process.communicate()


def at_work(root: Path) -> list[str]:
    """The processes of sandboxes of the project: their folders are these, or they are told so."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = os.readlink(folder / "cwd")
        except OSError:
            continue
        if f"{root}/.payoff/sandbox" in words + where:
            found.append(words)
    return found


def test_ctrl_c_ends_the_command_and_leaves_nothing(root: Path, begun: subprocess.Popen[bytes]) -> None:
    assert at_work(root)
    os.killpg(begun.pid, signal.SIGINT)  # as a terminal does
    said = begun.communicate(timeout=60)[1]
    assert begun.returncode in {1, 130}, said  # as Python ends: the traceback, then the signal
    assert b"KeyboardInterrupt" in said
    assert left(root) == []
    if ENCLOSES:
        assert at_work(root) == []


def test_a_kill_leaves_no_process_and_no_table(root: Path, begun: subprocess.Popen[bytes]) -> None:
    (session,) = left(root)
    assert (session / "tables/rates.arrow").exists()
    begun.kill()
    begun.wait(60)
    deadline = time.monotonic() + 90
    while ((ENCLOSES and at_work(root)) or (session / "tables").exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not (session / "tables").exists()
    if ENCLOSES:
        assert at_work(root) == []
    collect(str(root))
    assert left(root) == []


def test_what_was_killed_as_a_whole_goes_with_the_next(root: Path, enter: Callable[..., Said]) -> None:
    """Its tables do; what somebody wrote stays until its owner removes it."""
    session = root / ".payoff/sandbox/20260101-000000-abcdef"
    (session / "tables").mkdir(parents=True)
    (session / "tables/customers.arrow").write_text("x")
    (session / "work").mkdir()
    (session / "work/project").symlink_to(root)
    (session / "work/mine").write_text("x")
    enter("true", tables=["rates"])
    assert not (session / "tables").exists()
    assert os.listdir(session / "work") == ["mine"]
    shutil.rmtree(session)


@enclosed
def test_the_network_is_there_unless_it_is_not_wanted(enter: Callable[..., Said]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = (
            "import socket, sys\n"
            "mine = socket.create_server(('127.0.0.1', 0)); socket.create_connection(mine.getsockname())\n"  # Jupyter's kernels need that
            f"socket.create_connection(('127.0.0.1', {server.getsockname()[1]}))"
        )
        enter("python", "-c", program, tables=["rates"])
        assert "ConnectionRefusedError" in enter("python", "-c", program, tables=["rates"], network=False, code=1).err


@enclosed
def test_services_of_the_machine_are_not_reached(tmp_path: Path, enter: Callable[..., Said]) -> None:
    """A socket that any program may use would be written to also where the disk is read-only."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        program = f"import socket; socket.socket(socket.AF_UNIX).connect({str(tmp_path / 's')!r})"
        assert "FileNotFoundError" in enter("python", "-c", program, tables=["rates"], code=1).err


def test_what_cannot_be_done(root: Path) -> None:
    asked: list[tuple[dict[str, Any], list[str], str]] = [
        ({"environment": "nope"}, [], "PO-X022"),
        ({"tables": ["custmers"]}, [], "PO-R140"),
        ({"tables": ["holdout"]}, [], "PO-R140"),
        ({"tables": ["rates"]}, ["jupyter", "lab"], "PO-X026"),
    ]
    for more, command, code in asked:
        with pytest.raises(UserError) as caught:
            sandbox(str(root), command, lambda _line: None, **more)
        assert caught.value.code == code
    assert left(root) == []


def test_words_that_are_no_options(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from payoff.cli.environments.sandbox import main

    for words in (["--json"], ["python"], ["--tables"]):
        with pytest.raises(UserError) as caught:
            main([*words, "--project", str(root)])
        assert caught.value.code.startswith("PO-U"), words


def test_an_environment_that_is_not_as_locked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that pyproject.toml has left behind, and packages that somebody changed, are refused before any table is read."""
    text = (root / "pyproject.toml").read_text()
    try:
        (root / "pyproject.toml").write_text(text.replace("pyarrow>=", "pyarrow>=0.1,>="))
        with pytest.raises(PayoffError) as caught:
            sandbox(str(root), ["true"], lambda _line: None)
        assert "uv.lock" in str(caught.value) or "PO-P023" in str(caught.value)
    finally:
        (root / "pyproject.toml").write_text(text)
    own = known.environments(root)[0]
    shutil.copytree(root / ".payoff/environments" / own.digest, root.parent / "kept", symlinks=True)
    shared = (root / ".payoff/environments").resolve()
    (root / ".payoff/environments").unlink()
    try:
        (root / ".payoff/environments").mkdir()
        shutil.move(root.parent / "kept", root / ".payoff/environments" / own.digest)
        (found,) = (root / ".payoff/environments" / own.digest / "lib").glob("python*/site-packages/pyarrow-*.dist-info")
        shutil.rmtree(found)
        with pytest.raises(UserError) as changed:
            sandbox(str(root), ["true"], lambda _line: None)
        assert changed.value.code == "PO-X024"
        assert "pyarrow" in changed.value.what
    finally:
        shutil.rmtree(root / ".payoff/environments")
        (root / ".payoff/environments").symlink_to(shared)


def test_a_machine_that_encloses_nothing_says_so(enter: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entering, "_encloses", lambda _folder, *, network: False)
    monkeypatch.setenv("DATABASE_PASSWORD", WORD)
    program = f"import os, sys; sys.exit(any('{WORD}' in each for each in os.environ.values()) + 5)"
    assert "nothing keeps the command from writing elsewhere" in enter("python", "-c", program, tables=["rates"], code=5).told
    with pytest.raises(OutsideError) as caught:
        enter("true", tables=["rates"], network=False)
    assert caught.value.code == "PO-X027"
