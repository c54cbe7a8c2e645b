"""All files of a project, put together: configuration, charter, contracts, environments and steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base.ids import project_id
from payoff.project import charter, charter_keys, config, places
from payoff.project.aloud import wording
from payoff.project.locking import lock
from payoff.project.pipeline import sinks, steps
from payoff.project.pipeline.graph import Graph
from payoff.records.charter import Charter
from payoff.records.contract import Contract
from payoff.records.finding import Finding, Place
from payoff.records.project import Git, Project

if TYPE_CHECKING:
    from payoff.project.files import Reading

CONTRACTS = "contracts"


class ContractFile(msgspec.Struct, frozen=True):
    """What one contract file says. `names` maps table -> name of a property -> its column."""

    contracts: tuple[Contract, ...] = ()
    names: dict[str, dict[str, str]] = {}
    findings: tuple[Finding, ...] = ()


def project(reading: Reading) -> Project | None:
    """The project, git apart; nothing when a part is too wrong. Everything found is in `reading.findings`."""
    for file, what in ((config.FILE, "how the project runs"), (charter_keys.FILE, "why the project exists")):
        if not reading.exists(file) and file in reading.absent:
            reading.error(
                "PO-P003",
                f"{file} is not there",
                Place(file),
                expected=f"{file}, which says {what}",
                remedy=f"write {file} (payoff init DIR makes a whole project to copy from)",
            )
    settings = config.read(reading)
    why, document = charter.read(reading) or (None, None)
    contracts = _contracts(reading)
    made = settings.joins if settings is not None else ()
    declared = steps.read(reading, settings.pipeline if settings is not None else "", made)
    if settings is None:
        return None
    places.check(reading, contracts, settings.zones)
    environments = lock.read(reading, settings.environments)
    graph = Graph(reading, declared, settings.sources, contracts, why, document)
    # Of a charter that is wrong nobody knows whether it has a model.
    if not declared and (why.model_step if why is not None else not reading.exists(charter_keys.FILE)):
        _no_steps(reading)
    graph.written = tuple(sink.table for sink in settings.sinks)
    graph.check(settings.environments)
    sinks.check(reading, settings.sinks, settings.sources, graph.steps, why.model_step if why is not None else "")
    if why is None:
        return None
    why = _with_privacy(why, contracts)
    if document is not None:
        wording.check(reading, why, document)
    return Project(
        id=project_id(settings.name),
        name=settings.name,
        root="",
        charter=why,
        contracts=contracts,
        sources=settings.sources,
        environments=environments,
        steps=tuple(graph.steps.values()),
        git=Git(commit=None, branch=None, dirty=False),
        tracking=settings.tracking,
        ledger=settings.ledger,
        store=settings.store,
        workers=settings.workers,
        zone=settings.zone,
        zones=settings.zones,
        serving=settings.serving,
        served=settings.served,
        sinks=settings.sinks,
        labels=settings.labels,
        shown=settings.shown,
        push=settings.push,
        engine=settings.engine,
        gateway=settings.gateway,
        readers=settings.readers,
        lineage=settings.lineage,
        lineage_zone=settings.lineage_zone,
        release=settings.release,
    )


def _with_privacy(charter: Charter, contracts: tuple[Contract, ...]) -> Charter:
    """The charter, knowing whether its rows' ids may be shown."""
    decision = charter.decision
    private = any(
        column.personal for contract in contracts for column in contract.columns if column.name == decision.id
    )
    return msgspec.structs.replace(charter, decision=msgspec.structs.replace(decision, private=private))


def _no_steps(reading: Reading) -> None:
    if any(finding.code == "PO-P040" for finding in reading.findings):
        return
    reading.error(
        "PO-P056",
        "the project has no step",
        Place("pipeline.py"),
        expected="functions under @step in pipeline.py, or queries in sql/NAME.sql",
        remedy="write pipeline.py (payoff init DIR makes a whole project to copy from)",
    )


def _contracts(reading: Reading) -> tuple[Contract, ...]:
    found: dict[str, Contract] = {}
    names: dict[str, dict[str, str]] = {}
    for name in reading.names(CONTRACTS, (".yaml", ".yml")):
        file = f"{CONTRACTS}/{name}"
        if not reading.exists(file):
            continue
        read = reading.remembered("contract", [file, reading.digest(file)], ContractFile, _Read(reading, file))
        reading.findings += read.findings
        names |= read.names
        for contract in read.contracts:
            if contract.table in found:
                reading.error(
                    "PO-P076",
                    f"there are two contracts for the table {contract.table}",
                    Place(contract.file),
                    expected=f"one contract for each table (the first is in {found[contract.table].file})",
                    remedy=f"remove the table from {contract.file}, then: payoff check",
                )
            else:
                found[contract.table] = contract
    return tuple(_with_columns(contract, names) for contract in found.values())


class _Read:
    """Reads a contract file when the cache does not know it."""

    def __init__(self, reading: Reading, file: str) -> None:
        self.reading = reading
        self.file = file

    def __call__(self) -> ContractFile:
        from payoff.project.contracts import table  # loads YAML and JSON schema, and only a changed contract needs them

        apart = self.reading.apart()
        contracts_, names = table.read(apart, self.file)
        return ContractFile(contracts_, names, tuple(apart.findings))


def _with_columns(contract: Contract, names: dict[str, dict[str, str]]) -> Contract:
    """The contract, its foreign keys in the names of columns (contracts write the names of properties)."""
    columns = tuple(
        msgspec.structs.replace(column, references=_column_of(column.references, names)) for column in contract.columns
    )
    return msgspec.structs.replace(contract, columns=columns)


def _column_of(reference: tuple[str, str] | None, names: dict[str, dict[str, str]]) -> tuple[str, str] | None:
    if reference is None:
        return None
    table, name = reference
    return table, names.get(table, {}).get(name, name)
