"""The SQLite ledger: the contract suite, and what only a file can have happen to it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payoff.adapters.ledgers.sqlite import Options, SqliteLedger, chain, connect, verify
from payoff.base.errors import OutsideError, UserError
from payoff.testing.ledger import PROJECT, LedgerSuite
from payoff.testing.samples import sample_outcome, sample_record

if TYPE_CHECKING:
    from pathlib import Path


class TestSqliteLedger(LedgerSuite):
    adapter = "payoff.ledgers:sqlite"


RUNS = [f"20261123-144105-{letter * 6}" for letter in "abcd"]


@pytest.fixture
def ledger(tmp_path: Path) -> SqliteLedger:
    made = connect(tmp_path)
    for run in RUNS:
        made.journal(PROJECT, run, "started", {})
        made.journal(PROJECT, run, "step", msgspec.to_builtins(sample_outcome("model", f"k-{run}", run)))
        made.append(sample_record(run))
    return made


def tamper(ledger: SqliteLedger, *statements: str) -> None:
    """Change the file as somebody would who knows SQLite: the triggers are dropped first."""
    with sqlite3.connect(ledger.path) as connection:
        for table in ("entries", "journal", "remembered"):
            for verb in ("update", "delete"):
                connection.execute(f"drop trigger {table}_no_{verb}")
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_an_untouched_ledger_verifies(ledger: SqliteLedger) -> None:
    assert verify(ledger) == len(RUNS)


@pytest.mark.parametrize("table", ["entries", "journal", "remembered"])
@pytest.mark.parametrize("statement", ["update {} set project = 'x'", "delete from {}"])
def test_rows_cannot_be_changed_or_deleted(ledger: SqliteLedger, table: str, statement: str) -> None:
    connection = sqlite3.connect(ledger.path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement.format(table))
    connection.close()
    assert verify(ledger) == len(RUNS)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("update entries set body = replace(cast(body as text), '37000', '99000') where number = 2", "record 2 "),
        (
            "update entries set body = cast(replace(cast(body as text), '37000', '99000') as blob) where number = 3",
            "record 3 ",
        ),
        ("delete from entries where number = 2", "record 3 "),
        ("update entries set project = 'other' where number = 1", "record 1 "),
        ("update entries set previous = '00' where number = 4", "record 4 "),
        ("update journal set model = 'x' where seq = 5", "event 5 "),
        ("delete from journal where seq = 4", "event 5 "),
    ],
)
def test_tampering_is_found_and_the_first_broken_row_named(ledger: SqliteLedger, statement: str, named: str) -> None:
    tamper(ledger, statement)
    with pytest.raises(OutsideError, match=named) as caught:
        verify(ledger)
    assert caught.value.code == "PO-L008"


def test_a_record_that_was_changed_is_not_shown(ledger: SqliteLedger) -> None:
    tamper(
        ledger, "update entries set body = cast(replace(cast(body as text), '37000', '99000') as blob) where number = 3"
    )
    assert ledger.read(PROJECT, RUNS[1]).entries
    with pytest.raises(OutsideError, match="PO-L008"):
        ledger.read(PROJECT, RUNS[2])


@pytest.mark.parametrize("number", [1, 2])
def test_a_record_that_was_made_anew_with_its_hash_is_not_shown(ledger: SqliteLedger, number: int) -> None:
    """Its own hash fits; the next record names another."""
    with sqlite3.connect(ledger.path) as connection:
        previous, body = connection.execute(
            "select previous, cast(body as blob) from entries where number = ?", (number,)
        ).fetchone()
    connection.close()
    body = body.replace(b"37000", b"99000")
    tamper(
        ledger,
        f"update entries set body = x'{body.hex()}', hash = '{chain.of_entry(previous, body)}' where number = {number}",
    )
    with pytest.raises(OutsideError, match="PO-L008"):
        ledger.read(PROJECT, RUNS[number - 1])


def test_a_record_taken_out_shows_in_its_neighbours(ledger: SqliteLedger) -> None:
    tamper(ledger, "delete from entries where number = 2")
    with pytest.raises(OutsideError, match="PO-L008"):
        ledger.read(PROJECT, RUNS[2])


def test_a_list_shows_nothing_of_a_record_that_was_changed(ledger: SqliteLedger) -> None:
    tamper(ledger, "update entries set body = replace(cast(body as text), '37000', '99000') where number = 3")
    listed = {each.run: each for each in ledger.read(PROJECT).summaries}
    assert len(listed) == len(RUNS)
    assert "was changed" in listed[RUNS[2]].reason
    assert listed[RUNS[2]].gain is None
    assert "was changed" not in "".join(each.reason for run, each in listed.items() if run != RUNS[2])


def test_a_key_does_not_lead_to_another_steps_outcome(ledger: SqliteLedger) -> None:
    tamper(ledger, "insert into remembered select seq + 1, project, step, 'wanted' from remembered where seq = 2")
    assert ledger.recall(["wanted"]) == {}


_events = st.sampled_from(["started", "step", "look", "tracked", "append"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            _events, st.sampled_from(RUNS), st.sampled_from("ab"), st.one_of(st.sampled_from("mn"), st.text(max_size=8))
        ),
        max_size=20,
    )
)
def test_any_sequence_of_writes_verifies(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[str, str, str, str]]
) -> None:
    ledger = connect(tmp_path_factory.mktemp("ledger"))
    for event, run, name, text in writes:
        if event == "append":
            ledger.append(sample_record(run, name=text, metrics={text: 1.0}))
        elif event == "step":
            ledger.journal(PROJECT, run, event, msgspec.to_builtins(sample_outcome(name, name, run)))
        else:
            ledger.journal(PROJECT, run, event, {"subject": name, "model": text})
    assert verify(ledger) == len({run for event, run, _, _ in writes if event == "append"})
    looks = {text for event, _, name, text in writes if event == "look" and name == "a"} | {"m"}
    assert ledger.journal(PROJECT, "new", "look", {"subject": "a", "model": "m"}) == len(looks)
    ledger.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(RUNS), st.sampled_from("abc")), min_size=1, max_size=12))
def test_looks_are_as_many_as_models(tmp_path_factory: pytest.TempPathFactory, looks: list[tuple[str, str]]) -> None:
    ledger = connect(tmp_path_factory.mktemp("ledger"))
    counts = [ledger.journal(PROJECT, run, "look", {"subject": "h", "model": model}) for run, model in looks]
    assert counts == [len({model for _, model in looks[: number + 1]}) for number in range(len(looks))]
    ledger.close()


def test_a_damaged_file_is_reported_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / Options().path
    path.parent.mkdir()
    path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(OutsideError) as caught:
        connect(tmp_path)
    assert caught.value.code == "PO-L003"
    assert ".recover" in caught.value.remedy
    assert path.read_bytes().startswith(b"this is no database")


def test_damage_in_the_middle_is_reported(ledger: SqliteLedger, tmp_path: Path) -> None:
    ledger.close()
    content = bytearray(ledger.path.read_bytes())
    content[4096 * 2 :] = b"\xff" * (len(content) - 4096 * 2)
    ledger.path.write_bytes(content)
    with pytest.raises(OutsideError) as caught:
        connect(tmp_path).read(PROJECT, RUNS[0])
    assert caught.value.code == "PO-L003"


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "theirs.db") as connection:
        connection.execute("create table theirs(a)")
    connection.close()
    with pytest.raises(OutsideError) as caught:
        connect(tmp_path, Options(path="theirs.db"))
    assert caught.value.code == "PO-L009"


def test_a_newer_format_is_refused(ledger: SqliteLedger, tmp_path: Path) -> None:
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("pragma user_version = 999")
    connection.close()
    with pytest.raises(UserError, match="newer Payoff") as caught:
        connect(tmp_path)
    assert caught.value.code == "PO-L007"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / ".payoff").write_text("a file where the folder should be")
    with pytest.raises(OutsideError) as caught:
        connect(tmp_path)
    assert caught.value.code == "PO-L005"


def test_a_file_that_cannot_be_written(ledger: SqliteLedger) -> None:
    ledger._connection.execute("pragma query_only = 1")
    with pytest.raises(OutsideError) as caught:
        ledger.append(sample_record("20261123-144105-eeeeee"))
    assert caught.value.code == "PO-L005"


_FILL = """
import pathlib, resource, signal, sys
from payoff.adapters.ledgers.sqlite import connect, verify
from payoff.base.errors import OutsideError
from payoff.testing.samples import sample_record
root = pathlib.Path(sys.argv[1])
ledger = connect(root)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
written = 0
try:
    while True:
        ledger.append(sample_record(f"run-{written:05d}"))
        written += 1
