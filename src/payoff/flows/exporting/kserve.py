"""`payoff export kserve RELEASE`: the InferenceService that a deployment of it would be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.flows.releasing import book as books
from payoff.flows.releasing.deploy import wanted
from payoff.records.answers.exporting import Exported
from payoff.wiring import releasing

if TYPE_CHECKING:
    from payoff.records.answers.exporting import ExportRequest


def text(request: ExportRequest) -> Exported:
    """The manifest of a release, as its deployment's section says (or with nothing but defaults). Refused when it does not verify, or may not run there."""
    book = books.opened(request.project)
    link = book.link(request.what)
    spec = None
    if request.deployment:
        spec = book.deployment(request.deployment)
        book.refuse(link, request.deployment)
    deployer = releasing.model_service(book.project, spec)
    registry = releasing.registry(book.project, book.settings)
    shown = deployer.shown(wanted(book, link, request.deployment), registry)
    return Exported(format=request.format, run=link.release.run, release=link.release.number, text=shown)
