"""What of a run is told to lineage services: jobs, tables, what columns are made of. No data values, no secrets."""

from __future__ import annotations

import msgspec

from payoff.records.evidence import CheckResult
from payoff.records.project import Git


class Parent(msgspec.Struct, frozen=True, kw_only=True):
    """A column that another is made of. `control`: it decides (a filter, a key, an order), and its values do not go on; `ways`: how it decides
    (join, filter, group by, sort, window, conditional).
    """

    table: str
    column: str
    control: bool
    ways: tuple[str, ...] = ()


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A table. `address` is where a source is, without secrets (empty for what steps made), `there` its name there where it is another; `fields` are (column, Arrow type); `labels` column -> classification."""

    name: str
    address: str = ""
    there: str = ""
    version: str = ""
    rows: int | None = None
    bytes: int | None = None
    documentation: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    parents: dict[str, tuple[Parent, ...]] = {}
    labels: dict[str, str] = {}
    checks: tuple[CheckResult, ...] = ()


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A step that ran or failed. `sql` is the query as the project has it, `error` our words on its failure."""

    name: str
    language: str
    file: str
    inputs: tuple[str, ...]
    output: str
    sql: str = ""
    error: str = ""


class Emission(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded run. Times are ISO 8601; `inputs` are the sources that were read; `error` is empty where it passed."""

    project: str
    name: str
    run: str
    started: str
    finished: str
    version: str
    documentation: str
    git: Git | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    jobs: tuple[Job, ...]
    datasets: dict[str, Dataset]
    error: str = ""
