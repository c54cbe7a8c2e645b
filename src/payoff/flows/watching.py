"""What a run depends on outside its plan: the files to watch, the system, the processors."""

from __future__ import annotations

import getpass
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from payoff.base import switches
from payoff.execute.failures import at_source
from payoff.flows.unchanged import Stamps, stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payoff.flows.opening import Opened
    from payoff.records.project import Project


def stamps(opened: Opened) -> Stamps:
    """Stamps of every file (and the folders they are listed in) that the project and its sources read.

    Empty when a source cannot be watched by its files (a server, a secret in its address): then every run plans.
    """
    root = opened.root
    paths = {str(root / name) for name in opened.project.files}
    paths |= {str(Path(path).parent) for path in paths if Path(path).parent != root}
    paths |= {str(root / name) for name in ("contracts", "sql")}
    paths |= {f"!{root / '.payoff' / name}" for name in ("ledger.db", "store")}
    for environment in opened.project.environments:
        paths.add(f"!{root / '.payoff' / 'environments' / environment.digest}")
    for source in opened.project.sources:
        with at_source(opened.project, source.table):
            watch = opened.kit.source(source.table).describe().get("watch")
        if not watch or "${" in str(source.options):
            return {}
        paths |= {str(root / path) for path in watch}
    for sink in opened.project.sinks:
        watch = opened.kit.sink(sink.name).describe().get("watch")
        if not watch or "${" in str(sink.options):
            return {}
        paths |= {str(root / path) for path in watch}
    return stamp(sorted(paths))


def ages(opened: Opened) -> bool:
    """True when what a run says can change with time alone: a contract promises freshness, or permits data to be kept for some days only."""
    return limited(opened.project) or any(
        check.kind == "freshness" for contract in opened.project.contracts for check in contract.checks
    )


def limited(project: Project) -> bool:
    """True when some label limits how long data may be kept."""
    columns = (column for contract in project.contracts for column in contract.columns)
    return project.labels.retention is not None or any(
        column.retention is not None or (column.lowering is not None and column.lowering.to.retention is not None)
        for column in columns
    )


def system(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The facts of this machine that a step's result may depend on, and the switches that are set in the environment."""
    libc = "-".join(part for part in platform.libc_ver() if part)
    return {"system": platform.system(), "machine": platform.machine(), "libc": libc, **switches.said(environ)}


def who() -> str:
    """The user and the machine of this process."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = "unknown"
    return f"{name}@{platform.node()}"


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
