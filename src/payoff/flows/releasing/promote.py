"""`payoff promote RELEASE DEPLOYMENT`: a commit that says what a deployment should run. The world is not touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.errors import OutsideError
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
    if pinned is not None and pinned.statement == link.digest:
        return Promoted(release=link.release, deployment=request.deployment, commit=book.head, already=True)
    said = link.release
    before = f" (before: release {pinned.release})" if pinned else ""
    commit = commits.commit(
        book.root,
        {
            f"deploy/{request.deployment}.toml": pins.write(
                pins.Pinned(release=said.number, statement=link.digest, image=said.image)
            )
        },
        f"Promote release {said.number} to {request.deployment}{before}\n\nRun {said.run}, image {said.image}",
        book.head,
        branch=request.branch,
    )
    return Promoted(release=said, deployment=request.deployment, commit=commit, branch=request.branch)


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
