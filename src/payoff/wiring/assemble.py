"""Project -> Kit: the live adapters, each made when it is first asked for."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.base.errors import PayoffError, Where
from payoff.ports.kit import Kit
from payoff.records.finding import Finding, from_error
from payoff.records.project import SourceSpec
from payoff.wiring import entry_points, options, streams

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from payoff.ports.engine import Engine
    from payoff.ports.environments.mixer import Mixer
    from payoff.ports.executor import Executor
    from payoff.ports.ledger import Ledger
    from payoff.ports.source import Source
    from payoff.ports.store import Store
    from payoff.records.contract import Contract
    from payoff.records.project import Project, SinkSpec
    from payoff.records.run import RunRecord

CONFIG = "payoff.toml"
SOURCES = "payoff.sources"
# One section takes names of two groups: what `[engine]` names may be here, or on other machines.
BESIDE = {"engines": "payoff.clusters"}
# What a project uses that names nothing else: everything embedded, in the project's own folder.
DEFAULTS = {
    "engine": "duckdb",
    "store": "local",
    "executor": "local",
    "ledger": "sqlite",
    "source": "files",
    "landing": "local",
    "mixer": "locks",
    "registry": "layout",
    "signer": "ssh",
    "front": "proxy",
    "service": "kubernetes",
    "unpacker": "process",
}


def assemble(project: Project) -> Kit:
    """The adapters that the project names. Nothing is opened, and no adapter's library imported, before it is used."""
    root = Path(project.root)
    sections: dict[str, Mapping[str, Any]] = {
        "engine": engine_section(project),
        "store": project.store,
        "executor": {},
        "ledger": project.ledger,
    }
    makers = {port: functools.partial(_connect, port, dict(section), root) for port, section in sections.items()}
    if _elsewhere(project):
        makers["cluster"] = functools.partial(_connect, "cluster", dict(project.engine), root)
    if project.lineage:
        makers["emitter"] = functools.partial(_emitter, project, root)
    makers["tracker"] = functools.partial(_tracker, project, root)
    sources = {
        source.table: functools.partial(_source, source, root, project.contract(source.table))
        for source in project.sources
    }
    capabilities = functools.partial(_capabilities, {source.table: source for source in project.sources})
    sinks = {sink.name: functools.partial(_sink, sink, root) for sink in project.sinks}
    return Kit(makers, sources, capabilities, sinks)


def _capabilities(sources: Mapping[str, SourceSpec], table: str) -> Mapping[str, Any]:
    source = sources[table]
    group = entry_points.group_of(source.kind, (SOURCES, streams.GROUP))
    module = entry_points.load(group, source.kind, Where(CONFIG, source.line), also=streams.GROUP)
    found: Mapping[str, Any] = entry_points.attribute(module, "CAPABILITIES")
    return found


def _engine_kind(section: dict[str, Any]) -> str:
    return str(section.pop("kind", DEFAULTS["engine"]))


def _elsewhere(project: Project) -> bool:
    """True when `[engine]` is on other machines; DuckDB looks at tables here all the same."""
    kind = str(project.engine.get("kind", DEFAULTS["engine"]))
    return entry_points.group_of(kind, ("payoff.engines", "payoff.clusters")) == "payoff.clusters"


def engine_section(project: Project) -> dict[str, Any]:
    """What says which engine looks at tables here."""
    return {} if _elsewhere(project) else dict(project.engine)


def engine(section: Mapping[str, Any], root: Path) -> Engine:
    """An engine alone, for a program that has no project; what does not fit into memory goes under `root`."""
    made: Engine = _connect("engine", dict(section), root)
    return made


def only_ledger(root: Path, section: Mapping[str, Any]) -> Kit:
    """A kit for looking back: no project needs to load."""
    return Kit(
        {
            "ledger": functools.partial(_connect, "ledger", dict(section), root),
            "store": functools.partial(_connect, "store", {}, root),
            "engine": functools.partial(_connect, "engine", {}, root),
            "tracker": lambda: None,
        },
        {},
    )


def ledger(folder: Path) -> Ledger:
    """A ledger of its own in a folder."""
    made: Ledger = _connect("ledger", {"path": "ledger.db"}, folder)
    return made


def mixer(root: Path) -> Mixer:
    """What makes environments between two."""
    made: Mixer = _connect("mixer", {}, root)
    return made


def executor(root: Path) -> Executor:
    """What runs steps, of a project that need not load."""
    made: Executor = _connect("executor", {}, root)
    return made


