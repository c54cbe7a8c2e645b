"""All that git has of a project's releases, verified."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from payoff.base import hashing
from payoff.base.errors import Refused, UserError
from payoff.flows.opening import open_project
from payoff.project.releasing import commits
from payoff.records.release.release import Envelope
from payoff.release import chain
from payoff.wiring import releasing

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.flows.opening import Opened
    from payoff.ports.releasing.signer import Signer
    from payoff.records.project import Project
    from payoff.records.release.settings import ReleaseSpec
    from payoff.release.chain import Link

RELEASES = "deploy/releases"


class Book(NamedTuple):
    """`head` is the commit that was read."""

    opened: Opened
    settings: ReleaseSpec
    signer: Signer
    links: tuple[Link, ...]
    head: str

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.opened.root

    @property
    def project(self) -> Project:
        """The project, as it is committed where that decides."""
        return self.opened.project


def opened(folder: str | None) -> Book:
    """The book of a project. Refused when a release does not verify, or when what decides is not as it is committed."""
    found = open_project(folder)
    settings = found.project.release
    if settings is None or not settings.releasers:
        raise UserError(
            "the project does not say where releases go, or who may release",
            code="PO-A085",
            expected="[release], [release.base] and [signing] in payoff.toml",
            remedy="see docs/releases.md for what to write",
        )
    commits.refuse_changes(found.root)
    head, _ = commits.head(found.root)
    signer = releasing.signer(found.project, settings)
    chained = _envelopes(found.root, RELEASES)
    links = chain.verified(chained, found.project.id, frozenset(settings.releasers), signer.principals)
    return Book(found, settings, signer, links, head)


def judged(project: Project) -> str:
    """The digest of what gates judge by: the charter and the contracts, lines apart."""
    said = msgspec.to_builtins([project.charter, project.contracts], enc_hook=str)
    return hashing.of_json(_without_lines(said))


def _without_lines(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_lines(each) for key, each in value.items() if key not in {"line", "file"}}
    if isinstance(value, (list, tuple)):
        return [_without_lines(each) for each in value]
    return value


def encoded(envelope: Envelope) -> bytes:
    """An envelope as its file has it."""
    return json.dumps(msgspec.to_builtins(envelope), indent=1, sort_keys=True).encode() + b"\n"


def _envelopes(root: Path, folder: str) -> tuple[Envelope, ...]:
    files = sorted(each for each in (root / folder).glob("*.json") if re.fullmatch(r"[\w.@+-]+", each.name))
    found = []
    for file in files:
        try:
            found.append(msgspec.json.decode(file.read_bytes(), type=Envelope))
        except msgspec.DecodeError:
            raise Refused(
                f"{folder}/{file.name} holds no signed statement",
                code="PO-A020",
                expected="a DSSE envelope with one in-toto statement, as payoff release and payoff approve write it",
                remedy=f"git log -p -- {folder}/{file.name}, and restore it",
            ) from None
    return tuple(found)