except OutsideError as error:
    print(written, error.code)
"""


def test_a_full_disk_is_reported_and_nothing_recorded_is_lost(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", _FILL, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    written, code = said.stdout.split()
    assert code == "PO-L004"
    assert int(written) > 3
    ledger = connect(tmp_path)
    assert verify(ledger) == int(written)
    ledger.append(sample_record("after"))
    assert verify(ledger) == int(written) + 1


def test_fields_of_other_versions_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from payoff.records import wire

    ledger = connect(tmp_path)
    older: dict[str, Any] = {
        name: value
        for name, value in msgspec.to_builtins(sample_record(RUNS[0])).items()
        if name in ("run", "project", "name", "status", "started", "finished", "seconds")
    }
    body = msgspec.json.encode({**older, "invented_later": {"x": [1]}})
    monkeypatch.setattr(wire, "encode", lambda value, kind: body)
    ledger.append(sample_record(RUNS[0]))
    monkeypatch.undo()
    record = connect(tmp_path).read(PROJECT, RUNS[0]).entries[0].record
    assert (record.run, record.steps, record.valuation) == (RUNS[0], (), None)
    assert verify(ledger) == 1


def test_the_ledger_imports_nothing_heavy() -> None:
    code = "import sys, payoff.adapters.ledgers.sqlite; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "sqlite3" in loaded
    assert not loaded & {"pyarrow", "numpy", "duckdb", "mlflow", "sqlglot", "yaml", "sqlalchemy"}