def again(project: Project, home: Path, store: Store, variables: Mapping[str, str]) -> dict[str, Callable[[], Any]]:
    """What makes the adapters of a project that is executed again in another folder than its `home`, the ledger apart.

    It has the home's snapshots and installed environments; it writes to no sink, tells nobody, and runs on this machine. `variables` are
    environment variables for its steps.
    """
    root = Path(project.root)
    executor = {"folder": str(home / ".payoff" / "environments"), "variables": dict(variables)}
    return {
        "engine": functools.partial(_connect, "engine", engine_section(project), root),
        "executor": functools.partial(_connect, "executor", executor, root),
        "store": lambda: store,
        "tracker": lambda: None,
    }


def file(path: str) -> Source:
    """A source that reads one file, of no project."""
    spec = SourceSpec(table="examples", kind=DEFAULTS["source"], options={"path": str(Path(path).absolute())})
    source: Source = _source(spec, Path.cwd())
    return source


def problems(project: Project) -> list[Finding]:
    """What is wrong with the sections that adapters read, without opening anything."""
    found: list[Finding] = []
    for source in project.sources:
        try:
            _source(source, Path(project.root), project.contract(source.table))
        except PayoffError as error:
            found += from_error(error)
    for sink in project.sinks:
        try:
            _options("sinks", sink.kind, sink.options, f"[sinks.{sink.name}]", sink.line)
        except PayoffError as error:
            found += from_error(error)
    if project.engine:
        section = dict(project.engine)
        try:
            _options("clusters" if _elsewhere(project) else "engines", _engine_kind(section), section, "[engine]")
        except PayoffError as error:
            found += from_error(error)
    if project.lineage:
        try:
            _emitter(project, Path(project.root))
        except PayoffError as error:
            found += from_error(error)
    return found


def gates() -> dict[str, tuple[Any, Any]]:
    """The installed gates: name -> (specification, function)."""
    modules = {name: entry_points.load("payoff.gates", name) for name in sorted(entry_points.names("payoff.gates"))}
    return {
        name: (entry_points.attribute(module, "GATE"), entry_points.attribute(module, "judge"))
        for name, module in modules.items()
    }


def _options(group: str, kind: str, section: Mapping[str, Any], title: str, line: int = 0) -> tuple[Any, Any]:
    where = Where(CONFIG, line)
    module = entry_points.load(f"payoff.{group}", kind, where, also=BESIDE.get(group, ""))
    made = options.build(entry_points.attribute(module, "Options"), section, title=title, where=where)
    return entry_points.attribute(module, "connect"), made


def _connect(port: str, section: dict[str, Any], root: Path) -> Any:
    kind = section.pop("kind", "") or DEFAULTS[port]
    connect, made = _options(f"{port}s", kind, section, "[engine]" if port == "cluster" else f"[{port}]")
    return connect(root, made)


def _source(source: SourceSpec, root: Path, contract: Contract | None = None) -> Any:
    """A table's source: an adapter, or what an adapter of streams lands."""
    group = entry_points.group_of(source.kind, (SOURCES, streams.GROUP))
    where = Where(CONFIG, source.line)
    module = entry_points.load(group, source.kind, where, also=streams.GROUP)
    made = options.build(
        entry_points.attribute(module, "Options"), source.options, title=f"[sources.{source.table}]", where=where
    )
    adapter = entry_points.attribute(module, "connect")(source.table, made, root)
    if group == SOURCES:
        return adapter
    offset = entry_points.attribute(module, "CAPABILITIES")["offset"]
    landing = _connect("landing", {}, root)
    return streams.landed(source.table, adapter, landing, made, contract, offset=offset, root=root)


def _sink(sink: SinkSpec, root: Path) -> Any:
    connect, made = _options("sinks", sink.kind, sink.options, f"[sinks.{sink.name}]", sink.line)
    return connect(sink.name, made, root)


def _emitter(project: Project, root: Path) -> Any:
    section = dict(project.lineage)
    connect, made = _options("emitters", section.pop("kind"), section, "[lineage]")
    return connect(root, made)


def model_writer(project: Project) -> Callable[[Path, RunRecord, Mapping[str, str]], None]:
    """What writes a run's model as the tracker keeps it: folder, record, files as for `Tracker.track`."""
    module = entry_points.load("payoff.trackers", project.tracking.kind, Where(CONFIG))
    found: Callable[[Path, RunRecord, Mapping[str, str]], None] = entry_points.attribute(module, "write")
    return found


def _tracker(project: Project, root: Path) -> Any:
    tracking = project.tracking
    if not tracking.enabled:
        return None
    section = {
        "uri": tracking.uri,
        "experiment": tracking.experiment or project.name,
        "registered_model": tracking.registered_model or project.name,
    }
    connect, made = _options("trackers", tracking.kind, section, "[tracking]")
    return connect(root, made)
