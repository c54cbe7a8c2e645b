"""`payoff sandbox` on the light project: what its command sees, what it does not, and what it can do."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from payoff.adapters.executors.local import entering
from payoff.flows.data.sample import MASK
from payoff.flows.environments.collect import collect
from payoff.flows.environments.sandbox import sandbox

PAYOFF = str(Path(sys.executable).with_name("payoff"))
WORD = "verschlossen-und-verriegelt"  # a secret in the environment
ENCLOSES = subprocess.run(["unshare", "-Urm", "true"], check=False, capture_output=True).returncode == 0
enclosed = pytest.mark.skipif(not ENCLOSES, reason="this machine allows no user namespaces")

LOOK = f"""
import glob, json, os
from payoff_tables import customers, examples, train, rates
import payoff_tables
print(json.dumps({{
    "tables": sorted(payoff_tables.__all__),
    "kinds": [type(customers).__module__, type(customers).__name__],
    "columns": {{name: getattr(payoff_tables, name).column_names for name in payoff_tables.__all__}},
    "names": sorted(set(customers.column("name").to_pylist())),
    "ids": {{name: getattr(payoff_tables, name).column("customer_id").to_pylist() for name in ("customers", "examples")}},
    "train": train.num_rows,
    "cwd": os.getcwd(), "home": os.environ["HOME"], "temporary": os.environ["TMPDIR"],
    "variables": sorted(os.environ),
    "secret": [path for path in glob.glob("/proc/[0-9]*/environ") for text in [read(path)] if b"{WORD}" in text],
}}))
""".replace("import glob, json, os\n", """import glob, json, os
def read(path):
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""
""")

REACH = """
import json, os, sys
root = sys.argv[1]
def tried(do):
    try:
        do()
        return "done"
    except OSError as error:
        return type(error).__name__
write = lambda path: tried(lambda: open(path, "a").close())
inside = lambda name: os.path.join(root, name)
print(json.dumps({
    "written": {path: write(path) for path in (inside("pipeline.py"), inside("new"), "/tmp/new-of-sandbox", os.path.join(sys.prefix, "new"), inside(".payoff/new"))},
    "home": write("mine"),
    "shm": write("/dev/shm/x"),
    "store": os.path.exists(inside(".payoff/store")), "ledger": os.path.exists(inside(".payoff/ledger.db")),
    "data": open(inside("data/customers.csv")).read(),
    "code": open(inside("pipeline.py")).read()[:20],
    "removed": tried(lambda: os.remove(inside("charter.toml"))),
    "undone": os.system(f"mount -o remount,rw / 2>/dev/null; umount {inside('data/customers.csv')!r} 2>/dev/null") and "",
    "again": open(inside("data/customers.csv")).read(),
}))
"""


def ask(light: Any, *words: str, code: int = 0, typed: str = "", environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([PAYOFF, "sandbox", *words], cwd=light.root, input=typed, capture_output=True, text=True, check=False, env={**os.environ, **(environ or {})}, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def tree(root: Path) -> dict[str, float]:
    """All files of the project but our own."""
    return {str(path): path.stat().st_mtime for path in root.rglob("*") if path.is_file() and not {".payoff", ".git"} & set(path.parts)}


def held_out(light: Any) -> set[int]:
    """The ids that the newest run held out."""
    from payoff.execute.worth import _holdout
    from payoff.flows.opening import open_past
    from payoff.flows.show import find

    past = open_past(str(light.root))
    record = find(past, "latest")[0]
    with pa.memory_map(str(past.kit.store.path(_holdout(record)))) as source:
        return set(pa.ipc.open_file(source).read_all().column("customer_id").to_pylist())


def test_tables_as_they_may_be_shown(light: Any) -> None:
    before = tree(light.root)
    done = ask(light, "--", "python", "-c", LOOK, environ={"DATABASE_PASSWORD": WORD})
    found = json.loads(done.stdout)
    assert found["tables"] == ["customers", "examples", "rates", "train"]
    assert found["kinds"] == ["pyarrow.lib", "Table"]
    assert found["names"] == [MASK]
    away = held_out(light)
    assert len(away) > 10
    for name, ids in found["ids"].items():
        assert len(ids) > 10, name
        assert not away & set(ids), name
    assert found["train"] == len(found["ids"]["examples"])
    sample = json.loads(light.payoff("data", "sample", "customers", "--json"))["sample"]
    assert found["columns"]["customers"] == sample["columns"]
    # Nothing of this process's environment but what a terminal needs, not even by way of another process.
    assert "DATABASE_PASSWORD" not in found["variables"]
    if ENCLOSES:
        assert found["secret"] == []
    assert found["cwd"] == found["home"]
    assert found["temporary"].startswith(found["home"])
    assert tree(light.root) == before
    assert os.listdir(light.root / ".payoff/sandbox") == []
    access = json.loads(light.payoff("data", "audit", "customers", "--json"))["audit"][1]  # the newest is the sample
    assert access["how"] == "sandbox"
    assert "name" not in access["columns"]


@enclosed
@pytest.mark.parametrize("at_home", [False, True])
def test_nothing_is_written_outside(light: Any, at_home: bool) -> None:
    """Also where the project is in the user's home, which is hidden."""
    before = tree(light.root)
    environ = {"HOME": str(light.root.parent)} if at_home else {}
    done = ask(light, "--table", "rates", "--", "python", "-c", REACH, str(light.root), environ=environ)
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found["written"].values()) == {"OSError"}  # a file system that is read-only
    assert found["removed"] == "OSError"
    assert found["home"] == found["shm"] == "done"
    assert not found["store"]
    assert not found["ledger"]
    assert found["data"] == found["again"] == ""
    assert found["code"]
    assert tree(light.root) == before
    # What was left is kept, and said.
    (kept,) = (light.root / ".payoff/sandbox").iterdir()
    assert os.listdir(kept / "work") == ["mine"]
    assert str(kept.relative_to(light.root)) in done.stderr


