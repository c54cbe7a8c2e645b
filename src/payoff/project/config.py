"""payoff.toml: how the project runs. Sources, environments, tracking, ledger, store."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from payoff.project import places, spec, toml
from payoff.project.pipeline import joins, sinks
from payoff.project.releasing import sections
from payoff.project.spec import Key, Section
from payoff.records.label import CLASSIFICATIONS, HERE, Classification, LabelSpec, Zone
from payoff.records.project import Audience, GatewaySpec, ServingSpec, SinkSpec, SourceSpec, Step, Tracking
from payoff.records.release.settings import ReleaseSpec

if TYPE_CHECKING:
    from payoff.project.files import Reading
    from payoff.project.toml import Document, Path

FILE = "payoff.toml"
RESERVED = ("train", "holdout")
NAME = r"[A-Za-z_][A-Za-z0-9_]*"
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}

_ENVIRONMENT = Section(
    {
        "folder": Key("text", "the folder with this environment's pyproject.toml and uv.lock"),
        "groups": Key("texts", "dependency groups to install besides the plain dependencies"),
        "extras": Key("texts", "extras to install besides the plain dependencies"),
        "memory": Key(
            "text",
            "the most memory one step may use",
            pattern=rf"[0-9]+(\.[0-9]+)? ?({'|'.join(UNITS)})",
            pattern_says='a size with its unit, as "4GB" or "512MiB"',
        ),
        "threads": Key("integer", "threads for one step", low=1, closed=True),
    },
    "a uv lock to run steps in; `default` is the project's own",
)
SPEC = Section(
    {
        "project": Section(
            {
                "name": Key(
                    "text",
                    "the project's name",
                    required=True,
                    pattern=r"[^/\\:%\"'\x00-\x1f]{1,100}",
                    pattern_says="up to 100 characters without / \\ : % and quotes",
                ),
                "zone": Key("text", "the zone where runs run and their results are kept"),
            },
            "the project itself",
            required=True,
        ),
        "sources": Section(
            {},
            "where tables come from",
            other=Section(
                {
                    "kind": Key("text", "which kind of source: files, sqlite, postgresql, ...", required=True),
                    "zone": Key("text", "the place where the data is, with its jurisdiction"),
                    "push": Key(
                        "text",
                        "whether lazy steps run in its database: where that saves reading it (auto), always, or never",
                        choices=("auto", "always", "never"),
                    ),
                },
                "a table and where it comes from; further keys belong to the kind of source",
                free=True,
            ),
        ),
        "joins": joins.SPEC,
        "sinks": sinks.SPEC,
        "zones": Section(
            {},
            "places where data may be",
            other=Section(
                {
                    "jurisdictions": Key("texts", "the jurisdictions that it belongs to, as DE and EU"),
                    "clearance": Key(
                        "text",
                        "the highest classification that may be there (default: secret)",
                        choices=CLASSIFICATIONS,
                    ),
                    places.OFFERS: Key(
                        "boolean", "true: sources there are read from other zones through its gateway alone"
                    ),
                },
                "a zone",
            ),
        ),
        "labels": Section(
            {
                "classification": Key(
                    "text", "how openly it may be shown (default: internal)", choices=CLASSIFICATIONS
                ),
                "shown": Key(
                    "text",
                    "the highest classification whose values stand on screens, in samples and reports (default: internal)",
                    choices=CLASSIFICATIONS,
                ),
                "residency": Key("texts", "the zones or jurisdictions where it may be (default: anywhere)"),
                "purposes": Key("texts", "what it may be used for (default: anything)"),
                "retention": Key("integer", "for how many days it may be kept (default: for ever)", low=1, closed=True),
            },
            "what holds for a column of which no contract says it",
        ),
        "serving": places.SERVING_SPEC,
        places.OFFERS: places.OFFERS_SPEC,
        "readers": places.READERS_SPEC,
        **sections.SPECS,
        "environments": Section({}, "uv locks to run steps in", other=_ENVIRONMENT),
        "tracking": Section(
            {
                "kind": Key("text", "which tracker (default: mlflow)"),
                "uri": Key("text", "the tracking server's address (default: a SQLite file in .payoff/)"),
                "experiment": Key("text", "the experiment's name (default: the project's)"),
                "registered_model": Key("text", "the registered model's name (default: the project's)"),
                "enabled": Key("boolean", "false: do not track (default: true)"),
                "zone": Key("text", "the zone where the tracker keeps what it is told (default: the project's)"),
            },
            "where runs are shown",
        ),
        "lineage": Section(
            {
                "kind": Key("text", "which form lineage is told in", required=True),
                "zone": Key("text", "the zone where lineage is kept that is told (default: the project's)"),
            },
            "where it is told which tables and columns are made of which (without it: nowhere)",
            free=True,
        ),
        "ledger": Section({"kind": Key("text", "which ledger (default: sqlite)")}, "where run records live", free=True),
        "store": Section(
            {"kind": Key("text", "which store (default: local)")}, "where tables and models live", free=True
        ),
        "run": Section(
            {
                "workers": Key("integer", "steps that may run at once (default: from the machine)", low=1, closed=True),
                "push": Key(
                    "text", "lazy steps run where their data is (default: auto), or never", choices=("auto", "never")
                ),
            },
            "how runs run",
        ),
        "engine": Section(
            {"kind": Key("text", "what runs lazy steps: duckdb on this machine (the default), or spark elsewhere")},
            "where lazy steps run that are not pushed to their data; further keys belong to the kind",
            free=True,
        ),
        "pipeline": Section(
            {"file": Key("text", "the Python file or package with the steps (default: pipeline.py)")},
            "where the steps are",
        ),
    },
    "how a Payoff project runs",
)

_SECRET = re.compile(r"(^|[_.])(password|passwd|pwd|secret|token|api_key|access_key|secret_key)$", re.IGNORECASE)
_CREDENTIALS = re.compile(r"://[^/@:\s]*:(?P<password>[^/@\s]+)@")
_REFERENCE = re.compile(r"\$\{([^}]*)\}?")


class EnvironmentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An `[environments.NAME]` section."""

    name: str
    folder: str = "."
    groups: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    memory_bytes: int | None = None
    threads: int | None = None
    line: int = 0


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What payoff.toml says."""

    name: str
    sources: tuple[SourceSpec, ...] = ()
    environments: tuple[EnvironmentSpec, ...] = ()
    tracking: Tracking = Tracking()
    ledger: dict[str, Any] = {}
    store: dict[str, Any] = {}
    workers: int | None = None
    push: Literal["auto", "never"] = "auto"
    engine: dict[str, Any] = {}
    pipeline: str = ""
    zone: str = HERE
    zones: tuple[Zone, ...] = ()
    serving: tuple[str, ...] = ()
    served: ServingSpec = ServingSpec()
    labels: LabelSpec = LabelSpec()
    shown: Classification = "internal"
    gateway: GatewaySpec = GatewaySpec()
    readers: tuple[Audience, ...] = ()
    joins: tuple[Step, ...] = ()
    sinks: tuple[SinkSpec, ...] = ()
    lineage: dict[str, Any] = {}
    release: ReleaseSpec | None = None
    lineage_zone: str | None = None


def read(reading: Reading) -> Config | None:
    """Read payoff.toml; nothing when it is too wrong to go on with."""
    document = toml.read(reading, FILE)
    if document is None:
        return None
    before = len(reading.findings)
    spec.check(SPEC, document, reading)
    _check_secrets(document.table, (), document, reading)
    if any(finding.severity == "error" for finding in reading.findings[before:]):
        return None
    table = document.table
    _check_names(document, reading)
    name = table["project"]["name"]
    tracking = {"experiment": name, "registered_model": name, **table.get("tracking", {})}
    return Config(
        name=name,
        sources=tuple(_source(each, options, document) for each, options in table.get("sources", {}).items()),
        environments=_environments(document, reading),
        tracking=Tracking(**tracking),
        ledger=plain(table.get("ledger", {})),
        store=plain(table.get("store", {})),
        workers=table.get("run", {}).get("workers"),
        push=table.get("run", {}).get("push", "auto"),
        engine=plain(table.get("engine", {})),
        pipeline=_pipeline(document, reading),
        gateway=places.offers(document),
        joins=tuple(joins.steps(document, reading)),
        sinks=tuple(sinks.read(document, plain)),
        lineage={key: each for key, each in plain(table.get("lineage", {})).items() if key != "zone"},
        lineage_zone=table.get("lineage", {}).get("zone"),
        release=sections.read(document, reading, plain),
        **places.read(document, reading),
    )


def _source(table: str, options: dict[str, Any], document: Document) -> SourceSpec:
    rest = {key: value for key, value in options.items() if key not in ("kind", "zone", "push")}
    return SourceSpec(
        table=table,
        kind=options["kind"],
        zone=options.get("zone"),
        push=options.get("push", "auto"),
        options=plain(rest),
        line=document.line(("sources", table)),
    )


def _environments(document: Document, reading: Reading) -> tuple[EnvironmentSpec, ...]:
    sections = {"default": {}, **document.table.get("environments", {})}
    found = []
    for name, section in sections.items():
        path = ("environments", name)
        folder = _folder(section.get("folder", "."), (*path, "folder"), document, reading)
        found.append(
            EnvironmentSpec(
                name=name,
                folder=folder,
                groups=tuple(section.get("groups", ())),
                extras=tuple(section.get("extras", ())),
                memory_bytes=size(section["memory"]) if "memory" in section else None,
                threads=section.get("threads"),
                line=document.line(path),
            )
        )
    return tuple(found)


def _pipeline(document: Document, reading: Reading) -> str:
    file = document.table.get("pipeline", {}).get("file", "")
    folder = _folder(file, ("pipeline", "file"), document, reading)
    return "" if folder == "." else folder


def _folder(folder: str, path: Path, document: Document, reading: Reading) -> str:
    parts = [part for part in re.split(r"[/\\]", folder) if part not in ("", ".")]
    if ".." in parts or folder.startswith(("/", "\\")) or ":" in folder:
        reading.error(
            "PO-P014",
            f"{spec.dotted(path)} leaves the project's folder",
            document.place(path),
            expected="a path inside the project, written relative to payoff.toml",
            remedy=f"change it in {FILE}:{document.line(path)}, then: payoff check",
        )
        return "."
    return "/".join(parts) or "."


def size(text: str) -> int:
    """The bytes in `4GB` (4 * 10**9) or `4GiB` (4 * 2**30)."""
    unit = text.lstrip("0123456789. ")
    return int(Decimal(text.removesuffix(unit).strip()) * UNITS[unit])


def plain(value: Any) -> Any:
    """A TOML value as JSON has it: dates as ISO text, exact numbers as floats."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else str(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return value


