"""What others may import: few names, each explained, none of them lost unnoticed, none of them heavy."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import types
from pathlib import Path

import pytest

import payoff
from payoff import extend

HOUSE = Path(payoff.__file__).parent
PUBLIC = {"__version__", "as_of", "columns", "facts", "log_metric", "step"}
# To take a name out of here is to break somebody's adapter: deprecate it first.
EXTEND = {
    "Accept", "AdbcSource", "Artifact", "Bug", "Calibration", "CapacitySpec", "Cell", "Charter", "CheckResult", "Column", "CommonSolution", "Contract", "Costs", "Decision",
    "Engine", "Entry", "Environment", "EnvironmentUsed", "Evidence", "Executor", "Failure", "Field", "Finding", "Gain", "GateSpec",
    "Git", "GroupValue", "Identity", "Input", "Interval", "InvalidInput", "Label", "LabelSpec", "Leak", "Ledger", "Lowering", "Money", "Objective", "Observer", "OutcomeSpec",
    "OutsideError", "PayoffError", "Place", "Project", "QuantitySpec", "Readout", "Refused", "Remembered", "RunRecord", "Source", "SourceSpec",
    "Cluster", "Database", "Dialect", "Location", "Placement", "Relation",  # of databases that run queries
    "SegmentSpec", "Signed", "SplitSpec", "SqlSource", "State", "Step", "StepOutcome", "Stop", "Store", "Summary", "TableCheck", "Task", "TaskInput", "TaskResult",
    "Keeper", "Kept", "Inspection", "Limits",  # of environments
    "Registry", "Deployer", "Running", "Wanted", "nowhere", "Front", "Routes", "Target", "Arm", "Seen", "Sum", "Mixer", "Erasing", "Expiring", "Signer", "Blob", "Base", "Layer", "Member", "Start",  # of releases
    "Emitter", "Emission", "Dataset", "Job", "Parent",
    "Tracker", "Tracking", "Unpacker", "UserError", "Valuation", "Verdict", "Where", "Zone", "silent", "AsOf", "Join", "Sink", "SinkSpec", "Written", "taken", "unfit", "check_mode", "json_rows", "refuse_unjson",
    "Arrival", "Batch", "Format", "Unreadable", "Ingested", "Landing", "LandingState", "Lost", "Poison", "Positioned", "Labelling", "Stream", "StreamOptions",
}  # fmt: skip
# Ports and records that authors of adapters do not meet.
INNER = {
    "payoff.ports.kit": "what wiring hands to flows",
    "payoff.ports.columns": "what our own sources share",
    "payoff.ports.releasing.machine": "what our own deployers share",
    "payoff.ports.sql.faults": "a part of SqlSource",
    "payoff.ports.sql.source.bare": "SqlSource's and SqlDatabase's own",
    "payoff.ports.sql.database": "an SqlSource that is a Database too",
    "payoff.ports.gate.judge": "asks the gates; a gate is a function",
    "payoff.records.finding.from_error": "the front door's",
    "payoff.records.project.GatewaySpec": "what the gateway's owner says",
    "payoff.records.project.Audience": "whom the project's owner shows runs to",
    "payoff.ports.store.was": "what our own flows say of something that is gone",
    "payoff.records.project.ReaderSpec": "what the gateway's owner says",
    "payoff.records.project.ServingSpec": "what payoff.toml says of serving",
    "payoff.records.answers.request": "what the front door asks flows for",
    "payoff.records.catalog": "what payoff data answers",
    "payoff.records.answers.reproduce": "what payoff reproduce answers",
    "payoff.records.answers.worth": "what payoff worth answers",
    "payoff.records.answers.why": "what payoff why answers",
    "payoff.records.answers.diff": "what payoff diff answers",
    "payoff.records.answers.environments": "what payoff environments answers",
    "payoff.records.hybrids.attribution": "what payoff why is made of",
    "payoff.records.release.release": "what payoff release signs",
    "payoff.records.release.canary.CanarySpec": "what payoff.toml says of canaries",
    "payoff.records.release.canary.Judgement": "what payoff deploy --judge answers",
    "payoff.records.release.settings": "what payoff release reads in payoff.toml",
    "payoff.records.answers.releasing": "what payoff release answers",
    "payoff.records.answers.exporting": "what payoff export answers",
    "payoff.records.wire": "how records are written",
}
# Python asks for these names, or tests say in theirs what they are about.
SELF_EXPLAINED = ("_", "test_")


def test_the_public_names() -> None:
    assert set(payoff.__all__) == PUBLIC
    assert set(extend.__all__) == EXTEND
    assert len(PUBLIC) < 30
    assert [name for name in PUBLIC if not hasattr(payoff, name)] == []


def homeless(outside: types.ModuleType, names: set[str]) -> list[str]:
    """Public names that are not to be had, or that stand for something which its own module has no more."""
    return [
        name
        for name in sorted(names)
        if not hasattr(outside, name)
        or getattr(importlib.import_module(getattr(outside, name).__module__), name, None) is not getattr(outside, name)
    ]


def test_each_name_is_to_be_had() -> None:
    assert homeless(extend, EXTEND) == []
    assert homeless(extend, {"Nothing"}) == ["Nothing"]


def kept_back(rooms: list[str], names: set[str], inner: set[str]) -> list[str]:
    """Public classes and functions of rooms that the public module does not have."""
    found = []
    for room in rooms:
        for each in pkgutil.iter_modules(importlib.import_module(room).__path__):
            module = importlib.import_module(f"{room}.{each.name}")
            own = [n for n, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
            found += [f"{module.__name__}.{n}" for n in own if not n.startswith("_") and n not in names]
    return sorted(name for name in found if name not in inner and name.rpartition(".")[0] not in inner)


def test_authors_of_adapters_have_all_ports_and_records() -> None:
    rooms = ["payoff.ports", "payoff.ports.sql", "payoff.records", "payoff.records.answers", "payoff.records.joins", "payoff.records.hybrids", "payoff.ports.releasing", "payoff.ports.streaming", "payoff.ports.environments", "payoff.records.release"]
    assert kept_back(rooms, EXTEND, set(INNER)) == []
    assert kept_back(rooms, EXTEND - {"Ledger", "Task"}, set(INNER)) == ["payoff.ports.ledger.Ledger", "payoff.records.task.Task"]
    everything = kept_back(rooms, EXTEND, set())
    assert [name for name in INNER if not any(each == name or each.startswith(name + ".") for each in everything)] == []


def unexplained(source: str) -> list[str]:
    """Public classes, functions and methods without a docstring, and the file itself."""
    module = ast.parse(source)
    said = [] if ast.get_docstring(module) or not module.body else ["the file"]
    rooms: list[tuple[str, ast.Module | ast.ClassDef]] = [("", module)]
    while rooms:
        before, room = rooms.pop()
        for node in room.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith(SELF_EXPLAINED):
                said += [] if ast.get_docstring(node) else [before + node.name]
                if isinstance(node, ast.ClassDef):
                    rooms.append((f"{node.name}.", node))
    return said


def test_public_names_are_explained() -> None:
    said = [
        f"{name}: {what}"
        for file in sorted(HOUSE.rglob("*.py"))
        if not (name := file.relative_to(HOUSE).as_posix()).startswith(("worker/", "templates/"))
        for what in unexplained(file.read_text(encoding="utf-8"))
    ]
    assert not said, "\n".join(said)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1", ["the file"]),
        ("'''Sizes.'''\ndef f(): ...", ["f"]),
        ("'''Sizes.'''\nclass A:\n    '''One.'''\n    def f(self): ...\n    def g(self):\n        '''It.'''", ["A.f"]),
        ("'''Sizes.'''\nclass A: ...", ["A"]),
        ("", []),
        ("'''Sizes.'''\ndef _f(): ...\ndef test_it(): ...\nclass _A:\n    def f(self): ...", []),
        ("'''Sizes.'''\ndef f():\n    '''It.'''\n    def inner(): ...", []),
    ],
)
def test_planted_names_are_found(source: str, said: list[str]) -> None:
    assert unexplained(source) == said


def methods(source: str) -> dict[str, int]:
    """Protocol -> how many methods it asks for."""
    return {
        node.name: sum(isinstance(each, ast.FunctionDef) for each in node.body)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "Protocol" for base in node.bases)
    }


def test_a_port_asks_for_few_methods() -> None:
    found: dict[str, int] = {}
    for file in (HOUSE / "ports").glob("*.py"):
        found |= methods(file.read_text(encoding="utf-8"))
    assert len(found) >= 8
    assert {name: count for name, count in found.items() if count > 5} == {}
    planted = "class Fat(Protocol):\n" + "".join(f"    def m{n}(self): ...\n" for n in range(6))
    assert methods(planted) == {"Fat": 6}
