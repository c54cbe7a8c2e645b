"""A project's releases as a chain: each names the statement before it, so that none can be changed, left out or put in between unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base.errors import Refused
from payoff.records.release.release import APPROVAL, RELEASE, Approval, Envelope, Release
from payoff.release import envelope as envelopes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payoff.release.envelope import Verify


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A release that was verified: what it says, its statement's digest, and who signed it."""

    release: Release
    digest: str
    signers: frozenset[str]


def verified(chain: Sequence[Envelope], project: str, releasers: frozenset[str], verify: Verify) -> tuple[Link, ...]:
    """The releases of a project, first to last. Refused when one is not signed by a releaser, is about another image than it says, or
    does not follow the one before it.
    """
    links: list[Link] = []
    for number, each in enumerate(chain, 1):
        release, subject = envelopes.predicate(each, RELEASE, Release)
        previous = links[-1].digest if links else ""
        who = envelopes.signers(each, verify) & releasers
        if not who:
            raise _refused(number, "it is signed by nobody who may release", "PO-A030")
        if release.project != project:
            raise _refused(number, f"it is a release of another project ({release.name})", "PO-A031")
        if subject != release.image:
            raise _refused(number, "its statement is about another image than it says", "PO-A031")
        if release.number != number or release.previous != previous:
            raise _refused(
                number, f"it calls itself number {release.number}, and does not name the release before it", "PO-A032"
            )
        links.append(Link(release=release, digest=envelopes.digest(each), signers=who))
    return tuple(links)


def approved(
    link: Link, stage: str, approvals: Sequence[Envelope], approvers: Mapping[str, frozenset[str]], verify: Verify
) -> dict[str, frozenset[str]]:
    """Role -> who approved the release for a stage in it. An approval counts when it names this very statement and is signed by somebody
    who may approve in its role; others are passed over.
    """
    found: dict[str, frozenset[str]] = {role: frozenset() for role in approvers}
    for each in approvals:
        said, subject = envelopes.predicate(each, APPROVAL, Approval)
        if said.release != link.digest or subject != link.release.image or said.stage not in {"", stage}:
            continue
        if said.role in found:
            found[said.role] |= envelopes.signers(each, verify) & approvers[said.role]
    return found


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
