"""What a user names to be served or to score with: a release by its number, or else a run."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from payoff.base.errors import UserError
from payoff.flows.releasing import book as books
from payoff.flows.serve import released
from payoff.flows.serve.offer import offer
from payoff.ports.releasing.deployer import Wanted
from payoff.wiring import releasing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from payoff.flows.serve.offered import Offer


@contextlib.contextmanager
def named(
    project: str | None, what: str, tell: Callable[[str], None], *, anyway: bool = False, onnx: bool = False
) -> Iterator[Offer]:
    """The offer of a release or a run (`anyway`, `onnx`: see `offer`), whose files stay as long as this is held."""
    if not what.isdigit():
        yield offer(project, what, tell, anyway=anyway, onnx=onnx)
        return
    if onnx:
        raise UserError(
            f"release {what} has the model that was packed; it is not converted",
            code="PO-J057",
            expected="a run, where --onnx is asked for",
            remedy=f"leave --onnx out; or payoff release RUN --onnx, and name that release in the place of {what}",
        )
    with _of_release(project, what) as found:
        yield found


@contextlib.contextmanager
def _of_release(project: str | None, number: str) -> Iterator[Offer]:
    """A release whose chain verifies: model, code and environment of its image, by the digests that were signed. No store and no ledger are asked. Raises
    `OutsideError` where the registry does not have the image, `Refused` where something of it is not what was signed.
    """
    book = books.opened(project)
    said = book.link(number).release
    wanted = Wanted(name=f"{book.project.id}-{number}", image=said.image, release=said.number, project=said.name)
    with releasing.unpacker(book.project).unpacked(wanted, releasing.registry(book.project, book.settings)) as place:
        environ = {
            released.OPEN: "1",  # who may ask is said by the project's settings
            released.HOME: os.fspath(book.root),
            released.EXPECTED: said.model["sha256"],
        }
        found = released.opened(os.fspath(place / "opt" / "model"), environ)
        yield found._replace(settings=book.project.served)
