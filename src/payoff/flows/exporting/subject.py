"""What is exported: a run that passed, or a release whose chain verifies."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from payoff.base import hashing
from payoff.base.errors import OutsideError, Refused, UserError
from payoff.flows.opening import open_project
from payoff.flows.releasing import book as books
from payoff.flows.releasing.release import refuse
from payoff.flows.show import find

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.flows.opening import Opened
    from payoff.flows.releasing.book import Book
    from payoff.records.run import RunRecord
    from payoff.release.chain import Link


class Subject(NamedTuple):
    """A run's record; with its release, and the book that verified it, where one was asked for."""

    opened: Opened
    record: RunRecord
    book: Book | None = None
    link: Link | None = None

    @property
    def release(self) -> int:
        """The release's number; 0 for a run that was named."""
        return self.link.release.number if self.link else 0


def subject(project: str | None, what: str) -> Subject:
    """A release by its number, or else a run. Refused when the release does not verify, or when the run's gates refused it."""
    if what.isdigit():
        book = books.opened(project)
        link = book.link(what)
        record, _ = find(book.opened, link.release.run)
        return Subject(book.opened, record, book, link)
    opened = open_project(project)
    record, _ = find(opened, what)
    refuse(record)
    return Subject(opened, record)


def model(found: Subject) -> Path:
    """The model's file. Refused when it is not the one that was released, whoever changed it."""
    artifact = found.record.model
    if artifact is None:
        raise UserError(
            f"run {found.record.run} has no model",
            code="PO-A092",
            expected="a run with a model and a verdict in money",
            remedy="payoff runs, and name another run",
        )
    store = found.opened.kit.store
    if not store.has(artifact):
        raise OutsideError(
            f"the model of run {found.record.run} is no more in the store",
            code="PO-A093",
            expected="its file there",
            remedy="payoff run --force, and export that run",
        )
    file = store.path(artifact)
    said = found.link.release.model.get("sha256", "") if found.link else ""
    if said and hashing.sha256(file.read_bytes()) != said:
        raise Refused(
            f"the model of run {found.record.run} in the store is not the one that was released",
            code="PO-A130",
            expected=f"{said}, as release {found.release} signed it",
            remedy="the release's image has the right one; payoff run --force makes the run's again",
        )
    return file
