"""The run record: everything about one run, written once at its end, for failed and refused runs too."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from payoff.records.artifact import Artifact
from payoff.records.charter import Charter
from payoff.records.evidence import CheckResult, StepOutcome, Valuation, Verdict
from payoff.records.finding import Finding
from payoff.records.label import Label
from payoff.records.project import Git

Status = Literal["passed", "refused", "failed"]


class EnvironmentUsed(msgspec.Struct, frozen=True, kw_only=True):
    """The lock that steps of the run were made in: `packages` are name -> version."""

    name: str
    digest: str
    python: str
    packages: dict[str, str]


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`by` is the user and the machine. `errors` holds what ended a failed run and `exit_code` whose fault it was (DESIGN: 0 to 4); `refused` runs carry the verdicts that refused them.

    `labels`: table -> column -> what held for it when the run was made, of columns that are confidential or more, or restricted to places, purposes or times. `reader` and `withheld` are those of a copy that is shown to
    a named reader: what was left out of it.
    """

    run: str
    project: str
    name: str
    status: Status
    started: str
    finished: str
    seconds: float
    command: tuple[str, ...] = ()
    by: str = ""
    charter: Charter | None = None
    git: Git | None = None
    environments: tuple[EnvironmentUsed, ...] = ()
    system: dict[str, Any] = {}
    parameters: dict[str, dict[str, Any]] = {}
    steps: tuple[StepOutcome, ...] = ()
    stages: tuple[StepOutcome, ...] = ()
    tables: dict[str, Artifact] = {}
    model: Artifact | None = None
    predictions: Artifact | None = None
    checks: tuple[CheckResult, ...] = ()
    valuation: Valuation | None = None
    verdicts: tuple[Verdict, ...] = ()
    metrics: dict[str, float] = {}
    errors: tuple[Finding, ...] = ()
    holdout_rows: int = 0
    looks: int = 0
    version: str = ""
    tracking_uri: str = ""
    exit_code: int = 0
    labels: dict[str, dict[str, Label]] = {}
    reader: str = ""
    withheld: tuple[str, ...] = ()


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A record in the ledger's chain: `hash` covers `previous` and the record's bytes."""

    number: int
    previous: str
    hash: str
    record: RunRecord


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `payoff runs`. `gain` is null when the run did not get to a valuation; `unfinished` runs have no record.

    `tracked` is true when the tracker said that it has the run.
    """

    run: str
    status: Literal["passed", "refused", "failed", "unfinished"]
    started: str
    seconds: float
    currency: str = ""
    gain: dict[str, Any] | None = None
    commit: str | None = None
    dirty: bool = False
    reason: str = ""
    tracked: bool = False
