"""`payoff rollback DEPLOYMENT`: a commit that takes the last promotion back, as `git revert` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.errors import Refused, UserError
from payoff.flows.releasing import book as books
from payoff.flows.releasing.promote import refuse_absent
from payoff.project.releasing import commits, pins
from payoff.records.answers.releasing import Promoted

if TYPE_CHECKING:
    from payoff.flows.releasing.book import Book
    from payoff.records.answers.releasing import RollbackRequest


def rollback(request: RollbackRequest) -> Promoted:
    """Commit that a deployment should run what it ran before, as `git revert` of its last promotion would; once more, and it goes back further.

    What is gone back to must verify as at a promotion; only the gates, which may have changed, are not asked again of what ran there before.
    """
    book = books.opened(request.project)
    book.deployment(request.deployment)
    path = f"deploy/{request.deployment}.toml"
    undone, content = _before(book, path, request.to)
    pin = pins.read(path, content)
    link = next((each for each in book.links if each.digest == pin.statement), None)
    if link is None or (pin.release, pin.image) != (link.release.number, link.release.image):
        raise Refused(
            f"{path} named no release of this project before",
            code="PO-A104",
            expected="a commit of payoff promote to go back to",
            remedy=f"git log -p -- {path}, and payoff promote the release that should run",
        )
    book.refuse(link, request.deployment)
    refuse_absent(book, link)
    said = link.release
    commit = commits.commit(
        book.root,
        {path: content},
        f"Roll {request.deployment} back to release {said.number}\n\nThis reverts commit {undone}.",
        book.head,
    )
    return Promoted(release=said, deployment=request.deployment, commit=commit, back=True)


def _before(book: Book, path: str, to: str) -> tuple[str, bytes]:
    """The commit to take back, and what the file was before it. A rollback takes its promotion from the pile, so that two go back two.

    With `to`, promotions are taken from the pile until that release is on top.
    """
    pile: list[tuple[str, bytes]] = []
    for commit, content in commits.history(book.root, book.head, path):
        if len(pile) > 1 and content is not None and any(content == each for _, each in pile[:-1]):
            while pile[-1][1] != content:
                pile.pop()
        elif content is not None and (not pile or pile[-1][1] != content):
            pile.append((commit, content))
    if len(pile) < 2:
        raise UserError(
            f"there is nothing to go back to: {path} named {'one release' if pile else 'none'} only",
            code="PO-A107",
            expected="a deployment that ran another release before",
            remedy=f"git log -- {path}",
        )
    if not to:
        return pile[-1][0], pile[-2][1]
    wanted = book.link(to)
    for at in range(len(pile) - 2, -1, -1):
        if pins.read(path, pile[at][1]).statement == wanted.digest:
            return pile[at + 1][0], pile[at][1]
    raise UserError(
        f"release {wanted.release.number} did not run there before the one that does",
        code="PO-A107",
        expected="a release that the deployment ran before",
        remedy=f"git log -p -- {path}; or payoff promote {wanted.release.number}",
    )
