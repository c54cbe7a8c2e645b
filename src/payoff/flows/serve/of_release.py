"""A release, for this machine: the model, code and environment of its image, by the digests that were signed. No store and no ledger are asked."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from payoff.flows.releasing import book as books
from payoff.flows.serve import released
from payoff.ports.releasing.deployer import Wanted
from payoff.wiring import releasing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.flows.serve.offered import Offer


@contextlib.contextmanager
def of_release(project: str | None, number: str) -> Iterator[Offer]:
    """The offer of a release whose chain verifies; its files stay as long as this is held. Raises `OutsideError` where the registry does not have its image,
    `Refused` where something of it is not what was signed.
    """
    book = books.opened(project)
    said = book.link(number).release
    wanted = Wanted(name=f"{book.project.id}-{number}", image=said.image, release=said.number, project=said.name)
    with releasing.unpacker(book.project).unpacked(wanted, releasing.registry(book.project, book.settings)) as place:
        environ = {
            released.OPEN: "1",  # nobody reaches it
            released.HOME: os.fspath(book.root / ".payoff"),
            released.EXPECTED: said.model["sha256"],
        }
        yield released.opened(os.fspath(place / "opt" / "model"), environ)
