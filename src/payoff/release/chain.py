"""A project's releases as a chain: each names the statement before it, so that none can be changed, left out or put in between unseen."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

import msgspec

from payoff.base.errors import Refused
from payoff.records.release.release import (
    APPROVAL,
    RELEASE,
    VERIFIED,
    Approval,
    Envelope,
    Policy,
    Release,
    Verified,
)
from payoff.release import envelope as envelopes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from payoff.release.envelope import Verify

T = TypeVar("T", bound=Approval | Verified)


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A release that was verified: what it says, its statement's digest, and who signed it."""

    release: Release
    digest: str
    signers: frozenset[str]


def verified(chain: Sequence[Envelope], project: str, verify: Verify) -> tuple[Link, ...]:
    """The releases of a project, first to last. Refused when one is not signed by somebody whom the policy of the one before it lets release
    (the first: its own), is about another image than it says, does not follow the one before it or is older.
    """
    links: list[Link] = []
    for each in chain:
        links.append(following(links, each, project, verify))
    return tuple(links)


def following(links: Sequence[Link], envelope: Envelope, project: str, verify: Verify) -> Link:
    """The next release after those, verified; refused as in `verified`."""
    release, subject = envelopes.predicate(envelope, RELEASE, Release)
    number, before = len(links) + 1, links[-1] if links else None
    policy = before.release.policy if before else release.policy
    who = _by(envelope, policy, policy.releasers, release.created, verify)
    if not who:
        raise _refused(number, "it is signed by nobody who may release", "PO-A030")
    if release.project != project:
        raise _refused(number, f"it is a release of another project ({release.name})", "PO-A031")
    if subject != release.image:
        raise _refused(number, "its statement is about another image than it says", "PO-A031")
    if release.number != number or release.previous != (before.digest if before else ""):
        raise _refused(
            number, f"it calls itself number {release.number}, and does not name the release before it", "PO-A032"
        )
    if before and release.created < before.release.created:
        raise _refused(number, "it is dated before the release before it", "PO-A033")
    return Link(release=release, digest=envelopes.digest(envelope), signers=who)


def approved(
    link: Link, deployment: str, approvals: Sequence[Envelope], policy: Policy, verify: Verify
) -> dict[str, frozenset[str]]:
    """Role -> who approved the release for a deployment in it. An approval counts when it names this very statement, is not dated before it and is
    signed by somebody who may approve in its role; others, and what cannot be read, are passed over.
    """
    found: dict[str, frozenset[str]] = {role: frozenset() for role in policy.approvers}
    for said, subject, each in _said(approvals, APPROVAL, Approval):
        if not _about(said, subject, link) or said.deployment not in {"", deployment} or said.role not in found:
            continue
        found[said.role] |= _by(each, policy, policy.approvers[said.role], said.created, verify)
    return found


def ran(link: Link, deployment: str, verifieds: Sequence[Envelope], policy: Policy, verify: Verify) -> bool:
    """Whether somebody who may has signed that the release ran in a deployment, with its digest, and was ready."""
    for said, subject, each in _said(verifieds, VERIFIED, Verified):
        if (
            _about(said, subject, link)
            and said.deployment == deployment
            and _by(each, policy, policy.deployers, said.created, verify)
        ):
            return True
    return False


def counts(
    envelope: Envelope, kind: str, form: type[Approval | Verified], links: Sequence[Link], verify: Verify
) -> bool:
    """Whether an approval or a verification is one: it names a release of the chain, and somebody whom a list of the chain knew has signed it."""
    known = {each.release.policy.known for each in links}
    for said, subject, each in _said([envelope], kind, form):
        about = any(_about(said, subject, link) for link in links)
        return about and any(envelopes.signers(each, one, said.created, verify) for one in known)
    return False


def _said(envelopes_: Sequence[Envelope], kind: str, form: type[T]) -> Iterator[tuple[T, str, Envelope]]:
    """What statements of a kind say, and what of. One that says nothing decides nothing: nobody can stop a deployment by a file that is none."""
    for each in envelopes_:
        with contextlib.suppress(Refused):
            said, subject = envelopes.predicate(each, kind, form)
            yield said, subject, each


def _about(said: Approval | Verified, subject: str, link: Link) -> bool:
    return said.release == link.digest and subject == link.release.image and said.created >= link.release.created


def _by(each: Envelope, policy: Policy, may: Sequence[str], at: str, verify: Verify) -> frozenset[str]:
    """Who of those who may has signed, with a key that was theirs at the time."""
    return envelopes.signers(each, policy.known, at, verify) & frozenset(may)


def missing(needed: Sequence[str], found: Mapping[str, frozenset[str]], *, apart: bool = True) -> tuple[str, ...]:
    """Roles that nobody has approved in yet. With `apart`, one person cannot stand for two roles: whether everyone needed can be
    somebody else is a matching of roles to people.
    """
    if not apart:
        return tuple(role for role in needed if not found.get(role))
    stands: dict[str, str] = {}

    def place(role: str, tried: set[str]) -> bool:
        for person in sorted(found.get(role, ())):
            if person not in tried:
                tried.add(person)
                if person not in stands or place(stands[person], tried):
                    stands[person] = role
                    return True
        return False

    return tuple(role for role in needed if not place(role, set()))


def _refused(number: int, why: str, code: str) -> Refused:
    return Refused(
        f"release {number} does not verify: {why}",
        code=code,
        expected="a chain of releases as payoff release wrote it, each signed by a releaser",
        remedy="git log -p -- deploy/releases, and restore what was changed",
    )