def test_a_program_on_standard_input_and_its_end(light: Any) -> None:
    said = ask(light, typed="print(rates.num_rows > 1)\nimport pipeline\nprint(pipeline.model.__name__)\n")
    assert said.stdout.split() == ["True", "model"]
    assert "ValueError: too bad" in ask(light, typed="raise ValueError('too bad')", code=1).stderr
    ask(light, "--table", "rates", "--", "sh", "-c", "exit 7", code=7)
    ask(light, "--table", "rates", "--", "sh", "-c", "kill -9 $$", code=137)


def test_a_prompt(light: Any) -> None:
    """On a terminal: tables are variables once they are named, and what is typed is evaluated."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([PAYOFF, "sandbox"], cwd=light.root, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
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

    try:
        until(b">>> ")
        assert b"customers" in said
        assert b"without the rows that are held out" in said
        os.write(ours, b"def rows(): return customers.num_rows\n\nprint('n', rows() > 10)\n")
        until(b"n True")
        os.write(ours, b"1/0\n")
        until(b"ZeroDivisionError")
        os.write(ours, b"\x04")
        until(b"\n")
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_what_cannot_be_done(light: Any) -> None:
    for words, code in (
        (("--environment", "nope"), "PO-X022"),
        (("--table", "custmers"), "PO-R140"),
        (("--table", "holdout"), "PO-R140"),
        (("--table", "rates", "--", "jupyter", "lab"), "PO-X026"),
        (("--json",), "PO-U003"),
        (("python",), "PO-U003"),
    ):
        assert code in ask(light, *words, code=2).stderr, words
    assert not (light.root / ".payoff/sandbox").exists() or os.listdir(light.root / ".payoff/sandbox") == []


def test_a_machine_that_encloses_nothing_says_so(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entering, "_encloses", lambda _folder: False)
    told: list[str] = []
    monkeypatch.setenv("DATABASE_PASSWORD", WORD)
    code = sandbox(str(light.root), ["python", "-c", f"import os, sys; sys.exit(any('{WORD}' in each for each in os.environ.values()) + 5)"], told.append, tables=["rates"])
    assert code == 5
    assert any("nothing keeps the command from writing elsewhere" in each for each in told)


def test_what_a_killed_session_left_goes_with_the_next(light: Any) -> None:
    """Its tables do; what somebody wrote stays until it is collected."""
    left = light.root / ".payoff/sandbox/999999999-x"
    (left / "tables").mkdir(parents=True)
    (left / "tables/customers.arrow").write_text("x")
    (left / "work").mkdir()
    (left / "work/mine").write_text("x")
    sandbox(str(light.root), ["true"], lambda _line: None, tables=["rates"])
    assert not (left / "tables").exists()
    assert (left / "work/mine").exists()
