"""What a user asked for, as parsed by the front door."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from payoff.records.finding import Finding
from payoff.records.run import RunRecord


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`parameters` are `-p name=value` or `-p step.name=value`, values already JSON or text.

    `only` names steps to make (with all they need) instead of everything up to the verdict.
    `show_sql`: a dry run shows the queries of lazy steps whole. `patient`: wait for the tracker to have everything, so that the answer can name the tracker's run.
    """

    project: str
    parameters: dict[str, Any] = {}
    dry_run: bool = False
    force: bool = False
    only: tuple[str, ...] = ()
    patient: bool = False
    workers: int | None = None
    show_sql: bool = False
    command: tuple[str, ...] = ()


class WorthRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`run` names a run whose model is to be looked into; none: what a model could be worth. `page`: where its page goes."""

    project: str
    run: str | None = None
    history: bool = False
    page: str = ""
    command: tuple[str, ...] = ()


class IngestRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`tables`: streams to land; none: all. `follow`: until it is stopped. `accept_loss`: go on where the broker has lost messages."""

    project: str
    tables: tuple[str, ...] = ()
    follow: bool = False
    accept_loss: bool = False


class RunAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What `payoff run` and `payoff show` print. `unchanged` when nothing had to be done and `record` is the earlier run's.

    `tracking` is `{"uri", "run_id"}` as far as known; `look` the command to look further; `report` the report's path.
    """

    record: RunRecord
    unchanged: bool = False
    tracking: dict[str, Any] = {}
    look: str = ""
    report: str = ""
    warnings: tuple[Finding, ...] = ()


class InitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Where a project is to be made, and from which template; `files` (name -> text) are written over the template's; `ci` are the hosts whose pull
    requests are to be judged.
    """

    directory: str
    template: str = "starter"
    files: dict[str, str] = {}
    ci: tuple[Literal["github", "gitlab"], ...] = ("github", "gitlab")


class InitAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`files` are relative to `directory`; `next` are the commands to type."""

    directory: str
    template: str
    files: tuple[str, ...]
    commit: str
    next: tuple[str, ...]


class PlanText(msgspec.Struct, frozen=True, kw_only=True):
    """What `payoff run --dry-run` prints."""

    text: str
    document: dict[str, Any]
