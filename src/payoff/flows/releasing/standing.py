"""`payoff deploy` without a name: what git says runs where, and what the newest release still needs to get there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.errors import Refused
from payoff.flows.releasing import book as books
from payoff.records.answers.releasing import Place, Standing

if TYPE_CHECKING:
    from payoff.flows.releasing.book import Book
    from payoff.release.chain import Link


def standing(folder: str | None) -> Standing:
    """Every deployment in the order of payoff.toml. What runs is not looked at: that is `payoff deploy NAME`'s."""
    book = books.opened(folder)
    newest = book.links[-1] if book.links else None
    places = [_place(book, each.name, newest) for each in book.settings.deployments]
    return Standing(releases=tuple(each.release for each in book.links), deployments=tuple(places))


def _place(book: Book, name: str, newest: Link | None) -> Place:
    pin = book.pinned(name)
    link = next((each for each in book.links if pin and each.digest == pin.statement), None)
    wait = ""
    if newest is not None and (pin is None or pin.statement != newest.digest):
        if name not in book.policy.deployments:
            wait = "a release that signs it"
        else:
            try:
                book.refuse(newest, name)
            except Refused as error:
                wait = error.what
    return Place(
        deployment=name,
        release=pin.release if pin else None,
        image=pin.image if pin else "",
        verified=link is not None and name in book.policy.deployments and book.ran(link, name),
        canary=pin.canary.release if pin and pin.canary else None,
        share=pin.canary.share if pin and pin.canary else 0.0,
        waits=wait,
    )
