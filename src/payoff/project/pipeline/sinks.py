"""Sinks in payoff.toml: which table of the project is written where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payoff.base import text
from payoff.project.spec import Key, Section
from payoff.records.finding import Place
from payoff.records.label import CLASSIFICATIONS
from payoff.records.project import SinkSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from payoff.project.files import Reading
    from payoff.project.toml import Document
    from payoff.records.project import SourceSpec, Step

FILE = "payoff.toml"
_OWN = ("kind", "table", "when", "zone", "clearance", "purpose")
SPEC = Section(
    {},
    "where tables go",
    other=Section(
        {
            "kind": Key("text", "which kind of sink: files, sqlite, postgresql, ...", required=True),
            "table": Key("text", "the step or source whose table is written", required=True),
            "when": Key(
                "text",
                "as soon as the table is made and keeps its contract (made), or only after the gates passed (default: made)",
                choices=("made", "passed"),
            ),
            "zone": Key("text", "the place where it goes, with its jurisdiction"),
            "clearance": Key("text", "the highest classification that may go there", choices=CLASSIFICATIONS),
            "purpose": Key("text", "what it is written for, by the name that contracts permit columns to be used for"),
        },
        "a table and where it goes; further keys belong to the kind of sink",
        free=True,
    ),
)


def read(document: Document, plain: Callable[[Any], Any]) -> Iterator[SinkSpec]:
    """The sections `[sinks.NAME]`; `plain` makes of TOML what JSON has."""
    for name, section in document.table.get("sinks", {}).items():
        rest = {key: value for key, value in section.items() if key not in _OWN}
        own = {key: section[key] for key in _OWN if key in section}
        yield SinkSpec(name=name, options=plain(rest), line=document.line(("sinks", name)), **own)


def check(
    reading: Reading, sinks: Iterable[SinkSpec], sources: Iterable[SourceSpec], steps: Mapping[str, Step], model: str
) -> None:
    """Hold the tables that sinks name against those that there are."""
    tables = [*(source.table for source in sources), *(name for name in steps if name != model)]
    for sink in sinks:
        if sink.table not in tables:
            is_model = " (the model is none)" if sink.table == model else ""
            reading.error(
                "PO-P017",
                f"the sink {sink.name} is to get {sink.table!r}, which is no table of the project{is_model}",
                Place(FILE, sink.line),
                expected=text.did_you_mean(sink.table, tables),
                remedy=f"correct table in {FILE}:{sink.line}, then: payoff check",
            )
