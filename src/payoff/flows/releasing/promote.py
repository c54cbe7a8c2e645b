"""`payoff promote RELEASE DEPLOYMENT`: a commit that says what a deployment should run. The world is not touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base.errors import OutsideError, UserError
from payoff.flows.releasing import book as books
from payoff.project.releasing import commits, pins
from payoff.records.answers.releasing import Promoted
from payoff.wiring import releasing

if TYPE_CHECKING:
    from payoff.flows.releasing.book import Book
    from payoff.records.answers.releasing import PromoteRequest
    from payoff.release.chain import Link


def promote(request: PromoteRequest) -> Promoted:
    """Commit that a deployment should run a release, on the branch we are on or on a new one for a pull request.

    Refused unless it was verified in the deployment before, is approved, would pass its gates as they are now, and is in the registry.
    """
    book = books.opened(request.project)
    book.deployment(request.deployment)
    link = book.link(request.release)
    book.refuse(link, request.deployment)
    refuse_absent(book, link)
    pinned = book.pinned(request.deployment)
    pin = _tried(book, link, pinned, request) if request.share else _pin(link)
    answer = Promoted(
        release=link.release,
        deployment=request.deployment,
        commit=book.head,
        share=request.share,
        mode=request.mode if request.share else "",
    )
    if pinned == pin:
        return msgspec.structs.replace(answer, already=True)
    said = link.release
    before = f" (before: release {pinned.release})" if pinned else ""
    as_ = f" as a {request.mode} of {request.share:.0%}" if request.share else ""
    commit = commits.commit(
        book.root,
        {f"deploy/{request.deployment}.toml": pins.write(pin)},
        f"Promote release {said.number} to {request.deployment}{as_}{before}\n\nRun {said.run}, image {said.image}",
        book.head,
        branch=request.branch,
    )
    return msgspec.structs.replace(answer, commit=commit, branch=request.branch)


def _pin(link: Link) -> pins.Pinned:
    return pins.Pinned(release=link.release.number, statement=link.digest, image=link.release.image)


def _tried(book: Book, link: Link, pinned: pins.Pinned | None, request: PromoteRequest) -> pins.Pinned:
    """What runs stays, and the release is tried beside it."""
    if pinned is None:
        raise UserError(
            f"nothing runs in {request.deployment} that a release could be tried beside",
            code="PO-A103",
            expected="a release that was promoted there before",
            remedy=f"payoff promote {link.release.number} {request.deployment}",
        )
    if book.deployment(request.deployment).front is None:
        raise UserError(
            f"nothing stands before {request.deployment} that could share requests out",
            code="PO-A123",
            expected=f"[deployments.{request.deployment}.front] in payoff.toml",
            remedy="add it with a port, commit, payoff deploy, then the same command again",
        )
    if pinned.statement == link.digest:
        raise UserError(
            f"release {link.release.number} is what runs in {request.deployment}: it cannot be tried beside itself",
            code="PO-A124",
            expected="another release",
            remedy="ls deploy/releases, and name another",
        )
    trial = pins.Trial(
        release=link.release.number,
        statement=link.digest,
        image=link.release.image,
        share=request.share,
        mode=request.mode,
    )
    return msgspec.structs.replace(pinned, canary=trial)


def refuse_absent(book: Book, link: Link) -> None:
    """Refuse a release whose image nobody could start."""
    registry = releasing.registry(book.project, book.settings)
    if registry.manifest(link.release.image) is None:
        raise OutsideError(
            f"the image of release {link.release.number} is not in {registry.address}",
            code="PO-A108",
            expected=f"a manifest {link.release.image[:19]}... there",
            remedy=f"skopeo copy it there from where it is, or payoff release {link.release.run}: its bytes come out the same",
        )
