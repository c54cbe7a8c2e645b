"""`payoff rollback DEPLOYMENT`: a commit that takes the last promotion back, as `git revert` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base.errors import Refused, UserError
from payoff.flows.releasing import book as books
from payoff.flows.releasing.promote import refuse_absent
from payoff.project.releasing import commits, committed, pins
from payoff.records.answers.releasing import Promoted

if TYPE_CHECKING:
    from payoff.flows.releasing.book import Book
    from payoff.records.answers.releasing import RollbackRequest

_REVERTS = "This reverts commit"  # git's own words


def rollback(request: RollbackRequest) -> Promoted:
    """Commit that a deployment should run what it ran before, as `git revert` of its last promotion would; once more, and it goes back further.

    What is gone back to must verify as at a promotion; only the gates, which may have changed, are not asked again of what ran there before.
    """
    book = books.opened(request.project)
    book.deployment(request.deployment)
    path = f"deploy/{request.deployment}.toml"
    undone, pin = _before(book, request.deployment, path, request.to)
    link = book.named(request.deployment, pin)
    refuse_absent(book, link)
    said = link.release
    commit = commits.commit(
        book.root,
        {path: pins.write(pin)},
        f"Roll {request.deployment} back to release {said.number}\n\n{_REVERTS} {undone}.",
        book.head,
    )
    return Promoted(release=said, deployment=request.deployment, commit=commit, back=True)


def _before(book: Book, deployment: str, path: str, to: str) -> tuple[str, pins.Pinned]:
    """The commit to take back, and what the file is to say. A release that is only tried is no longer. Otherwise promotions lie on a pile, from which
    a rollback takes the last: two go back two. With `to`, they are taken from the pile until that release is on top.
    """
    now = book.pinned(deployment)
    pile: list[tuple[str, pins.Pinned]] = []
    newest = ""
    for commit, content, says in committed.history(book.root, book.head, path):
        newest = commit
        try:
            pin = msgspec.structs.replace(pins.read(path, content or b""), canary=None)
        except Refused:
            continue  # edited by hand, and corrected since
        if _REVERTS in says and any(pin == each for _, each in pile):
            while pile[-1][1] != pin:
                pile.pop()
        elif not pile or pile[-1][1] != pin:
            pile.append((commit, pin))
    if now is not None and now.canary is not None and not to:
        return newest, msgspec.structs.replace(now, canary=None)
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
        if pile[at][1].statement == wanted.digest:
            return pile[at + 1][0], pile[at][1]
    raise UserError(
        f"release {wanted.release.number} did not run there before the one that does",
        code="PO-A107",
        expected="a release that the deployment ran before",
        remedy=f"git log -p -- {path}; or payoff promote {wanted.release.number} {deployment}",
    )
