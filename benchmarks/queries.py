"""Prints seconds of ours and of the base, a line per round: `python queries.py lazy|identity|pushdown ROWS ROUNDS`, in an empty folder."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from payoff.adapters.engines.duckdb import Options, connect
from payoff.adapters.sources import postgresql
from payoff.data.push.queries import translate
from payoff.data.push.rules import kind_of
from payoff.plan.place import with_tables

SQL = 'select "group" as g, count(*) as n, sum(amount) as total, max(rate) as high from t where rate > 0.2 group by "group"'
WIDE = "select id, amount * rate as net, coalesce(word, 'none') as word from t where rate > 0.5"


def timed(what: Callable[[], object]) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def table(rows: int) -> pa.Table:
    rng = np.random.default_rng(7)
    words = pa.array(["alpha", "beta", "gamma", "delta"])
    return pa.table(
        {
            "id": np.arange(rows),
            "group": rng.integers(0, 1000, rows),
            "amount": rng.normal(100, 20, rows),
            "rate": rng.random(rows),
            "word": words.take(pa.array(rng.integers(0, 4, rows))),
        }
    )


def lazy(rows: int) -> Iterator[tuple[float, ...]]:
    """The engine as a lazy step uses it, the answer in an Arrow file; the same in DuckDB by hand."""
    engine = connect(Path(), Options())
    file = Path("t.arrow").absolute()
    engine.write(table(rows).to_reader(), file)
    bare = duckdb.connect()

    def ours() -> None:
        engine.transform(WIDE, {"t": file}, Path("ours.arrow").absolute())

    def base() -> None:
        with pa.memory_map(str(file)) as source:
            bare.register("t", pa.ipc.open_file(source).read_all())
        reader = bare.execute(WIDE).to_arrow_reader(1 << 17)
        with pa.OSFile("base.arrow", "wb") as sink, pa.ipc.new_file(sink, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)

    ours(), base()
    while True:
        yield timed(ours), timed(base)


def identity(rows: int) -> Iterator[tuple[float, ...]]:
    """The content hash that names a table's version; reading its bytes, hashing them, and a look at each value in DuckDB."""
    engine, bare = connect(Path(), Options()), duckdb.connect()
    file = Path("t.arrow").absolute()
    engine.write(table(rows).to_reader(), file)
    buffer = bytearray(1 << 22)

    def read() -> None:
        with open(file, "rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass

    def digest() -> None:
        with open(file, "rb") as stream:
            hashlib.file_digest(stream, "sha256")

    def looked_at() -> None:
        with pa.memory_map(str(file)) as source:
            found = pa.ipc.open_file(source).read_all()
        bare.register("t", found)
        bare.execute(
            f"select {', '.join(f'max({chr(34)}{name}{chr(34)})' for name in found.column_names)} from t"
        ).fetchall()

    engine.identify(file), read(), looked_at()
    while True:
        ours = timed(lambda: engine.identify(file))
        yield ours, timed(read), ours, timed(digest), ours, timed(looked_at)


def pushdown(rows: int) -> Iterator[tuple[float, ...]]:
    """A server of our own with one table; four ways to its rows."""
    spec = importlib.util.spec_from_file_location("server", Path(__file__).parents[1] / "tests/contracts/postgres.py")
    server = importlib.util.module_from_spec(spec)
    sys.modules["server"] = server
    spec.loader.exec_module(server)
    with server.server() as dsn:
        words = "array['alpha','beta','gamma','delta']"
        server.execute(
            dsn,
            'create table t (id bigint, "group" bigint, amount double precision, rate double precision, word text)',
            f"insert into t select g, g % 1000, random() * 100, random(), ({words})[1 + g % 4] from generate_series(1, {rows}) as g",
            "analyze t",
        )
        source = postgresql.connect("t", postgresql.Options(dsn=dsn), Path())
        yield from ways(source, dsn)


def ways(source: postgresql.PostgreSQL, dsn: str) -> Iterator[tuple[float, ...]]:
    import adbc_driver_postgresql.dbapi
    import pandas as pd
    import pyarrow.parquet as pq

    engine = connect(Path(), Options())
    answer, file = Path("answer.arrow").absolute(), Path("read.arrow").absolute()

    def pushed() -> None:
        relation = source.relation()
        kinds = {"t": {field.name: kind_of(field.type) for field in relation.fields}}
        translated = translate(SQL, kinds, source.place().dialect)
        schema = engine.columns(SQL, {"t": source.schema()})
        with source.run(with_tables(translated.sql, {"t": relation.sql}, ["t"]), schema) as reader:
            engine.write(reader, answer)

    def here() -> None:
        with source.read(["group", "amount", "rate"]) as reader:
            engine.write(reader, file)
        engine.transform(SQL, {"t": file}, answer)

    def snapshot() -> None:
        with source.read() as reader:
            engine.write(reader, file)
        engine.identify(file)

    def adbc() -> None:
        with adbc_driver_postgresql.dbapi.connect(dsn) as connection, connection.cursor() as cursor:
            cursor.execute("select * from t")
            reader = cursor.fetch_record_batch()
            with pq.ParquetWriter("adbc.parquet", reader.schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)

    def pandas() -> None:
        with adbc_driver_postgresql.dbapi.connect(dsn) as connection:
            pd.read_sql("select * from t", connection).to_parquet("pandas.parquet")

    pushed(), here(), snapshot(), adbc()
    while True:
        stored = timed(snapshot)
        yield timed(pushed), timed(here), stored, timed(adbc), stored, timed(pandas)


if __name__ == "__main__":
    what, rows, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    measured = {"lazy": lazy, "identity": identity, "pushdown": pushdown}[what](rows)
    for _ in range(rounds):
        print(*next(measured), flush=True)
    measured.close()
