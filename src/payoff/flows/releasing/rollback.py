"""`payoff rollback DEPLOYMENT`: a commit that takes the last promotion back, as `git revert` does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from payoff.base.errors import PayoffError, Refused, UserError
from payoff.flows.releasing import book as books
from payoff.flows.releasing.promote import refuse_absent
from payoff.project.releasing import commits, committed, pins
from payoff.records.answers.releasing import Promoted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from payoff.flows.releasing.book import Book
    from payoff.records.answers.releasing import RollbackRequest
    from payoff.release.chain import Link

_REVERTS = "This reverts commit"  # git's own words
_REVERTED = re.compile(rf"^{_REVERTS} ([0-9a-f]{{7,64}})", re.MULTILINE)
# So do those who host git, where a pull request is taken back.
_SAYS = re.compile(r'\ARevert "|^This reverts (?:commit|merge request) |^Reverts \S+[#!]\d+', re.MULTILINE)


def rollback(request: RollbackRequest) -> Promoted:
    """Commit that a deployment should run what it ran before, as `git revert` of its last promotion would; once more, and it goes back further.

    What is gone back to must verify as at a promotion; only the gates, which may have changed, are not asked again of what ran there before.
    """
    book = books.opened(request.project)
    book.deployment(request.deployment)
    path = f"deploy/{request.deployment}.toml"
    ran = past(book.root, book.head, path, lambda pin: _is_of(book, pin))
    undone, pin = _before(ran, path, book.link(request.to) if request.to else None)
    if not undone:
        link = book.named(request.deployment, pin)
        return Promoted(release=link.release, deployment=request.deployment, commit=book.head, already=True, back=True)
    try:
        link = book.named(request.deployment, pin)
        refuse_absent(book, link)
    except PayoffError as error:
        error.remedy += _further(ran, pin, request.deployment)
        raise
    said = link.release
    commit = commits.commit(
        book.root,
        {path: pins.write(pin)},
        f"Roll {request.deployment} back to release {said.number}\n\n{_REVERTS} {undone}.",
        book.head,
    )
    return Promoted(release=said, deployment=request.deployment, commit=commit, back=True)


class Past(NamedTuple):
    """What a deployment was to run: promotions lie on a pile, from which a rollback takes the last. `newest` is the commit that changed the file last,
    `now` what it says since: None where that is no release of the project.
    """

    pile: list[tuple[str, pins.Pinned]]
    newest: str
    now: pins.Pinned | None


def past(root: Path, head: str, path: str, known: Callable[[pins.Pinned], bool]) -> Past:
    """The past of a deployment's file. A commit that says that it reverts one of the pile takes off that one and what lies on it, whoever made it; one
    that reverts a revert is as good as a promotion. What names no release that is `known` was edited by hand, and is nothing to go back to.
    """
    pile: list[tuple[str, pins.Pinned]] = []
    newest, now = "", None
    seen: set[str] = set()
    for commit, content, says in committed.history(root, head, path):
        newest, now = commit, _pin(path, content, known)
        seen.add(commit)
        if now is None:
            continue
        pin = msgspec.structs.replace(now, canary=None)
        if _SAYS.search(says):
            _taken_off(pile, pin, _REVERTED.search(says), seen)
        if not pile or pile[-1][1] != pin:
            pile.append((commit, pin))
    return Past(pile, newest, now)


def _pin(path: str, content: bytes | None, known: Callable[[pins.Pinned], bool]) -> pins.Pinned | None:
    try:
        pin = pins.read(path, content or b"")
    except Refused:
        return None
    return pin if known(pin) else None


def _taken_off(
    pile: list[tuple[str, pins.Pinned]], pin: pins.Pinned, reverted: re.Match[str] | None, seen: set[str]
) -> None:
    named = reverted[1] if reverted else ""
    at = next((n for n, (commit, _) in enumerate(pile) if named and commit.startswith(named)), None)
    if at is not None:
        del pile[at:]
    elif not (named and any(each.startswith(named) for each in seen)) and any(pin == each for _, each in pile):
        # A merge, or a pull request, was reverted: what it is now says which.
        while pile[-1][1] != pin:
            pile.pop()


def _is_of(book: Book, pin: pins.Pinned) -> bool:
    link = book.links[pin.release - 1] if 0 < pin.release <= len(book.links) else None
    return link is not None and (pin.statement, pin.image) == (link.digest, link.release.image)


def _before(ran: Past, path: str, to: Link | None) -> tuple[str, pins.Pinned]:
    """The commit to take back (empty: none, it is so already), and what the file is to say. A release that is only tried is no longer. Where the file
    was edited by hand, or removed, that is what is taken back. With `to`, promotions are taken from the pile until that release is on top.
    """
    pile, now = ran.pile, ran.now
    # What of the pile is what the file says now: nothing of it, where that names no release.
    tops = len(pile) - (now is not None)
    if now is not None and (to is None or now.statement == to.digest):
        if now.canary is not None:
            return ran.newest, msgspec.structs.replace(now, canary=None)
        if to is not None:
            return "", now
    at = next((n for n in reversed(range(tops)) if to is None or pile[n][1].statement == to.digest), None)
    if at is None and to is not None and pile:
        raise UserError(
            f"release {to.release.number} did not run there before the one that does",
            code="PO-A107",
            expected="a release that the deployment ran before",
            remedy=f"git log -p -- {path}; or payoff promote {to.release.number} {path[7:-5]}",
        )
    if at is None:
        raise UserError(
            f"there is nothing to go back to: {path} named no release{f' before release {pile[0][1].release}' if pile else ''}",
            code="PO-A107",
            expected="a deployment that ran another release before",
            remedy=f"git log -p -- {path}; any other release: payoff promote RELEASE {path[7:-5]}",
        )
    return (pile[at + 1][0] if at + 1 < len(pile) else ran.newest), pile[at][1]


def _further(ran: Past, pin: pins.Pinned, deployment: str) -> str:
    """What else there is, where what is gone back to may not run any more."""
    at = next((n for n in reversed(range(len(ran.pile))) if ran.pile[n][1] == pin), 0)
    if not at:
        return ""
    return f"; or further back: payoff rollback {deployment} --to {ran.pile[at - 1][1].release}"
