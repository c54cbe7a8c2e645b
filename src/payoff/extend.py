"""Payoff's API for authors of adapters and gates: the ports, the records they carry, the errors they raise.

An adapter is a module with `Options` (a frozen dataclass: its section in payoff.toml), `CAPABILITIES` (a dict) and `connect`; one entry
point in the group of its port makes it known (docs/architecture.md). `payoff.testing` has the suite that it must pass. Names here are kept
from one minor version to the next; everything else in the package may change.
"""

from __future__ import annotations

from payoff.base.errors import Bug, InvalidInput, OutsideError, PayoffError, Refused, UserError, Where
from payoff.base.money import Money
from payoff.ports.cluster import Cluster
from payoff.ports.engine import Engine
from payoff.ports.environments.keeper import Keeper
from payoff.ports.environments.mixer import Mixer
from payoff.ports.executor import Executor
from payoff.ports.gate import GateSpec
from payoff.ports.landing import Expiring, Landing
from payoff.ports.ledger import Ledger, Readout
from payoff.ports.observer import Observer, silent
from payoff.ports.pushdown import Database
from payoff.ports.releasing.deployer import Deployer, Running, Unpacker, Wanted, nowhere
from payoff.ports.releasing.front import Front, Routes, Target
from payoff.ports.releasing.registry import Registry
from payoff.ports.releasing.signer import Signer
from payoff.ports.sink import Sink, check_mode, json_rows, refuse_unjson, taken, unfit
from payoff.ports.source import Labelling, Positioned, Source
from payoff.ports.sql.adbc import AdbcSource
from payoff.ports.sql.source import SqlSource
from payoff.ports.store import Erasing, Store
from payoff.ports.stream import Stream
from payoff.ports.streaming.format import Format, Unreadable
from payoff.ports.tracker import Emitter, Tracker
from payoff.records.artifact import Artifact, Field, Identity, Written
from payoff.records.charter import (
    Accept,
    CapacitySpec,
    Cell,
    Charter,
    CommonSolution,
    Costs,
    Decision,
    Objective,
    OutcomeSpec,
    QuantitySpec,
    SegmentSpec,
    Signed,
    SplitSpec,
    Stop,
)
from payoff.records.contract import Column, Contract, TableCheck
from payoff.records.emission import Dataset, Emission, Job, Parent
from payoff.records.evidence import (
    Calibration,
    CheckResult,
    Evidence,
    Gain,
    GroupValue,
    Interval,
    Leak,
    StepOutcome,
    Valuation,
    Verdict,
)
from payoff.records.finding import Finding, Place
from payoff.records.hybrids.environment import Inspection, Kept, Limits
from payoff.records.joins.as_of import AsOf, Join
from payoff.records.label import Label, LabelSpec, Lowering, Zone
from payoff.records.placement import Dialect, Location, Placement, Relation
from payoff.records.project import Environment, Git, Input, Project, SinkSpec, SourceSpec, Step, Tracking
from payoff.records.release.canary import Arm, Seen, Sum
from payoff.records.release.image import Base, Blob, Layer, Member, Start
from payoff.records.run import Entry, EnvironmentUsed, RunRecord, Summary
from payoff.records.state import Remembered, State
from payoff.records.stream import Arrival, Batch, Ingested, LandingState, Lost, Poison, StreamOptions
from payoff.records.task import Failure, Task, TaskInput, TaskResult

__all__ = [
    "Accept",
    "AdbcSource",
    "Arm",
    "Arrival",
    "Artifact",
    "AsOf",
    "Base",
    "Batch",
    "Blob",
    "Bug",
    "Calibration",
    "CapacitySpec",
    "Cell",
    "Charter",
    "CheckResult",
    "Cluster",
    "Column",
    "CommonSolution",
    "Contract",
    "Costs",
    "Database",
    "Dataset",
    "Decision",
    "Deployer",
    "Dialect",
    "Emission",
    "Emitter",
    "Engine",
    "Entry",
    "Environment",
    "EnvironmentUsed",
    "Erasing",
    "Evidence",
    "Executor",
    "Expiring",
    "Failure",
    "Field",
    "Finding",
    "Format",
    "Front",
    "Gain",
    "GateSpec",
    "Git",
    "GroupValue",
    "Identity",
    "Ingested",
    "Input",
    "Inspection",
    "Interval",
    "InvalidInput",
    "Job",
    "Join",
    "Keeper",
    "Kept",
    "Label",
    "LabelSpec",
    "Labelling",
    "Landing",
    "LandingState",
    "Layer",
    "Leak",
    "Ledger",
    "Limits",
    "Location",
    "Lost",
    "Lowering",
    "Member",
    "Mixer",
    "Money",
    "Objective",
    "Observer",
    "OutcomeSpec",
    "OutsideError",
    "Parent",
    "PayoffError",
    "Place",
    "Placement",
    "Poison",
    "Positioned",
    "Project",
    "QuantitySpec",
    "Readout",
    "Refused",
    "Registry",
    "Relation",
    "Remembered",
    "Routes",
    "RunRecord",
    "Running",
    "Seen",
    "SegmentSpec",
    "Signed",
    "Signer",
    "Sink",
    "SinkSpec",
    "Source",
    "SourceSpec",
    "SplitSpec",
    "SqlSource",
    "Start",
    "State",
    "Step",
    "StepOutcome",
    "Stop",
    "Store",
    "Stream",
    "StreamOptions",
    "Sum",
    "Summary",
    "TableCheck",
    "Target",
    "Task",
    "TaskInput",
    "TaskResult",
    "Tracker",
    "Tracking",
    "Unpacker",
    "Unreadable",
    "UserError",
    "Valuation",
    "Verdict",
    "Wanted",
    "Where",
    "Written",
    "Zone",
    "check_mode",
    "json_rows",
    "nowhere",
    "refuse_unjson",
    "silent",
    "taken",
    "unfit",
]
