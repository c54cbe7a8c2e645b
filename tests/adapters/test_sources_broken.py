"""What is broken outside is said clearly, without values and secrets."""

from __future__ import annotations

import gzip
import importlib.util
import os
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.testing.source import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "Anna-4711"
_spec = importlib.util.spec_from_file_location(
    "postgres_for_broken", Path(__file__).parents[1] / "contracts" / "postgres.py"
)
assert _spec and _spec.loader
postgres = importlib.util.module_from_spec(_spec)
sys.modules["postgres_for_broken"] = postgres
_spec.loader.exec_module(postgres)


def files(root: Path, name: str, data: bytes | str, columns: list[str] | None = None, **options: Any) -> list[dict[str, Any]]:
    """Read a file with this content."""
    raw = data.encode() if isinstance(data, str) else data
    (root / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") and raw[:2] != b"\x1f\x8b" else raw)
    with connect("payoff.sources:files", "people", root, {"path": name, **options}).read(columns) as reader:
        return list(reader.read_all().to_pylist())


def refused(root: Path, name: str, data: bytes | str, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        files(root, name, data, **options)
    said = str(caught.value)
    assert SECRET not in said
    assert name in said or "people" in said
    assert caught.value.remedy
    assert caught.value.expected
    return said


GOOD = "id,name\n1,a\n2,b\n"


def test_good_files_of_odd_looks(tmp_path: Path) -> None:
    rows = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert files(tmp_path, "a.csv", GOOD) == rows
    assert files(tmp_path, "bom.csv", b"\xef\xbb\xbf" + GOOD.encode()) == rows
    assert files(tmp_path, "crlf.csv", GOOD.replace("\n", "\r\n")) == rows
    assert files(tmp_path, "z.csv.gz", GOOD) == rows
    assert files(tmp_path, "t.tsv", GOOD.replace(",", "\t")) == rows
    assert files(tmp_path, "s.csv", GOOD.replace(",", ";"), delimiter=";") == rows
    assert files(tmp_path, "x.data", GOOD, format="csv") == rows
    assert files(tmp_path, "l.csv", "id,name\n1,Größe\n".encode("latin-1"), encoding="latin-1") == [{"id": 1, "name": "Größe"}]
    assert files(tmp_path, "q.csv", 'id,name\n1,"a\nb, ""c"""\n') == [{"id": 1, "name": 'a\nb, "c"'}]
    assert files(tmp_path, "h.csv", "id,name\n") == []
    assert files(tmp_path, "n.csv", 'id,name\n1,NA\n2,"NA"\n') == [{"id": 1, "name": None}, {"id": 2, "name": "NA"}]
    assert files(tmp_path, "zero.csv", "id,zip\n1,01234\n", types={"zip": "string"}) == [{"id": 1, "zip": "01234"}]


def test_a_row_with_too_many_fields(tmp_path: Path) -> None:
    said = refused(tmp_path, "a.csv", GOOD + f"3,{SECRET},{SECRET}\n4,d\n")
    assert "line 4: a row has 3 fields" in said
    assert "2 fields in every row" in said


def test_a_wrong_value_far_down(tmp_path: Path) -> None:
    rows = "".join(f"{n},x\n" for n in range(600_000))
    said = refused(tmp_path, "a.csv", f"id,name\n{rows}{SECRET},x\n")
    assert "line 600,002: a value in column id is not int64" in said
    assert "types" in said


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.csv", "", "empty"),
        ("bytes.csv", b"id,name\n1,\xff\xfe" + SECRET.encode() + b"\n", "encoding"),
        ("cut.csv.gz", gzip.compress(GOOD.encode() * 50_000)[:-200], "broken"),
        ("no.parquet", SECRET * 100, "broken"),
        ("cut.parquet", b"PAR1" + b"x" * 500, "broken"),
        ("no.arrow", SECRET * 100, "broken"),
        ("a.jsonl", f'{{"id": 1}}\n{{"id": {SECRET}\n', "broken"),
        ("odd.xyz", GOOD, "format"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, data: bytes | str, words: str) -> None:
    assert words in refused(tmp_path, name, data)


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    assert "name" in refused(tmp_path, "a.csv", f"id,name,name\n1,{SECRET},b\n")


def test_what_is_not_asked_for_is_not_read(tmp_path: Path) -> None:
    """A column whose values cannot be converted is no trouble to who does not want it."""
    data = "id,age\n" + "".join(f"{n},1\n" for n in range(600_000)) + "600000,unknown\n"
    assert len(files(tmp_path, "a.csv", data, ["id"])) == 600_001
    refused(tmp_path, "a.csv", data)


def test_missing_files(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(GOOD)
    with pytest.raises(UserError, match=r"there is no file peple\.csv") as caught:
        connect("payoff.sources:files", "people", tmp_path, {"path": "peple.csv"}).schema()
    assert "people.csv" in caught.value.expected
    with pytest.raises(UserError, match="there is no file"):
        connect("payoff.sources:files", "people", tmp_path, {"path": "data/*.csv"}).schema()


def test_files_of_one_table_that_differ(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,a\n")
    (tmp_path / "b.csv").write_text("id,other\n2,b\n")
    source = connect("payoff.sources:files", "people", tmp_path, {"path": "*.csv"})
    with pytest.raises(UserError) as caught, source.read() as reader:
        reader.read_all()
    assert "b.csv" in str(caught.value)


def test_an_address_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(PayoffError) as caught:
        connect("payoff.sources:files", "people", tmp_path, {"path": "gs://bucket/x.parquet"}).schema()
    assert "payoff[" in caught.value.remedy


def test_an_address_in_memory(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://folder/people.parquet", "wb") as stream:
        pq.write_table(pa.table({"id": [1, 2]}), stream)
    source = connect("payoff.sources:files", "people", tmp_path, {"path": "memory://folder/people.parquet"})
    assert source.read().read_all().num_rows == 2


def lite(root: Path, *statements: str, **options: Any) -> Any:
    with sqlite3.connect(root / "all.db") as connection:
        for sql in statements:
            connection.execute(sql)
    connection.close()
    return connect("payoff.sources:sqlite", "people", root, {"path": "all.db", **options})


def test_sqlite_types(tmp_path: Path) -> None:
    source = lite(
        tmp_path,
        "create table people (id integer, big integer, x real, raw blob, day date, at timestamp, odd)",
        "insert into people values (1, 9223372036854775807, 2, x'00ff', '2026-02-28', '2026-02-28 12:00:00', 'a')",
        "insert into people values (null, null, null, null, null, null, null)",
    )
    with source.read() as reader:
        first, second = reader.read_all().to_pylist()
    assert (first["big"], first["x"], first["raw"], str(first["day"])) == (2**63 - 1, 2.0, b"\x00\xff", "2026-02-28")
    assert first["at"].isoformat() == "2026-02-28T12:00:00+00:00"
    assert set(second.values()) == {None}


def test_sqlite_strays_are_counted_not_shown(tmp_path: Path) -> None:
    source = lite(tmp_path, "create table people (id integer, age integer)", f"insert into people values (1, '{SECRET}'), (2, 3)")
    with pytest.raises(UserError, match="1 values of column age") as caught:
        source.read()
    assert SECRET not in str(caught.value)


def test_sqlite_says_what_is_not_there(tmp_path: Path) -> None:
    source = lite(tmp_path, "create table persons (id integer)", table="person")
    with pytest.raises(UserError, match="no table person") as caught:
        source.schema()
    assert "persons" in caught.value.expected
    with pytest.raises(UserError, match="cannot be run"):
        lite(tmp_path, query="select nothing from persons").schema()
    with pytest.raises(UserError, match="no file"):
        connect("payoff.sources:sqlite", "people", tmp_path, {"path": "gone.db"}).schema()
    (tmp_path / "text.db").write_text(SECRET * 500)
    with pytest.raises(OutsideError, match="no SQLite file"):
        connect("payoff.sources:sqlite", "people", tmp_path, {"path": "text.db"}).schema()


def test_sqlite_is_only_read(tmp_path: Path) -> None:
    source = lite(tmp_path, "create table people (id integer)", "insert into people values (1)")
    os.chmod(tmp_path / "all.db", 0o444)
    before = (tmp_path / "all.db").read_bytes()
    with source.read() as reader:
        assert reader.read_all().num_rows == 1
    assert (tmp_path / "all.db").read_bytes() == before


def test_sqlite_in_use_by_a_writer(tmp_path: Path) -> None:
    source = lite(tmp_path, "create table people (id integer)", "insert into people values (1)")
    writer = sqlite3.connect(tmp_path / "all.db", isolation_level=None)
    writer.execute("begin exclusive")
    try:
        with pytest.raises(OutsideError) as caught:
            source.read().read_all()
        assert caught.value.may_retry or "locked" in caught.value.expected
    finally:
        writer.close()


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with postgres.server() as address:
        yield address


def test_postgresql_types(dsn: str, tmp_path: Path) -> None:
    postgres.execute(
        dsn,
        "create type mood as enum ('good', 'bad')",
        "create table types (n numeric(12, 2), u uuid, j jsonb, m mood, t timestamptz, a int[], v varchar(5), s smallint)",
        "insert into types values (1.25, '00000000-0000-0000-0000-000000000001', '{\"a\": 1}', 'good', '2026-01-01 12:00+01', '{1,2}', 'x', 3)",
        "insert into types values (null, null, null, null, null, null, null, null)",
    )
    source = connect("payoff.sources:postgresql", "types", tmp_path, {"dsn": dsn})
    with source.read() as reader:
        first, second = reader.read_all().to_pylist()
    assert (first["n"], first["m"], first["v"], first["s"], first["a"]) == (1.25, "good", "x", 3, [1, 2])
    assert first["t"].isoformat() == "2026-01-01T11:00:00+00:00"
    assert set(second.values()) == {None}


def test_postgresql_says_what_is_wrong_and_keeps_secrets(dsn: str, tmp_path: Path) -> None:
    postgres.execute(dsn, "create table if not exists persons (id int)", "create schema if not exists other")

    def said(**options: Any) -> PayoffError:
        with pytest.raises(PayoffError) as caught:
            connect("payoff.sources:postgresql", "person", tmp_path, {"dsn": dsn, **options}).schema()
        assert postgres.PASSWORD not in str(caught.value)
        assert "wrong-secret" not in str(caught.value)
        return caught.value

    assert "persons" in said().expected
    assert said(dsn=dsn.replace(postgres.PASSWORD, "wrong-secret")).code == "PO-S031"
    down = said(dsn=f"postgresql://tester:{postgres.PASSWORD}@127.0.0.1:{postgres.free_port()}/postgres")
    assert isinstance(down, OutsideError)
    assert down.may_retry
    assert said(query="selec 1").code == "PO-S033"
    assert said(query="select nothing from persons").code == "PO-S033"
    described = connect("payoff.sources:postgresql", "person", tmp_path, {"dsn": dsn}).describe()
    assert postgres.PASSWORD not in str(described)


def test_postgresql_errors_while_rows_come(dsn: str, tmp_path: Path) -> None:
    """The thousandth row fails: what the server says of its value is not repeated."""
    query = f"select case when n < 200000 then n else ('{SECRET}' || n)::int end as n from generate_series(1, 300000) n"
    with pytest.raises(PayoffError) as caught:
        connect("payoff.sources:postgresql", "n", tmp_path, {"dsn": dsn, "query": query}).read().read_all()
    assert SECRET not in str(caught.value)


def test_postgresql_is_only_read(dsn: str, tmp_path: Path) -> None:
    postgres.execute(dsn, "create table if not exists kept (id int)", "insert into kept values (1)")
    query = "with gone as (delete from kept returning id) select * from gone"
    with pytest.raises(PayoffError):
        connect("payoff.sources:postgresql", "kept", tmp_path, {"dsn": dsn, "query": query}).read().read_all()
    assert connect("payoff.sources:postgresql", "kept", tmp_path, {"dsn": dsn}).read().read_all().num_rows >= 1
