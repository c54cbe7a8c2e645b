"""Tables that grow: first a file is written and on the disk, then one transaction of SQLite makes it part of the table, with the new positions."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import threading
from typing import TYPE_CHECKING

import msgspec

from payoff.adapters.landings.local import schema as database
from payoff.adapters.landings.local import segments
from payoff.base import lazy
from payoff.base.clock import now
from payoff.base.errors import UserError
from payoff.records.stream import LandingState, Lost, Poison

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from payoff.adapters.landings.local.segments import Segment
    from payoff.records.stream import Arrival
else:
    pa = lazy.Module("pyarrow")

CAPABILITIES = {"local": True, "concurrent": True}
# So many files of fewer rows than this, one after the other, become one.
_SMALL, _MANY = 100_000, 32
_TOUCHED = "select first, file, bytes, rows, oldest, newest from segments where oldest < ? order by first"
_TRIES = 20  # a reader meets a joined file anew: each time another has been at work meanwhile


@dataclasses.dataclass(frozen=True)
class Options:
    """`folder`: relative to the project, or absolute."""

    folder: str = ".payoff/landing"


def connect(root: Path, options: Options) -> LocalLanding:
    """The landing of the project at `root`; a table's folder is made when it is first asked for."""
    return LocalLanding(root / options.folder)


class LocalLanding:
    """See `ports.landing.Landing`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._databases: dict[str, database.Database] = {}

    def _database(self, table: str) -> database.Database:
        with self._lock:
            if table not in self._databases:
                self._databases[table] = database.Database(self._folder / table)
            return self._databases[table]

    def state(self, table: str) -> LandingState:
        """From the database alone."""
        with self._database(table).opened() as connection:
            return _state(connection)

    def commit(self, table: str, after: int, arrival: Arrival) -> LandingState | None:
        """The file first, then the transaction, which looks again whether both the table and the file are as they were."""
        folder, segment, added = self._folder / table, None, False
        with self._database(table).opened() as connection:
            try:
                if arrival.rows is not None and arrival.rows.num_rows:
                    try:
                        segment = segments.write(folder, arrival.rows)
                    except FileNotFoundError:
                        return None
                with database.writing(connection):
                    if _number(connection) == after and (segment is None or (folder / segment.file).exists()):
                        _add(connection, after + 1, arrival, segment)
                        added = True
            except BaseException:
                added = False
                raise
            finally:
                if segment is not None and not added:
                    (folder / segment.file).unlink(missing_ok=True)
            return _state(connection) if added else None

    def open(self, table: str, schema: pa.Schema) -> tuple[LandingState, Iterator[pa.RecordBatch]]:
        """All files are opened before the first row is handed out, so that nothing can be taken away from under the reader."""
        folder = self._folder / table
        for _ in range(_TRIES):
            with self._database(table).opened() as connection:
                connection.execute("begin")
                state = _state(connection)
                files = connection.execute("select first, file, bytes from segments order by first").fetchall()
                parts = connection.execute(
                    "select partition, segment, place from parts order by segment, place"
                ).fetchall()
                connection.execute("rollback")
            try:
                readers = {first: segments.read(folder / file, size) for first, file, size in files}
            except FileNotFoundError:
                continue
            for reader in readers.values():
                _same_types(table, reader.schema, schema)
            ordered = sorted(parts, key=lambda part: (segments.in_order(part[0]), part[1], part[2]))
            return state, (_fit(readers[first].get_batch(place), schema) for _, first, place in ordered)
        raise segments.damaged(folder)

    def set_aside(self, table: str, limit: int = 100) -> list[Poison]:
        """Their bytes are in the database."""
        columns = 'partition, "offset", time, key, reason, payload'
        with self._database(table).opened() as connection:
            rows = connection.execute(
                f"select {columns} from set_aside order by number desc limit ?", [limit]
            ).fetchall()
        return [Poison(partition=p, offset=o, time=t, key=k, reason=r, payload=b) for p, o, t, k, r, b in rows]

    def tidy(self, table: str) -> None:
        """Both under the lock of writers: a file that a transaction is about to name is not taken for one that nobody names."""
        folder = self._folder / table
        with self._database(table).opened() as connection:
            self._join(folder, connection)
            with database.writing(connection):
                named = {file for (file,) in connection.execute("select file from segments")}
                for path in folder.iterdir():
                    if path.suffix in {segments.ENDING, ".part"} and path.name not in named:
                        path.unlink(missing_ok=True)

    def older(self, table: str, before: int) -> tuple[int, int | None]:
        """Counted by the files' times, and inside of those that have both."""
        folder = self._folder / table
        if not (folder / database.FILE).exists():
            return 0, None
        with self._database(table).opened() as connection:
            touched = connection.execute(_TOUCHED, [before]).fetchall()
            aside, oldest = connection.execute(
                "select count(*), min(time) from set_aside where time < ?", [before]
            ).fetchone()
            rows = sum(
                number if newest < before else segments.older(segments.read(folder / file, size), before)
                for _, file, size, number, _, newest in touched
            )
        times = [each for each in (oldest, *(old for *_, old, _ in touched)) if each is not None]
        return rows + aside, min(times, default=None)

    def expire(self, table: str, before: int) -> int:
        """What stays of a file that has both is a new file; the old ones go when the transaction that no longer names them is through."""
        folder = self._folder / table
        with self._database(table).opened() as connection:
            connection.execute("pragma secure_delete = on")  # messages set aside are in the database itself
            with database.writing(connection):
                touched = connection.execute(_TOUCHED, [before]).fetchall()
                removed = 0
                for first, file, size, rows, _, _ in touched:
                    left = segments.younger(segments.read(folder / file, size), before)
                    connection.execute("delete from segments where first = ?", [first])
                    if left.num_rows:
                        _add_segment(connection, first, segments.write(folder, left))
                    removed += rows - left.num_rows
                removed += connection.execute("delete from set_aside where time < ?", [before]).rowcount
                if removed:
                    connection.execute(
                        "insert into meta values ('expired', '1') on conflict (name) do update set value = cast(value as integer) + 1"
                    )
            for _, file, *_ in touched:
                (folder / file).unlink(missing_ok=True)
            # The log of the database still has the pages as they were; somebody who reads at this moment keeps it until the next call.
            connection.execute("pragma wal_checkpoint(truncate)").fetchall()
        return removed

    def _join(self, folder: Path, connection: sqlite3.Connection) -> None:
        """The small files at the end become one, in the place of the first of them."""
        listed = connection.execute("select first, file, bytes, rows from segments order by first desc").fetchall()
        small = []
        for first, file, size, rows in listed:
            if rows >= _SMALL:
                break
            small.append((first, file, size))
        if len(small) < _MANY:
            return
        small.reverse()
        try:
            whole = segments.joined([segments.read(folder / file, size) for _, file, size in small])
        except (FileNotFoundError, pa.ArrowTypeError, pa.ArrowInvalid):
            return  # another one is joining them, or their types differ: they stay as they are
        with database.writing(connection):
            found = [
                connection.execute("select file from segments where first = ?", [first]).fetchone()
                for first, _, _ in small
            ]
            if found != [(file,) for _, file, _ in small]:
                return
            segment = segments.write(folder, whole)
            connection.executemany("delete from segments where first = ?", [[first] for first, _, _ in small])
            _add_segment(connection, small[0][0], segment)
        for _, file, _ in small:
            (folder / file).unlink(missing_ok=True)


