"""`payoff export kserve RELEASE`: the InferenceService that a deployment of it would be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.flows.releasing import book as books
from payoff.ports.releasing.deployer import Wanted
from payoff.records.answers.exporting import Exported
from payoff.wiring import releasing

if TYPE_CHECKING:
    from payoff.flows.releasing.book import Book
    from payoff.records.answers.exporting import ExportRequest
    from payoff.release.chain import Link


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
    shown = deployer.shown(_wanted(book, link, request.deployment), registry)
    return Exported(format=request.format, run=link.release.run, release=link.release.number, text=shown)


def _wanted(book: Book, link: Link, deployment: str) -> Wanted:
    said = link.release
    variables = {
        "PAYOFF_IMAGE": said.image,
        "PAYOFF_MODEL": said.model["sha256"],
        "PAYOFF_RELEASE": str(said.number),
    }
    if deployment:
        variables["PAYOFF_DEPLOYMENT"] = deployment
    return Wanted(
        name=f"{book.project.id}-{deployment}" if deployment else book.project.id,
        image=said.image,
        release=said.number,
        project=said.name,
        variables=variables,
    )
