"""A project whose source is a stream: the same examples as from a file, landed by `payoff ingest`, kept through restarts."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Light

_spec = importlib.util.spec_from_file_location("brokers", Path(__file__).parents[1] / "contracts" / "brokers.py")
assert _spec and _spec.loader
brokers = importlib.util.module_from_spec(_spec)
sys.modules["brokers"] = brokers
_spec.loader.exec_module(brokers)

PAYOFF = str(Path(sys.executable).with_name("payoff"))
SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "ingest.json"
KINDS = {"customer_id": int, "tenure": int, "calls_to_support": int, "late_payments": int, "lifetime_value": float, "churned": lambda text: text == "true"}
ARROW = {int: "int64", float: "float64"}


@pytest.fixture(scope="module")
def nats() -> Iterator[Any]:
    server = brokers.NatsServer()
    server.start()
    yield server
    server.end()


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_SECRET", brokers.PASSWORD)


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one, for a thousand transactions."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path, prefix="payoff-") as folder:
        yield Path(folder)


@pytest.fixture
def name() -> str:
    return f"s{time.time_ns()}"


def ingest(at: Path, *words: str, code: int = 0) -> dict[str, Any]:
    done = subprocess.run([PAYOFF, "ingest", "--json", *words], cwd=at, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert brokers.PASSWORD not in done.stdout + done.stderr
    answer = json.loads(done.stdout)
    if code:
        return answer["errors"][0]
    jsonschema.validate(answer, json.loads(SCHEMA.read_text()))
    return answer


def from_stream(project: Path, server: Any, name: str, **more: Any) -> list[bytes]:
    """Turn the project's file of customers into a stream; answers the messages."""
    with open(project / "data/customers.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    made = [{column: KINDS.get(column, str)(text) for column, text in row.items() if text} for row in rows]
    types = {column: ARROW.get(KINDS.get(column, str), "bool" if column == "churned" else "string") for column in rows[0]}
    text = (project / "payoff.toml").read_text(encoding="utf-8")
    start = text.index("[sources.customers]")
    rest = text[start:].partition("\n[")[2]
    listed = "".join(f"{key} = {json.dumps(value)}\n" for key, value in more.items())
    section = (
        f'[sources.customers]\nkind = "nats"\nservers = "{server.options["servers"]}"\nstream = "{name}"\nuser = "tester"\n'
        f'password = "${{NATS_SECRET}}"\n{listed}types = {{ {", ".join(f"{c} = {json.dumps(t)}" for c, t in types.items())} }}\n'
    )
    (project / "payoff.toml").write_text(text[:start] + section + (f"\n[{rest}" if rest else ""), encoding="utf-8")
    return [json.dumps(row).encode() for row in made]


def test_a_lazy_step_makes_the_same_of_the_stream_as_of_the_file_however_it_landed(light: Light, nats: Any, name: str, quick: Path) -> None:
    """In 1, 7 and about 1000 batches: the examples have the identity that they had from the file."""
    project = light.root
    (project / ".payoff" / "landing").symlink_to(quick)
    wanted = json.loads((project / ".payoff/first.json").read_text())["tables"]["examples"]["id"]
    messages = from_stream(project, nats, name)
    nats.send(name, messages)
    text = (project / "payoff.toml").read_text()
    for batches in (1, 7, 1000):
        rows = -(-len(messages) // batches)
        (project / "payoff.toml").write_text(text.replace('user = "tester"', f'user = "tester"\nbatch_rows = {rows}'))
        shutil.rmtree(quick / "customers", ignore_errors=True)
        landed = ingest(project)["tables"][0]
        assert (landed["landed"], landed["set_aside"]) == (len(messages), 0)
        assert landed["batches"] == -(-len(messages) // rows)
        answer = json.loads(subprocess.run([PAYOFF, "run", "--only", "examples", "--force", "--json"], cwd=project, capture_output=True, text=True, check=True).stdout)
        assert answer["tables"]["examples"]["id"] == wanted
    new = json.loads(messages[0]) | {"customer_id": 987654}
    nats.send(name, [json.dumps(new).encode()])
    answer = json.loads(subprocess.run([PAYOFF, "run", "--only", "examples", "--json"], cwd=project, capture_output=True, text=True, check=True).stdout)
    assert answer["tables"]["examples"]["id"] != wanted, "a run lands what is new"
    read = next(each for each in newest(project).stages if each.name == "read:customers")
    assert read.extra["stream"]["rows"] == len(messages) + 1
    assert read.extra["stream"]["offsets"][name]["next"] == len(messages) + 2


def test_landed_rows_go_when_their_retention_is_over_and_are_not_read_again(light: Light, nats: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from payoff.flows.data import expire as flow

    messages = from_stream(light.root, nats, name)
    nats.send(name, [*messages, b"no object"])
    assert ingest(light.root)["tables"][0]["set_aside"] == 1
    line = next(each for each in (light.root / "contracts/customers.yaml").read_text().splitlines() if "{ name: name," in each)
    light.change("contracts/customers.yaml", line, line.replace("name: name,", "name: name, customProperties: [{ property: retention, value: 30 }],"))
    assert flow.expire(str(light.root), erase=True) == ()
    monkeypatch.setattr(flow, "now", lambda: "2100-01-01T00:00:00.000Z")
    (due,) = [each for each in flow.expire(str(light.root), erase=False) if each.what == "landed"]
    assert (due.table, due.rows, due.days, due.column) == ("customers", len(messages) + 1, 30, "customers.name")
    assert [each.erased for each in flow.expire(str(light.root), erase=True) if each.what == "landed"] == [True]
    landing = light.root / ".payoff" / "landing"
    assert not any(b"geheim1" in file.read_bytes() for file in landing.rglob("*") if file.is_file())
    assert not any(b"no object" in file.read_bytes() for file in landing.rglob("*") if file.is_file())
    assert [each for each in flow.expire(str(light.root), erase=True) if each.what == "landed"] == []
    nats.send(name, messages[:40])
    table = ingest(light.root)["tables"][0]
    assert (table["landed"], table["total"]["rows"], table["total"]["set_aside"]) == (40, 40, 0), "what was read is not read again"


def newest(project: Path) -> Any:
    """The newest run's record, as it is kept."""
    from payoff.flows.opening import open_past

    past = open_past(str(project))
    return past.kit.ledger.read(past.id, "latest").entries[-1].record


def test_following_lands_what_comes_through_a_restart_of_the_broker_and_ends_when_told(light: Light, name: str) -> None:
    server = brokers.NatsServer()
    server.start()
    try:
        messages = from_stream(light.root, server, name)
        server.send(name, messages[:10])
        following = subprocess.Popen([PAYOFF, "ingest", "--follow", "--json"], cwd=light.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        rows(light.root, 10)
        server.kill()
        time.sleep(5)  # it cannot be asked whether it has noticed
        server.start()
        server.send(name, messages[10:25])
        rows(light.root, 25)
        following.send_signal(signal.SIGTERM)
        said, complained = following.communicate(timeout=30)
        assert (following.returncode, complained) == (0, "")
        (table,) = json.loads(said)["tables"]
        assert (table["landed"], table["total"]["rows"]) == (25, 25)
        assert table["waits"] >= 1
    finally:
        server.end()


def rows(project: Path, wanted: int) -> None:
    """Wait until so many rows have landed."""
    import sqlite3

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        file = project / ".payoff" / "landing" / "customers" / "landing.db"
        if file.exists():
            connection = sqlite3.connect(file, timeout=10)
            try:
                found = connection.execute("select coalesce(sum(rows), 0) from segments").fetchone()[0]
            except sqlite3.OperationalError:
                found = 0
            finally:
                connection.close()
            if found == wanted:
                return
        time.sleep(0.05)
    pytest.fail(f"{wanted} rows did not land")


def test_what_cannot_be_is_said_in_our_words(light: Light, nats: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at = light.root
    assert ingest(at, code=2)["code"] == "PO-M014"
    messages = from_stream(at, nats, name)
    nats.send(name, [*messages[:3], b"poison"])
    wrong = ingest(at, "custommers", code=2)
    assert (wrong["code"], "customers" in wrong["expected"]) == ("PO-M014", True)
    (table,) = ingest(at, "customers")["tables"]
    assert (table["landed"], table["set_aside"], table["total"]["set_aside"]) == (3, 1, 1)
    said = subprocess.run([PAYOFF, "ingest"], cwd=at, capture_output=True, text=True, check=True)
    assert "customers" in said.stdout
    assert said.stderr == ""
    monkeypatch.setenv("NATS_SECRET", "geheim-4711")
    refused = ingest(at, code=2)
    assert refused["code"] == "PO-M005"
    assert "geheim-4711" not in json.dumps(refused)
