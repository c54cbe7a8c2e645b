"""A project as its files in git say it is."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from payoff.records.charter import Charter
from payoff.records.contract import Contract
from payoff.records.joins.as_of import Join
from payoff.records.label import HERE, Classification, LabelSpec, Zone
from payoff.records.release.settings import ReleaseSpec

Form = Literal["ibis", "pyarrow", "pandas", "polars", "path", "object"]


class SourceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A `[sources.NAME]` section: the table's name, the adapter's kind, and the options the adapter reads.

    `push`: whether lazy steps over it may run in its database: where its table then need not be read, even if it is read too, or never.
    """

    table: str
    kind: str
    options: dict[str, Any]
    zone: str | None = None
    line: int = 0
    push: Literal["auto", "always", "never"] = "auto"


class ReaderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody outside who may read. `token` is a reference to an environment variable, never the token; `zone` is where what is read goes;
    `tables`: None for all that are offered; `rows`: table -> an SQL condition that its rows must meet.
    """

    name: str
    token: str
    zone: str
    purposes: tuple[str, ...] = ()
    clearance: Classification = "secret"
    tables: tuple[str, ...] | None = None
    rows: dict[str, str] = {}
    line: int = 0


class Audience(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody for whom a run is shown (`[readers.NAME]`): what is at most `clearance`, may be in `zone` (None: the project's), and may be used for each of `purposes`.

    `k` and `steward`: figures over at least so many rows may be shown whatever labels say, for which the steward stands (0: none may). `default`: pages
    and screens are made for this reader where none is named.
    """

    name: str
    clearance: Classification = "internal"
    purposes: tuple[str, ...] = ()
    zone: str | None = None
    k: int = 0
    steward: str = ""
    default: bool = False
    line: int = 0


class GatewaySpec(msgspec.Struct, frozen=True, kw_only=True):
    """The tables that are offered (none unless said), and the readers. `certificate` and `key` are files in PEM, relative to the project."""

    tables: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    batch_rows: int = 65_536
    insecure: bool = False
    readers: tuple[ReaderSpec, ...] = ()


class ServingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How models are served. `token` is a reference to an environment variable; `certificate` and `key` are files in PEM, relative to the project; `log`
    is the highest classification of columns whose values are written to the log of predictions.
    """

    token: str = ""
    certificate: str = ""
    key: str = ""
    insecure: bool = False
    log: Classification | Literal["nothing"] = "internal"


class SinkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A `[sinks.NAME]` section: the project's table that is written there, and the options that the adapter reads.

    `when`: as soon as the table is made and keeps its contract, or only after the gates `passed`. `zone`, `clearance` and `purpose` say
    where it goes, how high a classification may go there, and what for.
    """

    name: str
    kind: str
    table: str
    options: dict[str, Any]
    when: Literal["made", "passed"] = "made"
    zone: str | None = None
    clearance: Classification | None = None
    purpose: str | None = None
    line: int = 0


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """A uv lock. `folder` holds pyproject.toml and uv.lock, relative to the project.

    `packages` are name -> version of everything locked (transitive included); `digest` covers them and where they come from,
    not the file's formatting. `groups`, `extras`: dependency groups and extras installed besides the plain dependencies.
    """

    name: str
    folder: str
    python: str
    packages: dict[str, str]
    digest: str
    groups: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    memory_bytes: int | None = None
    threads: int | None = None


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """One positional parameter of a step: the table (or object) it takes and the form it arrives in."""

    name: str
    form: Form
    columns: tuple[str, ...] | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A function in the pipeline or a file in `sql/`.

    `parts` maps the qualified name of every piece of project code the step uses (itself first) to the digest of its normalised
    syntax tree; `code` is the digest of them all. `opaque` says why the code could not be narrowed below whole modules. `join`: the step is a
    point-in-time join, of which `sql` is the query for tables of any shape.
    """

    name: str
    kind: Literal["python", "sql"]
    file: str
    line: int
    inputs: tuple[Input, ...]
    output: Form
    parameters: dict[str, Any] = {}
    environment: str = "default"
    seed: int | None = None
    deterministic: bool = True
    threads: int | None = None
    module: str = ""
    function: str = ""
    sql: str | None = None
    code: str = ""
    parts: dict[str, str] = {}
    opaque: str = ""
    join: Join | None = None

    @property
    def lazy(self) -> bool:
        """True when the step is a query (SQL, or ibis in and out) that an engine runs, not Python over rows."""
        return self.kind == "sql" or self.output == "ibis"


class Git(msgspec.Struct, frozen=True, kw_only=True):
    """`tree` is the digest of the working tree's tracked and untracked files as git would store them."""

    commit: str | None
    branch: str | None
    dirty: bool
    tree: str | None = None


class Tracking(msgspec.Struct, frozen=True, kw_only=True):
    """The `[tracking]` section; empty names mean the project's own."""

    kind: str = "mlflow"
    uri: str = "sqlite:///.payoff/mlflow.db"
    experiment: str = ""
    registered_model: str = ""
    enabled: bool = True
    zone: str | None = None


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """`root` is absolute. `id` names the project in the ledger. `files` maps each file that was read to its digest.

    `zone` is where runs run and their results are kept; `serving` are the zones where the model is meant to be served; `labels` holds
    what is said of columns that no contract labels; nothing above `shown` stands on a screen, in a sample or a report. `lineage_zone` is where lineage that is told goes; None for the project's own.
    """

    id: str
    name: str
    root: str
    charter: Charter
    contracts: tuple[Contract, ...]
    sources: tuple[SourceSpec, ...]
    environments: tuple[Environment, ...]
    steps: tuple[Step, ...]
    git: Git
    tracking: Tracking
    ledger: dict[str, Any] = {}
    store: dict[str, Any] = {}
    workers: int | None = None
    zone: str = HERE
    zones: tuple[Zone, ...] = ()
    serving: tuple[str, ...] = ()
    served: ServingSpec = ServingSpec()
    sinks: tuple[SinkSpec, ...] = ()
    labels: LabelSpec = LabelSpec()
    shown: Classification = "internal"
    push: Literal["auto", "never"] = "auto"
    engine: dict[str, Any] = {}
    gateway: GatewaySpec = GatewaySpec()
    readers: tuple[Audience, ...] = ()
    files: dict[str, str] = {}
    lineage: dict[str, Any] = {}
    lineage_zone: str | None = None
    release: ReleaseSpec | None = None

    def step(self, name: str) -> Step | None:
        """The step of that name, if there is one."""
        return next((step for step in self.steps if step.name == name), None)

    def source(self, table: str) -> SourceSpec | None:
        """The source that a table is read from; None for a table that a step makes."""
        return next((source for source in self.sources if source.table == table), None)

    def contract(self, table: str) -> Contract | None:
        """What is promised about a table; None when nothing is."""
        return next((contract for contract in self.contracts if contract.table == table), None)

    def environment(self, name: str) -> Environment | None:
        """The environment of that name, if it is declared."""
        return next((environment for environment in self.environments if environment.name == name), None)
