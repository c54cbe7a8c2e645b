"""What is read from the SQLite ledger."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from payoff.adapters.ledgers.sqlite import chain
from payoff.base.errors import OutsideError, UserError, Where
from payoff.base.text import did_you_mean
from payoff.records import wire
from payoff.records.run import Entry, RunRecord, Summary
from payoff.records.state import Remembered, State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_SHOWN = 12
_LONG_AGO = "1970-01-01T00:00:00.000Z"


class Readout(msgspec.Struct, frozen=True, kw_only=True):
    """See `payoff.ports.ledger.Readout`."""

    entries: tuple[Entry, ...] = ()
    summaries: tuple[Summary, ...] = ()
    events: tuple[tuple[str, dict[str, Any]], ...] = ()


class _Git(msgspec.Struct):
    commit: str | None = None
    dirty: bool = False


class _Valuation(msgspec.Struct):
    currency: str = ""
    gain: dict[str, Any] | None = None


class _Verdict(msgspec.Struct):
    passed: bool = True
    reason: str = ""


class _Error(msgspec.Struct):
    what: str = ""


class _Brief(msgspec.Struct):
    """The few fields of a record that a summary shows; the others are passed over without being made into objects."""

    run: str
    status: Literal["passed", "refused", "failed"]
    started: str = ""
    seconds: float = 0.0
    git: _Git | None = None
    valuation: _Valuation | None = None
    verdicts: tuple[_Verdict, ...] = ()
    errors: tuple[_Error, ...] = ()


def state(connection: sqlite3.Connection, project: str) -> State:
    """Each step's newest outcome. Steps are found by hopping along an index: the cost does not grow with the runs."""
    rows = connection.execute(
        """with recursive steps(step) as (
             select min(step) from remembered where project = :project
             union all
             select (select min(step) from remembered where project = :project and step > steps.step)
             from steps where steps.step is not null)
           select step, (select body from journal where seq =
             (select max(seq) from remembered where project = :project and step = steps.step))
           from steps where step is not null""",
        {"project": project},
    )
    latest = _outcomes(rows)
    last = connection.execute(
        "select run from entries where project = ? order by number desc limit 1", (project,)
    ).fetchone()
    looks = connection.execute(
        "select subject, count(*) from journal where project = ? and event = 'look' group by subject", (project,)
    ).fetchall()
    return State(latest=latest, last_run=last[0] if last else None, looks={str(s): int(n) for s, n in looks})


def remembered(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Remembered]:
    """The newest outcome for each key. The body is believed, not the index: what leads to another key is skipped."""
    rows = connection.execute(
        "select key, body from (select key, max(seq) as seq from remembered "
        f"where key in ({','.join('?' * len(keys))}) group by key) join journal using (seq)",
        tuple(keys),
    )
    return {key: outcome for key, outcome in _outcomes(rows).items() if outcome.key == key}


def _outcomes(rows: Iterable[tuple[str, bytes]]) -> dict[str, Remembered]:
    """Remembered outcomes. One that cannot be read is forgotten: its step runs again, which is always right."""
    found: dict[str, Remembered] = {}
    for name, body in rows:
        with suppress(msgspec.MsgspecError):
            found[name] = wire.decode(body, Remembered)
    return found


def count(connection: sqlite3.Connection, project: str, event: str, subject: str) -> int:
    """How many events of a kind about a subject the project has."""
    row = connection.execute(
        "select count(*) from journal where project = ? and event = ? and subject = ?", (project, event, subject)
    ).fetchone()
    return int(row[0])


def has_look(connection: sqlite3.Connection, look: tuple[str, str, str]) -> bool:
    """True when this look (project, subject, model) was written down before."""
    question = "select 1 from journal where event = 'look' and project = ? and subject = ? and model = ?"
    return connection.execute(question, look).fetchone() is not None


def number_of(connection: sqlite3.Connection, run: str) -> int | None:
    """The number of a run's record."""
    row = connection.execute("select number from entries where run = ?", (run,)).fetchone()
    return int(row[0]) if row else None


def entry(connection: sqlite3.Connection, path: Path, run: str) -> Entry:
    """A run's record, checked against its hash, and that against its neighbours."""
    number, previous, digest, body = connection.execute(
        "select number, previous, hash, cast(body as blob) from entries where run = ?", (run,)
    ).fetchone()
    if chain.of_entry(previous, body) != digest or not _linked(connection, number, previous, digest):
        raise chain.broken(path, f"record {number} (run {run})")
    try:
        record = wire.decode(body, RunRecord)
    except msgspec.MsgspecError as error:
        raise OutsideError(
            f"record {number} (run {run}) was written by a version whose records this one cannot read",
            code="PO-L010",
            expected="a record of this version or an older one",
            where=Where(path),
            remedy="uv tool upgrade payoff",
        ) from error
    return Entry(number=number, previous=previous, hash=digest, record=record)


def _linked(connection: sqlite3.Connection, number: int, previous: str, digest: str) -> bool:
    """Whether the record before has the hash that this one names, and the one after names this one's: none was made anew or taken out."""
    before = connection.execute(
        "select hash from entries where number < ? order by number desc limit 1", (number,)
    ).fetchone()
    after = connection.execute(
        "select previous from entries where number > ? order by number limit 1", (number,)
    ).fetchone()
    return previous == (before[0] if before else chain.START) and (after is None or after[0] == digest)


