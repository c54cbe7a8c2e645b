"""All that git has of a project's releases, verified: the chain, the approvals, what was verified where, what should run where.

Read from the commit that is checked out, never from what lies about, a ledger or a clock.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from payoff.base.errors import Refused, UserError
from payoff.base.text import did_you_mean
from payoff.flows.opening import open_project
from payoff.flows.releasing.judged import judged
from payoff.project.releasing import commits, committed, pins
from payoff.records.release.release import APPROVAL, VERIFIED, Approval, Envelope, Policy, Stage, Verified
from payoff.release import chain
from payoff.wiring import releasing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from payoff.flows.opening import Opened
    from payoff.ports.releasing.signer import Signer
    from payoff.records.project import Project
    from payoff.records.release.settings import DeploymentSpec, ReleaseSpec
    from payoff.release.chain import Link
    from payoff.release.envelope import Verify

_NAMED = re.compile(r"/[\w.@+-]+\.json$")
RELEASES, APPROVALS, VERIFIEDS = "deploy/releases", "deploy/approvals", "deploy/verified"


class Book(NamedTuple):
    """`head` is the commit that was read, `unread` are files under deploy/approvals and deploy/verified that hold no statement."""

    opened: Opened
    settings: ReleaseSpec
    signer: Signer
    links: tuple[Link, ...]
    approvals: tuple[Envelope, ...]
    verified: tuple[Envelope, ...]
    head: str
    unread: tuple[str, ...] = ()

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
        said, known = self.settings, self.signer.known()
        if committed.files(self.root, self.head, said.signers).get(said.signers) != known.encode():
            raise committed.differs([said.signers])
        return Policy(
            known=known,
            releasers=said.releasers,
            deployers=said.deployers,
            approvers=said.approvers,
            deployments={each.name: Stage(after=each.after, approvals=each.approvals) for each in said.deployments},
        )

    def deployment(self, name: str) -> DeploymentSpec:
        """The deployment of that name; the user's mistake when there is none, or when no release has signed what must be before it."""
        found = self.settings.deployment(name)
        if found is None:
            known = did_you_mean(name, [each.name for each in self.settings.deployments])
            raise UserError(
                f"there is no deployment {name!r}",
                code="PO-A086",
                expected=f"{known}, as [deployments] in payoff.toml names them",
                remedy=f"payoff deploy shows them all; a new one: [deployments.{name}] in payoff.toml",
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
        missing, unread = self.missing(link, deployment), "".join(f"; {each} cannot be read" for each in self.unread)
        if stage.after and not again and not self.ran(link, stage.after):
            raise Refused(
                f"release {number} was not verified in {stage.after}, which comes before {deployment}{unread}",
                code="PO-A100",
                expected=f"a signed statement of one of {', '.join(self.policy.deployers)} that it ran in {stage.after}",
                remedy=f"payoff promote {number} {stage.after} && payoff deploy {stage.after}",
            )
        if missing:
            raise Refused(
                f"release {number} is not approved for {deployment} by: {', '.join(missing)}{unread}",
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
        said = committed.files(self.root, self.head, path).get(path)
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
    found = open_project(folder, anew=True)
    settings = found.project.release
    if settings is None or not settings.releasers:
        raise UserError(
            "the project does not say where releases go, or who may release",
            code="PO-A085",
            expected="[release], [release.base] and [signing] in payoff.toml",
            remedy="see docs/releases.md for what to write",
        )
    head, _ = commits.head(found.root)
    committed.refuse_changes(found.root, head, found.project.files)
    signer = releasing.signer(found.project, settings)
    kept = committed.Kept(found.root, head, RELEASES, APPROVALS, VERIFIEDS)
    kept.refuse_rewritten(_Counted(kept, found.project.id, signer.principals))
    links = chain.verified(tuple(_releases(found.root, head)), found.project.id, signer.principals)
    approvals, verified = (_statements(found.root, head, each) for each in (APPROVALS, VERIFIEDS))
    unread = tuple(path for each in (approvals, verified) for path, envelope in each.items() if envelope is None)
    return Book(found, settings, signer, links, _good(approvals), _good(verified), head, unread)


def encoded(envelope: Envelope) -> bytes:
    """An envelope as its file has it."""
    return json.dumps(msgspec.to_builtins(envelope), indent=1, sort_keys=True).encode() + b"\n"


class _Counted:
    """Whether something that was once committed is a statement that counts. What is none may go as it came."""

    def __init__(self, kept: committed.Kept, project: str, verify: Verify) -> None:
        self._kept, self._project, self._verify = kept, project, verify
        self._first: dict[str, tuple[Link, bytes]] | None = None

    def __call__(self, path: str, content: bytes) -> bool:
        """Of a release: it was the first of its file that followed those before it. Of others: it is about one of those, and signed by somebody known."""
        if self._first is None:  # seldom asked for: nothing was ever removed
            self._first = self._chain()
        folder = path.rpartition("/")[0]
        if folder == RELEASES:
            return path in self._first and self._first[path][1] == content
        envelope = _read(path, content)
        kind, form = (APPROVAL, Approval) if folder == APPROVALS else (VERIFIED, Verified)
        links = [link for link, _ in self._first.values()]
        return envelope is not None and chain.counts(envelope, kind, form, links, self._verify)

    def _chain(self) -> dict[str, tuple[Link, bytes]]:
        """The releases as they were first committed."""
        found: dict[str, tuple[Link, bytes]] = {}
        for path in sorted((each for each in self._kept.paths() if each.startswith(f"{RELEASES}/")), key=_order):
            links = [link for link, _ in found.values()]
            for content in self._kept.were(path):
                envelope = _read(path, content)
                with contextlib.suppress(Refused):
                    if envelope is not None:
                        found[path] = (chain.following(links, envelope, self._project, self._verify), content)
                        break
        return found


def _releases(root: Path, commit: str) -> Iterator[Envelope]:
    """In their order. One that cannot be read ends the chain, and may not."""
    for path, content in sorted(committed.files(root, commit, RELEASES).items(), key=lambda each: _order(each[0])):
        if _NAMED.search(path):
            envelope = _read(path, content)
            if envelope is None:
                raise Refused(
                    f"{path} holds no signed statement",
                    code="PO-A020",
                    expected="a DSSE envelope with one in-toto statement, as payoff release and payoff approve write it",
                    remedy=f"git log -p -- {path}, and restore it; one that never was a release: git rm {path}",
                )
            yield envelope


def _statements(root: Path, commit: str, folder: str) -> dict[str, Envelope | None]:
    """By their paths; None where a file is none. What says nothing decides nothing: nobody stops a deployment by it."""
    found = committed.files(root, commit, folder)
    return {path: _read(path, found[path]) for path in sorted(found) if _NAMED.search(path)}


def _good(found: dict[str, Envelope | None]) -> tuple[Envelope, ...]:
    return tuple(each for each in found.values() if each is not None)


def _read(path: str, content: bytes) -> Envelope | None:
    try:
        return msgspec.json.decode(content, type=Envelope) if _NAMED.search(path) else None
    except (msgspec.DecodeError, RecursionError):
        return None


def _order(path: str) -> tuple[int, str]:
    return len(path), path
