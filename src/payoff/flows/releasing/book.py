"""All that git has of a project's releases, verified: the chain, the approvals, what was verified where, what runs where."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from payoff.base import hashing
from payoff.base.errors import Refused, UserError
from payoff.flows.opening import open_project
from payoff.project.releasing import commits
from payoff.records.release.release import VERIFIED, Envelope, Verified
from payoff.release import chain
from payoff.release import envelope as envelopes
from payoff.wiring import releasing

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.flows.opening import Opened
    from payoff.ports.releasing.signer import Signer
    from payoff.records.project import Project
    from payoff.records.release.settings import DeploymentSpec, ReleaseSpec
    from payoff.release.chain import Link

RELEASES, APPROVALS, VERIFIEDS = "deploy/releases", "deploy/approvals", "deploy/verified"


class Pinned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `deploy/NAME.toml`: which release, by number, statement and image, a deployment should run."""

    release: int
    statement: str
    image: str


class Book(NamedTuple):
    """`head` is the commit that was read."""

    opened: Opened
    settings: ReleaseSpec
    signer: Signer
    links: tuple[Link, ...]
    approvals: tuple[Envelope, ...]
    verified: tuple[Envelope, ...]
    head: str

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.opened.root

    @property
    def project(self) -> Project:
        """The project, as it is committed where that decides."""
        return self.opened.project

    def deployment(self, name: str) -> DeploymentSpec:
        """The deployment of that name; the user's mistake when there is none."""
        found = self.settings.deployment(name)
        if found is None:
            known = ", ".join(each.name for each in self.settings.deployments) or "none yet"
            raise UserError(
                f"there is no deployment {name!r}",
                code="PO-A086",
                expected=f"one of [deployments] in payoff.toml: {known}",
                remedy=f"add [deployments.{name}] to payoff.toml, or name another",
            )
        return found

    def link(self, said: str) -> Link:
        """A release by its number, its run, or `latest`."""
        for link in reversed(self.links):
            if said in {"latest", str(link.release.number), link.release.run}:
                return link
        raise UserError(
            f"there is no release {said!r}",
            code="PO-A087",
            expected=f"a number from 1 to {len(self.links)}, a released run, or latest"
            if self.links
            else "a release; there is none yet",
            remedy="payoff release RUN, or name another",
        )

    def approvers(self, link: Link, deployment: str) -> dict[str, frozenset[str]]:
        """Who has approved a release for a deployment, by role."""
        may = {role: frozenset(names) for role, names in self.settings.approvers.items()}
        return chain.approved(link, deployment, self.approvals, may, self.signer.principals)

    def was_verified(self, link: Link, deployment: str) -> bool:
        """Whether somebody who may has signed that the release ran there, with its digest."""
        for each in self.verified:
            said, subject = envelopes.predicate(each, VERIFIED, Verified)
            if (said.release, said.deployment, subject) == (link.digest, deployment, link.release.image) and (
                envelopes.signers(each, self.signer.principals) & frozenset(self.settings.deployers)
            ):
                return True
        return False

    def pinned(self, deployment: str) -> Pinned | None:
        """What a deployment should run; None when nothing was promoted there."""
        file = self.root / "deploy" / f"{deployment}.toml"
        try:
            return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Pinned)
        except FileNotFoundError:
            return None
        except (ValueError, msgspec.ValidationError):
            raise Refused(
                f"deploy/{deployment}.toml says nothing that a promotion writes",
                code="PO-A088",
                expected="release, statement and image, as payoff promote writes them",
                remedy=f"git log -p -- deploy/{deployment}.toml, and restore it, or promote again",
            ) from None


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
    return Book(
        found, settings, signer, links, _envelopes(found.root, APPROVALS), _envelopes(found.root, VERIFIEDS), head
    )


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