def events(
    connection: sqlite3.Connection, project: str, event: str, limit: int
) -> tuple[tuple[str, dict[str, Any]], ...]:
    """The newest events of a kind, the oldest first."""
    rows = connection.execute(
        "select event, body from journal where project = ? and event = ? order by seq desc limit ?",
        (project, event, limit),
    ).fetchall()
    return tuple((name, msgspec.json.decode(body)) for name, body in reversed(rows))


def one(connection: sqlite3.Connection, path: Path, project: str, name: str) -> Readout:
    """The entry (none when it did not finish), the summary and the events of the run that goes by `name`."""
    run = _resolve(connection, project, name)
    rows = connection.execute(
        "select event, body from journal where run = ? and project = ? order by seq", (run, project)
    )
    events = tuple((event, msgspec.json.decode(body)) for event, body in rows)
    if number_of(connection, run) is None:
        return Readout(summaries=tuple(_unfinished(connection, project, 1, run)), events=events)
    found = entry(connection, path, run)
    body = connection.execute("select body from entries where run = ?", (run,)).fetchone()[0]
    tracked = any(event == "tracked" for event, _ in events)
    return Readout(entries=(found,), summaries=(_summary(body, tracked=tracked),), events=events)


def summaries(connection: sqlite3.Connection, project: str, limit: int) -> tuple[Summary, ...]:
    """The newest runs, newest first, those without a record among them."""
    rows = connection.execute(
        "select run, previous, hash, cast(body as blob), "
        "exists(select 1 from journal j where j.run = e.run and j.event = 'tracked') from entries e "
        "where project = ? order by number desc limit ?",
        (project, limit),
    )
    finished = [
        _summary(body, tracked=bool(tracked)) if chain.of_entry(previous, body) == digest else _changed(connection, run)
        for run, previous, digest, body, tracked in rows
    ]
    merged = sorted(
        [*finished, *_unfinished(connection, project, limit)], key=lambda s: (s.started, s.run), reverse=True
    )
    return tuple(merged[:limit])


def _summary(body: bytes, *, tracked: bool) -> Summary:
    brief: _Brief = wire.decode(body, _Brief)
    reason = brief.errors[0].what if brief.errors and brief.status != "passed" else ""
    if brief.status == "refused":
        reason = next((verdict.reason for verdict in brief.verdicts if not verdict.passed), reason)
    return Summary(
        run=brief.run,
        status=brief.status,
        started=brief.started,
        seconds=brief.seconds,
        currency=brief.valuation.currency if brief.valuation else "",
        gain=brief.valuation.gain if brief.valuation else None,
        commit=brief.git.commit if brief.git else None,
        dirty=brief.git.dirty if brief.git else False,
        reason=reason,
        tracked=tracked,
    )


def _changed(connection: sqlite3.Connection, run: str) -> Summary:
    """What a list shows of a record that is not what was written: nothing that it says."""
    (began,) = connection.execute("select min(at) from journal where run = ?", (run,)).fetchone()
    reason = f"its record was changed by something else than Payoff: payoff show {run}"
    return Summary(run=run, status="failed", started=began or _LONG_AGO, seconds=0.0, reason=reason, tracked=True)


def _unfinished(connection: sqlite3.Connection, project: str, limit: int, run: str | None = None) -> list[Summary]:
    rows = connection.execute(
        """select run, min(at), (julianday(max(at)) - julianday(min(at))) * 86400 from journal
           where project = :project and run in (
             select run from journal where project = :project and event = 'started' and (:run is null or run = :run)
             and run not in (select run from entries) order by seq desc limit :limit)
           group by run""",
        {"project": project, "run": run, "limit": limit},
    )
    reason = "no record: it is still running, or it was killed"
    return [
        Summary(run=name, status="unfinished", started=at, seconds=round(seconds, 3), reason=reason)
        for name, at, seconds in rows
    ]


def _resolve(connection: sqlite3.Connection, project: str, name: str) -> str:
    """The one run that goes by `name`: its id, the beginning of its id, `latest` (the newest record), or `latest~2` (two before it)."""
    back = re.fullmatch(r"latest(?:~([0-9]{1,9}))?", name)
    if back:
        row = connection.execute(
            "select run from entries where project = ? order by number desc limit 1 offset ?",
            (project, int(back[1] or 0)),
        ).fetchone()
        if row:
            return str(row[0])
        raise _unknown(connection, project, name)
    found = [
        str(row[0])
        for row in connection.execute(
            "select run from entries where project = :project and substr(run, 1, length(:name)) = :name "
            "union select run from journal where project = :project and event = 'started' "
            "and substr(run, 1, length(:name)) = :name order by 1",
            {"project": project, "name": name},
        )
    ]
    if name in found:
        return name
    if not name or not found:
        raise _unknown(connection, project, name)
    if len(found) > 1:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UserError(
            f"{len(found)} runs begin with {name!r}: {', '.join(found[:_SHOWN])}{more}",
            code="PO-L002",
            expected="the beginning of one run's id",
            remedy=f"payoff show {found[-1]}",
        )
    return found[0]


def _unknown(connection: sqlite3.Connection, project: str, name: str) -> UserError:
    rows = connection.execute(
        "select run from entries where project = :project "
        "union select run from journal where project = :project and event = 'started' order by 1 desc limit 200",
        {"project": project},
    )
    runs = [str(row[0]) for row in rows]
    if not runs:
        return UserError(
            "this project has no runs yet", code="PO-L001", expected="a run to look at", remedy="payoff run"
        )
    found = "there is no finished run yet" if name == "latest" else f"there is no run {name!r}"
    return UserError(
        found,
        code="PO-L001",
        expected=f"{did_you_mean(name, runs)}, the beginning of one, latest, or latest~1 (the one before)",
        remedy="payoff runs",
    )
