"""`payoff deploy DEPLOYMENT`: make the world look as git says, and sign that it does; `--follow` does so until it is told to end."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import msgspec

from payoff.base.clock import now, stopwatch
from payoff.base.errors import OutsideError, PayoffError, Refused, UserError
from payoff.base.hashing import sha256
from payoff.flows.opening import root_of
from payoff.flows.releasing import book as books
from payoff.flows.releasing import log, trying
from payoff.ports.releasing.deployer import Wanted
from payoff.ports.releasing.front import Routes, Target
from payoff.ports.releasing.machine import alone
from payoff.project.releasing import commits
from payoff.records.answers.releasing import Deployed
from payoff.records.release.release import VERIFIED, Verified
from payoff.release import envelope as envelopes
from payoff.wiring import releasing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from payoff.flows.releasing.book import Book
    from payoff.ports.releasing.deployer import Running
    from payoff.project.releasing.pins import Pinned
    from payoff.records.answers.releasing import DeployRequest
    from payoff.records.release.settings import DeploymentSpec
    from payoff.release.chain import Link

_OTHER = (
    900.0  # seconds that another deploy of the same may take: both of a canary to get ready, and those before to end
)
_TRIES = 5  # to commit beside others who do


def deploy(request: DeployRequest) -> Deployed:
    """Once. Refused when what git says does not verify: then what runs is left as it is."""
    clock = stopwatch()
    book = books.opened(request.project)
    spec = book.deployment(request.deployment)
    if request.dry_run:
        return _shown(book, spec)
    # What is judged, what runs and what is signed are of one moment: who deploys the same meanwhile waits, and then looks anew.
    with alone(book.root / ".payoff" / "deploying", spec.name, _OTHER):
        if commits.head(book.root)[0] != book.head:
            book = books.opened(request.project)
            spec = book.deployment(request.deployment)
        done = _deployed(book, spec, request)
    return msgspec.structs.replace(done, seconds=stopwatch() - clock)


def _shown(book: Book, spec: DeploymentSpec) -> Deployed:
    link, tried, _ = book.wanted(spec.name)
    place = _Place(book, spec)
    beside = [place.wanted(tried, "-canary")] if tried else []
    shown = "\n".join(place.deployer.shown(each, place.registry) for each in (place.wanted(link), *beside))
    return Deployed(deployment=spec.name, release=link.release, did="nothing", shown=shown)


def _deployed(book: Book, spec: DeploymentSpec, request: DeployRequest) -> Deployed:
    link, tried, pin = book.wanted(spec.name)
    place = _Place(book, spec)
    wanted = place.wanted(link)
    if tried is not None and place.front is None:
        raise UserError(
            f"release {tried.release.number} is tried in {spec.name}, and nothing stands before it that could share requests out",
            code="PO-A123",
            expected=f"[deployments.{spec.name}.front] in payoff.toml, as it was when the release began to be tried",
            remedy=f"put it back; or end the trial first: payoff promote {link.release.number} {spec.name}",
        )
    stepped = trying.NOTHING if request.judge else None
    if request.judge and tried is not None and pin.canary is not None and place.front is not None:
        stepped = trying.step(book, spec, pin, place.front.seen(wanted.name))
        if stepped.commit:
            book = books.opened(request.project)
            link, tried, pin = book.wanted(spec.name)
            place, wanted = _Place(book, spec), place.wanted(link)
    before = place.state(wanted.name)
    running, address = place.run(link, tried, pin)
    last, kind = log.last(book.root, spec.name)
    place.end_other(kind)
    told = (last, kind or spec.kind) == (link.digest, spec.kind)
    did = _did(before, running, was_told=told)
    if not told and last and did == "nothing":
        did = "replaced"  # by a deploy that was killed before it could say so
    if did != "nothing" or not told:
        log.add(book.root, spec, did=did, release=link, before=before.image if before else "")
    signed, why = _sign(book, link, spec.name)
    return Deployed(
        deployment=spec.name,
        release=link.release,
        address=address,
        did=did,
        verified=signed,
        unsigned=why,
        canary=tried.release if tried else None,
        share=pin.canary.share if pin.canary else 0.0,
        mode=pin.canary.mode if pin.canary else "",
        seen=place.front.seen(wanted.name) if place.front and tried else None,
        judgement=stepped.judgement if stepped else None,
        stepped=stepped.commit if stepped else "",
    )


class _Place:
    """Where a deployment runs, and what stands before it."""

    def __init__(self, book: Book, spec: DeploymentSpec) -> None:
        self.name, self.spec = spec.name, spec
        self.book = book
        self.deployer = releasing.deployer(book.project, spec)
        self.registry = releasing.registry(book.project, book.settings)
        self.front = releasing.front(book.project, spec)
        self.keep = self._keep()

    def _keep(self) -> tuple[str, ...]:
        """The images that git says some deployment runs or tries, and the last that each ran: what one goes back to starts without a registry. Others can be
        pulled again. Nothing where that cannot be read: then every image stays.
        """
        images = {link.digest: link.release.image for link in self.book.links}
        kept: set[str] = set()
        try:
            ran = [envelopes.predicate(each, VERIFIED, Verified)[0] for each in self.book.verified]
            ran.sort(key=lambda said: said.created)
            for each in self.book.settings.deployments:
                pin = self.book.pinned(each.name)
                kept |= {one.image for one in (pin, pin and pin.canary) if one}
                kept |= {
                    images.get(said.release, "") for said in [one for one in ran if one.deployment == each.name][-3:]
                }
        except PayoffError:
            return ()
        return tuple(sorted(kept - {""}))

    def wanted(self, link: Link, beside: str = "") -> Wanted:
        """A release as the deployer is to run it."""
        said = link.release
        return Wanted(
            name=f"{self.book.project.id}-{self.name}{beside}",
            image=said.image,
            release=said.number,
            project=said.name,
            deployment=f"{self.name}{beside}",
            keep=self.keep,
            front=str((self.spec.front or {}).get("kind", "")),
            variables={
                "PAYOFF_IMAGE": said.image,
                "PAYOFF_MODEL": said.model["sha256"],
                "PAYOFF_RELEASE": str(said.number),
                "PAYOFF_DEPLOYMENT": f"{self.name}{beside}",
            },
        )

    def state(self, name: str) -> Running | None:
        """What clients reach: nothing where what stands before it is gone."""
        return None if self.front is not None and self.front.routes(name) is None else self.deployer.state(name)

    def run(self, link: Link, tried: Link | None, pin: Pinned) -> tuple[Running, str]:
        """Run the one, and the other beside it; answers the first as it runs, and where clients find it. A release that is tried and does not start
        takes nothing from the one that runs.
        """
        wanted, beside = self.wanted(link), self.wanted(link, "-canary")

        def switch(address: str) -> None:
            """Requests go to the new one before the old one ends. What is compared stays compared."""
            if self.front is not None:
                now = self.front.routes(wanted.name)
                images = (now.stable.image, now.canary.image) if now and now.canary else ()
                routes = Routes(stable=_target(address, link))
                if now and tried and images == (link.release.image, tried.release.image):
                    routes = msgspec.structs.replace(now, stable=routes.stable)
                self.front.route(wanted.name, routes)

        running = self.deployer.apply(wanted, self.registry, switch)
        _refuse_other(running, link, self.name)
        if self.front is None:
            self._end_front(wanted.name)
            if self.deployer.state(beside.name) is not None:  # of a front that was there
                self.deployer.stop(beside.name)
            return running, running.address
        stable = _target(running.address, link)
        if tried is None or pin.canary is None:
            address = self.front.route(wanted.name, Routes(stable=stable))
            self.deployer.stop(beside.name)
            return running, address
        try:
            other = self.deployer.apply(self.wanted(tried, "-canary"), self.registry)
            _refuse_other(other, tried, f"{self.name}-canary")
        except OutsideError:
            self.front.route(wanted.name, Routes(stable=stable))
            raise
        canary = _target(other.address, tried)
        routes = Routes(stable=stable, canary=canary, share=pin.canary.share, mode=pin.canary.mode)
        return running, self.front.route(wanted.name, routes)

    def end_other(self, kind: str) -> None:
        """What another kind of deployment runs here under the same name, as it did before payoff.toml named the one that it names now."""
        if not kind or kind == self.spec.kind:
            return
        with contextlib.suppress(UserError):  # its engine is gone, and what it ran with it
            other = releasing.earlier(self.book.project, self.spec, kind)
            if other is not None:
                for beside in ("-canary", ""):
                    other.stop(f"{self.book.project.id}-{self.name}{beside}")

    def _end_front(self, name: str) -> None:
        """One of this machine's that stood before it, when payoff.toml does not say so any more. What one has left in a cluster goes with the deployer's `apply`."""
        left = releasing.front(self.book.project, msgspec.structs.replace(self.spec, front={}))
        if left is not None and left.routes(name) is not None:
            left.stop(name)


def _target(address: str, link: Link) -> Target:
    return Target(address=address, release=link.release.number, image=link.release.image)


def follow(
    request: DeployRequest, tell: Callable[[Deployed | PayoffError], None], known: Callable[[Exception], PayoffError]
) -> None:
    """Deploy, again and again until the process is told to end: what others pushed is taken over first (only ever forward), what drifted is put back.

    What goes wrong (`known` says how it is told) is told once as long as it stays the same, and tried again. Nothing that runs is stopped for it, and nothing else waits
    for it: while the remote is down, what drifts is put back as git said last.
    """
    told: dict[str, str] = {}
    steps: dict[str, Callable[[], Deployed | None]] = {
        "forward": lambda: commits.forward(root_of(request.project)),
        "deploy": lambda: deploy(request),
    }
    if request.push:
        steps["push"] = lambda: commits.push(root_of(request.project))
    while True:
        for name, step in steps.items():
            try:
                answer: Deployed | PayoffError | None = step()
            except Exception as error:
                answer = known(error)
            said = _said(answer)
            if answer is not None and (said != told.get(name) or getattr(answer, "did", "nothing") != "nothing"):
                tell(answer)
            told[name] = said
        time.sleep(request.every)


def _said(answer: Deployed | PayoffError | None) -> str:
    """What makes an answer another than the one before."""
    if isinstance(answer, PayoffError):
        return f"{answer.code} {answer.what}"
    return "" if answer is None else f"{answer.release.image} {answer.share}"


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


def _did(before: Running | None, after: Running, *, was_told: bool) -> str:
    """`was_told`: we made it run this very release the last time; what is otherwise now has drifted. Where it ran and was ready, it is told other things than it was."""
    if before is not None and before.ready and before.image == after.image:
        return "nothing" if before.address == after.address else "restarted"
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
        _commit(
            book.root, f"{books.VERIFIEDS}/{name}", books.encoded(sealed), f"Release {said.number} runs in {deployment}"
        )
    except PayoffError as error:
        return False, error.what
    return True, ""


def _commit(root: Path, path: str, content: bytes, says: str) -> None:
    """On top of whatever is there by now: it is true whatever else was committed meanwhile, as by who deploys another."""
    for left in reversed(range(_TRIES)):
        try:
            commits.commit(root, {path: content}, says, commits.head(root)[0])
        except Refused as error:
            if not left or error.code != commits.MOVED:
                raise
        else:
            return