def _number(connection: sqlite3.Connection) -> int:
    return int(connection.execute("select coalesce(max(number), 0) from commits").fetchone()[0])


def _state(connection: sqlite3.Connection) -> LandingState:
    last = connection.execute("select number, positions from commits order by number desc limit 1").fetchone()
    if last is None:
        return LandingState()
    sums = "select coalesce(sum(rows), 0), coalesce(sum(bytes), 0), count(*), max(newest) from segments"
    rows, size, count, newest = connection.execute(sums).fetchone()
    aside = connection.execute("select count(*) from set_aside").fetchone()[0]
    lost = connection.execute("select partition, since, until, why, messages from lost").fetchall()
    stream = connection.execute("select value from meta where name = 'stream'").fetchone()
    expired = connection.execute("select value from meta where name = 'expired'").fetchone()
    return LandingState(
        commit=last[0],
        positions=json.loads(last[1]),
        rows=rows,
        bytes=size,
        segments=count,
        set_aside=aside,
        lost=tuple(Lost(partition=p, since=s, until=u, why=w, messages=m) for p, s, u, w, m in lost),
        stream=stream[0] if stream else "",
        newest=newest,
        expired=int(expired[0]) if expired else 0,
    )


def _add(connection: sqlite3.Connection, number: int, arrival: Arrival, segment: Segment | None) -> None:
    rows = segment.rows if segment else 0
    positions = msgspec.json.encode(arrival.positions).decode()
    connection.execute(
        "insert into commits values (?, ?, ?, ?, ?)", [number, now(), positions, rows, len(arrival.set_aside)]
    )
    if segment is not None:
        _add_segment(connection, number, segment)
    connection.executemany(
        "insert into set_aside values (null, ?, ?, ?, ?, ?, ?, ?)",
        [[number, p.partition, p.offset, p.time, p.key, p.reason, p.payload] for p in arrival.set_aside],
    )
    connection.executemany(
        "insert into lost values (?, ?, ?, ?, ?, ?)",
        [[number, each.partition, each.since, each.until, each.why, each.messages] for each in arrival.lost],
    )
    connection.execute("insert or ignore into meta values ('stream', ?)", [arrival.stream])


def _add_segment(connection: sqlite3.Connection, first: int, segment: Segment) -> None:
    facts = [first, segment.file, segment.rows, segment.bytes, segment.digest, segment.oldest, segment.newest]
    connection.execute("insert into segments values (?, ?, ?, ?, ?, ?, ?)", facts)
    connection.executemany(
        "insert into parts values (?, ?, ?, ?)",
        [[first, place, partition, rows] for place, (partition, rows) in enumerate(segment.parts)],
    )


def _same_types(table: str, found: pa.Schema, wanted: pa.Schema) -> None:
    for field in wanted:
        place = found.get_field_index(field.name)
        if place >= 0 and found.field(place).type != field.type:
            raise UserError(
                f"{table} landed with {field.name} as {found.field(place).type}, which is now to be {field.type}",
                code="PO-M012",
                expected="the types that its first rows landed with (new columns may be added)",
                remedy=f"give {field.name} its old type back, or read the stream under another table name in payoff.toml",
            )


def _fit(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    places = [batch.schema.get_field_index(name) for name in schema.names]
    arrays = [
        batch.column(p) if p >= 0 else pa.nulls(batch.num_rows, f.type) for p, f in zip(places, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
