"""All that git has of a project's releases, verified: the chain, the approvals, what was verified where, what should run where.

Read from the commit that is checked out, never from what lies about, a ledger or a clock.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from payoff.base.errors import Refused, UserError
from payoff.flows.opening import open_project
from payoff.flows.releasing.judged import judged
from payoff.project.releasing import commits, pins
from payoff.records.release.release import Envelope, Policy, Stage
from payoff.release import chain
from payoff.wiring import releasing

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.flows.opening import Opened
    from payoff.ports.releasing.signer import Signer
    from payoff.records.project import Project
    from payoff.records.release.settings import DeploymentSpec, ReleaseSpec
    from payoff.release.chain import Link

RELEASES, APPROVALS, VERIFIEDS = "deploy/releases", "deploy/approvals", "deploy/verified"


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

    @property
    def policy(self) -> Policy:
        """The rules that hold: those that the newest release signed; before there is one, those that the project's files have."""
        return self.links[-1].release.policy if self.links else self.written

    @property
    def written(self) -> Policy:
        """The rules that the project's files have: the next release signs them."""
        said = self.settings
        return Policy(
            known=self.signer.known(),
            releasers=said.releasers,
            deployers=said.deployers,
            approvers=said.approvers,
            deployments={each.name: Stage(after=each.after, approvals=each.approvals) for each in said.deployments},
        )

    def deployment(self, name: str) -> DeploymentSpec:
        """The deployment of that name; the user's mistake when there is none, or when no release has signed what must be before it."""
        found = self.settings.deployment(name)
        if found is None:
            known = ", ".join(each.name for each in self.settings.deployments) or "none yet"
            raise UserError(
                f"there is no deployment {name!r}",
                code="PO-A086",
                expected=f"one of [deployments] in payoff.toml: {known}",
                remedy=f"add [deployments.{name}] to payoff.toml, or name another",
            )
        if self.links and name not in self.policy.deployments:
            raise UserError(
                f"the deployment {name} is newer than release {len(self.links)}: no release has signed yet what must be before it",
                code="PO-A089",
                expected="a release made since, whose signature covers [deployments], [approvers] and [signing]",
                remedy=f"payoff release {self.links[-1].release.run} signs them with the same image",
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
        return chain.approved(link, deployment, self.approvals, self.policy, self.signer.principals)

    def missing(self, link: Link, deployment: str) -> tuple[str, ...]:
        """The roles that a deployment asks for and that nobody has approved a release in; nobody counts for two."""
        needed = self.policy.deployments[deployment].approvals
        return chain.missing(needed, self.approvers(link, deployment))

    def ran(self, link: Link, deployment: str) -> bool:
        """Whether somebody who may has signed that the release ran there, with its digest."""
        return chain.ran(link, deployment, self.verified, self.policy, self.signer.principals)

    def refuse(self, link: Link, deployment: str) -> None:
        """Refuse a release that may not run in a deployment: it was not verified where it must have been before, approvals are missing, or it was
        judged by other rules than hold now. What a deployment has run before it may run again.
        """
        stage, number = self.policy.deployments[deployment], link.release.number
        again = self.ran(link, deployment)
        if stage.after and not again and not self.ran(link, stage.after):
            raise Refused(
                f"release {number} was not verified in {stage.after}, which comes before {deployment}",
                code="PO-A100",
                expected=f"a signed statement of one of {', '.join(self.policy.deployers)} that it ran in {stage.after}",
                remedy=f"payoff promote {number} {stage.after} && payoff deploy {stage.after}",
            )
        missing = self.missing(link, deployment)
        if missing:
            raise Refused(
                f"release {number} is not approved for {deployment} by: {', '.join(missing)}",
                code="PO-A101",
                expected=", ".join(
                    f"{role}: one of {', '.join(self.policy.approvers.get(role, ())) or 'nobody'}" for role in missing
                )
                + "; nobody stands for two roles",
                remedy=f"payoff approve {number} --as {missing[0]} --for {deployment}",
            )
        if not again and link.release.judged != judged(self.project):
            raise Refused(
                f"release {number} passed its gates by another charter, other contracts or other zones than hold now",
                code="PO-A102",
                expected="a release of a run that the gates let pass as they are now",
                remedy=f"git diff {link.release.commit[:12]} -- charter.toml contracts payoff.toml; then payoff run, and payoff release",
            )

    def pinned(self, deployment: str) -> pins.Pinned | None:
        """What a deployment should run, by its committed file; None when nothing was promoted there."""
        path = f"deploy/{deployment}.toml"
        said = commits.files(self.root, self.head, path).get(path)
        return None if said is None else pins.read(path, said)

    def wanted(self, deployment: str) -> tuple[Link, Link | None, pins.Pinned]:
        """The release that git says a deployment should run, the one that is tried beside it, and the file that says so. Refused when one is none of the
        chain, or may not run there.
        """
        pin = self.pinned(deployment)
        if pin is None:
            raise UserError(
                f"nothing was promoted to {deployment} yet",
                code="PO-A103",
                expected=f"a committed deploy/{deployment}.toml",
                remedy=f"payoff promote RELEASE {deployment}",
            )
        tried = self.named(deployment, pin.canary) if pin.canary else None
        return self.named(deployment, pin), tried, pin

    def named(self, deployment: str, pin: pins.Pinned | pins.Trial) -> Link:
        """The release that a file names, if it may run there."""
        link = self.links[pin.release - 1] if 0 < pin.release <= len(self.links) else None
        if link is None or (pin.statement, pin.image) != (link.digest, link.release.image):
            wrong = (
                f"there is no number {pin.release}"
                if link is None
                else f"release {pin.release} has another statement or image"
            )
            raise Refused(
                f"deploy/{deployment}.toml names no release of this project: {wrong}",
                code="PO-A104",
                expected="the number, the statement and the image of one release, as payoff promote writes them",
                remedy=f"git log -p -- deploy/{deployment}.toml, then payoff promote RELEASE {deployment}",
            )
        self.refuse(link, deployment)
        return link


def opened(folder: str | None) -> Book:
    """The book of a project. Refused when a release does not verify, when one was changed or removed since it was committed, or when what decides
    is not as it is committed.
    """
    found = open_project(folder)
    settings = found.project.release
    if settings is None or not settings.releasers:
        raise UserError(
            "the project does not say where releases go, or who may release",
            code="PO-A085",
            expected="[release], [release.base] and [signing] in payoff.toml",
            remedy="see docs/releases.md for what to write",
        )
    head, _ = commits.head(found.root)
    commits.refuse_changes(found.root)
    for each in (RELEASES, APPROVALS, VERIFIEDS):
        commits.refuse_rewritten(found.root, head, each)
    signer = releasing.signer(found.project, settings)
    links = chain.verified(_envelopes(found.root, head, RELEASES), found.project.id, signer.principals)
    approvals, verified = (_envelopes(found.root, head, each) for each in (APPROVALS, VERIFIEDS))
    return Book(found, settings, signer, links, approvals, verified, head)


def encoded(envelope: Envelope) -> bytes:
    """An envelope as its file has it."""
    return json.dumps(msgspec.to_builtins(envelope), indent=1, sort_keys=True).encode() + b"\n"


def _envelopes(root: Path, commit: str, folder: str) -> tuple[Envelope, ...]:
    found = []
    for path, content in sorted(commits.files(root, commit, folder).items(), key=lambda each: (len(each[0]), each[0])):
        if not re.fullmatch(r"[\w.@+-]+\.json", path.rpartition("/")[2]):
            continue
        try:
            found.append(msgspec.json.decode(content, type=Envelope))
        except msgspec.DecodeError:
            raise Refused(
                f"{path} holds no signed statement",
                code="PO-A020",
                expected="a DSSE envelope with one in-toto statement, as payoff release and payoff approve write it",
                remedy=f"git log -p -- {path}, and restore it",
            ) from None
    return tuple(found)