def _check_names(document: Document, reading: Reading) -> None:
    for table in document.table.get("sources", {}):
        if not re.fullmatch(NAME, table) or table in RESERVED:
            reading.error(
                "PO-P013",
                f"a source cannot be named {table!r}",
                document.place(("sources", table)),
                expected="a name that can be a parameter of a function (letters, digits, _), other than "
                + " and ".join(RESERVED),
                remedy=f"rename it in {FILE}:{document.line(('sources', table))}, then: payoff check",
            )


def _check_secrets(value: Any, path: Path, document: Document, reading: Reading) -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            _check_secrets(each, (*path, key), document, reading)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _check_secrets(each, (*path, index), document, reading)
    elif isinstance(value, str):
        _check_text(value, path, document, reading)


def _check_text(value: str, path: Path, document: Document, reading: Reading) -> None:
    for match in _REFERENCE.finditer(value):
        if not re.fullmatch(NAME, match[1]) or not match[0].endswith("}"):
            reading.error(
                "PO-P011",
                f"{spec.dotted(path)} holds a reference that cannot be read",
                document.place(path),
                expected="${NAME}, the name of an environment variable",
                remedy=f"write it as ${{NAME}} in {FILE}:{document.line(path)}, then: payoff check",
            )
            return
    in_address = _CREDENTIALS.search(value)
    named = path and isinstance(path[-1], str) and _SECRET.search(path[-1])
    if (in_address and "${" not in in_address["password"]) or (named and "${" not in value):
        reading.error(
            "PO-P010",
            f"{spec.dotted(path)} holds a secret",
            document.place(path),
            expected="a reference to an environment variable, as ${DATABASE_PASSWORD}",
            remedy=f"replace the secret by ${{NAME}} in {FILE}:{document.line(path)}, and change it where it is used: "
            "git keeps what was once committed",
        )
