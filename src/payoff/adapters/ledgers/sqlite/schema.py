"""The tables of the SQLite ledger, and how an older file becomes a newer one.

`user_version` is the number of migrations a file has had. A change of the tables is one more entry at the end of
`MIGRATIONS`; entries are never edited, because files out there had them as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.errors import OutsideError, UserError, Where

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

APPLICATION_ID = 0x5041594F  # "PAYO": tells our file from any other SQLite database

_FIRST = """
create table entries(
  number integer primary key autoincrement, run text not null unique, project text not null,
  previous text not null, hash text not null, body blob not null);
create index entries_of_project on entries(project, number);
create table journal(
  seq integer primary key autoincrement, project text not null, run text not null, event text not null,
  subject text not null, model text not null, at text not null,
  previous text not null, hash text not null, body blob not null);
create index journal_of_subject on journal(project, event, subject);
create index journal_of_run on journal(run, event);
create unique index one_look on journal(project, subject, model) where event = 'look';
create table remembered(
  seq integer primary key references journal(seq), project text not null, step text not null, key text not null);
create index remembered_key on remembered(key, seq);
create index remembered_step on remembered(project, step, seq);
"""


def _append_only(table: str) -> str:
    return "".join(
        f"create trigger {table}_no_{verb} before {verb} on {table} begin "
        f"select raise(abort, 'the ledger is append-only: {table} refuses {verb}'); end;\n"
        for verb in ("update", "delete")
    )


MIGRATIONS = (_FIRST + "".join(_append_only(table) for table in ("entries", "journal", "remembered")),)


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file to this version's tables, in one transaction; a file of a newer version is refused."""
    if _version(connection) == len(MIGRATIONS):
        _check_owner(connection, path)
        return
    connection.execute("begin immediate")
    try:
        version = _version(connection)  # another process may have been here first
        if version > len(MIGRATIONS):
            raise _newer(path, version)
        if version or not _empty(connection):
            _check_owner(connection, path)
        for script in MIGRATIONS[version:]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        connection.execute(f"pragma user_version = {len(MIGRATIONS)}")
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma user_version").fetchone()[0])


def _empty(connection: sqlite3.Connection) -> bool:
    return int(connection.execute("select count(*) from sqlite_master").fetchone()[0]) == 0


def _check_owner(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("pragma application_id").fetchone()[0] != APPLICATION_ID:
        raise OutsideError(
            "the file is an SQLite database, but not a Payoff ledger",
            code="PO-L009",
            expected="a ledger written by Payoff, or no file yet",
            where=Where(path),
            remedy='name another file: [ledger] path = ".payoff/ledger.db" in payoff.toml',
        )


def _newer(path: Path, version: int) -> UserError:
    return UserError(
        f"the ledger was written by a newer Payoff (its format is {version})",
        code="PO-L007",
        expected=f"format {len(MIGRATIONS)} or older",
        where=Where(path),
        remedy="uv tool upgrade payoff",
    )


def _statements(script: str) -> list[str]:
    """The statements of a script. `executescript` would commit between them; a trigger ends with `end;`."""
    found: list[str] = []
    part = ""
    for piece in script.split(";"):
        part += piece + ";"
        if "create trigger" in part and not part.rstrip().endswith("end;"):
            continue
        if part.strip(" \n;"):
            found.append(part)
        part = ""
    return found
