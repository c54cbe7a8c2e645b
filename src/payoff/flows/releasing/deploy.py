"""`payoff deploy DEPLOYMENT`: make the world look as git says, and sign that it does; `--follow` does so until it is told to end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from payoff.base.clock import now, stopwatch
from payoff.base.errors import OutsideError, PayoffError
from payoff.base.hashing import sha256
from payoff.flows.opening import root_of
from payoff.flows.releasing import book as books
from payoff.flows.releasing import log
from payoff.ports.releasing.deployer import Wanted
from payoff.project.releasing import commits
from payoff.records.answers.releasing import Deployed
from payoff.records.release.release import VERIFIED, Verified
from payoff.release import envelope as envelopes
from payoff.wiring import releasing

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.flows.releasing.book import Book
    from payoff.ports.releasing.deployer import Running
    from payoff.records.answers.releasing import DeployRequest
    from payoff.release.chain import Link


def deploy(request: DeployRequest) -> Deployed:
    """Once. Refused when what git says does not verify: then what runs is left as it is."""
    clock = stopwatch()
    book = books.opened(request.project)
    spec = book.deployment(request.deployment)
    link = book.wanted(request.deployment)
    deployer = releasing.deployer(book.project, spec)
    registry = releasing.registry(book.project, book.settings)
    wanted = _wanted(book, link, request.deployment)
    if request.dry_run:
        return Deployed(
            deployment=request.deployment, release=link.release, did="nothing", shown=deployer.shown(wanted, registry)
        )
    before = deployer.state(wanted.name)
    running = deployer.apply(wanted, registry)
    _refuse_other(running, link, request.deployment)
    did = _did(before, running, log.last(book.root, request.deployment) == link.digest)
    if did != "nothing":
        log.add(book.root, request.deployment, did=did, release=link, before=before.image if before else "")
    signed, why = _sign(book, link, request.deployment)
    return Deployed(
        deployment=request.deployment,
        release=link.release,
        address=running.address,
        did=did,
        verified=signed,
        unsigned=why,
        seconds=stopwatch() - clock,
    )


def follow(request: DeployRequest, tell: Callable[[Deployed | PayoffError], None]) -> None:
    """Deploy, again and again until the process is told to end: what others pushed is taken over first (only ever forward), what drifted is put back.

    What goes wrong is told once as long as it stays the same, and tried again; nothing that runs is stopped for it.
    """
    last = ""
    while True:
        try:
            root = root_of(request.project)
            commits.forward(root)
            answer: Deployed | PayoffError = deploy(request)
            if request.push:
                commits.push(root)
        except PayoffError as error:
            answer = error
        said = (
            f"{answer.code} {answer.what}"
            if isinstance(answer, PayoffError)
            else f"{answer.release.image} {answer.did}"
        )
        if said != last or not (isinstance(answer, PayoffError) or answer.did == "nothing"):
            tell(answer)
        last = said
        time.sleep(request.every)


def _wanted(book: Book, link: Link, deployment: str) -> Wanted:
    said = link.release
    return Wanted(
        name=f"{book.project.id}-{deployment}",
        image=said.image,
        release=said.number,
        project=said.name,
        variables={"PAYOFF_IMAGE": said.image, "PAYOFF_RELEASE": str(said.number), "PAYOFF_DEPLOYMENT": deployment},
    )


def _refuse_other(running: Running, link: Link, deployment: str) -> None:
    if running.image != link.release.image:
        raise OutsideError(
            f"{deployment} runs {running.image[:19]}..., and was told to run {link.release.image[:19]}...",
            code="PO-A110",
            expected="the image that the release signed, by its digest",
            remedy=f"look at who else deploys there, then payoff deploy {deployment}",
        )
    if not running.ready:
        raise OutsideError(
            f"release {link.release.number} runs in {deployment}, and is not ready: {running.why or 'it does not say why'}",
            code="PO-A111",
            expected="a model that answers /v2/health/ready",
            remedy=f"payoff rollback {deployment}, or look at its log",
        )


def _did(before: Running | None, after: Running, was_told: bool) -> str:
    """`was_told`: we made it run this very release the last time; what is otherwise now has drifted."""
    if before is not None and before.ready and (before.image, before.address) == (after.image, after.address):
        return "nothing"
    if was_told:
        return "put back"
    return "started" if before is None else "replaced"


def _sign(book: Book, link: Link, deployment: str) -> tuple[bool, str]:
    """Commit a signed statement that the release ran, once. Who has no key that may is told so: the deployment is what it should be all the same."""
    if book.ran(link, deployment):
        return True, ""
    said = Verified(
        release=link.digest,
        number=link.release.number,
        project=link.release.project,
        deployment=deployment,
        created=max(now(), link.release.created),
    )
    payload = envelopes.statement(link.release.name, link.release.image, VERIFIED, said)
    try:
        sealed = envelopes.seal(payload, book.signer.sign)
        if not envelopes.signers(sealed, book.policy.known, said.created, book.signer.principals) & frozenset(
            book.policy.deployers
        ):
            return False, f"the key that signs is of none of {', '.join(book.policy.deployers)}"
        name = f"{said.number:04}-{deployment}-{sha256(payload)[7:15]}.json"
        commits.commit(
            book.root,
            {f"{books.VERIFIEDS}/{name}": books.encoded(sealed)},
            f"Release {said.number} runs in {deployment}",
            book.head,
        )
    except PayoffError as error:
        return False, error.what
    return True, ""
