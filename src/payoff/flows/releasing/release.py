"""`payoff release RUN`: code, locked environment and model of a run that passed, as an image; and its signed record, committed and pushed."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from payoff import __version__
from payoff import project as projects
from payoff.base.clock import now, stopwatch
from payoff.base.errors import OutsideError, Refused, UserError
from payoff.base.hashing import Sha256, sha256
from payoff.flows import watching
from payoff.flows.releasing import book as books
from payoff.flows.releasing import packing
from payoff.flows.releasing.judged import judged
from payoff.flows.show import find
from payoff.project.past import folder as past
from payoff.project.releasing import commits
from payoff.records.answers.releasing import Made, ReleaseRequest
from payoff.records.release.image import EMPTY, INDEX, MANIFEST, Blob, Start
from payoff.records.release.release import IN_TOTO, PROVENANCE, RELEASE, SBOM, Release
from payoff.release import documents, image, layer
from payoff.release import envelope as envelopes
from payoff.release import foundation as bases
from payoff.wiring import assemble, releasing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.ports.releasing.registry import Registry
    from payoff.records.project import Project
    from payoff.records.release.image import Layer, Member
    from payoff.records.run import RunRecord
    from payoff.release.image import Image


def release(request: ReleaseRequest) -> Made:
    """Release a run; the newest release again when it is of that run already, with the same image."""
    clock = stopwatch()
    book = books.opened(request.project)
    record, _ = find(book.opened, request.run)
    refuse(record)
    scratch = book.root / ".payoff" / "releasing" / f"{record.run}-{now().replace(':', '')}"
    try:
        past.write(book.root, record.git, scratch, record.run)
        project = projects.load(scratch, record.git)
        registry = releasing.registry(book.project, book.settings)
        parts = _Parts(book, record, project, scratch)
        made = parts.image()
        pushed, sent = ({}, 0) if request.dry_run else _push(registry, parts, made)
        newest = book.links[-1] if book.links else None
        facts: dict[str, Any] = {"layers": tuple(made.layers), "packages": len(parts.packages), "sent": sent}
        if request.dry_run:
            return Made(release=parts.record(made, {}), digest="", seconds=stopwatch() - clock, dry_run=True, **facts)
        rules = book.written
        if newest is not None and (newest.release.run, newest.release.image, newest.release.policy) == (
            record.run,
            made.digest,
            rules,
        ):
            return Made(
                release=newest.release, digest=newest.digest, already=True, seconds=stopwatch() - clock, **facts
            )
        said = parts.record(made, pushed)
        payload = envelopes.statement(said.name, made.digest, RELEASE, said)
        sealed = envelopes.seal(payload, book.signer.sign)
        if not envelopes.signers(sealed, book.policy.known, said.created, book.signer.principals) & frozenset(
            book.policy.releasers
        ):
            raise _may_not(book)
        content = books.encoded(sealed)
        _attach(registry, made.blob, RELEASE, content, IN_TOTO)
        registry.put(made.manifest, MANIFEST, f"release-{said.number}")
        commits.commit(
            book.root,
            {f"{books.RELEASES}/{said.number:04}.json": content},
            f"Release {said.number} of {said.name}: run {said.run}\n\n{made.digest}",
            book.head,
        )
        return Made(release=said, digest=sha256(payload), seconds=stopwatch() - clock, **facts)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def refuse(record: RunRecord) -> None:
    """Refuse a run that did not pass, or that nobody can point to in git."""
    failing = [each.gate for each in record.verdicts if not each.passed]
    if record.status != "passed" or failing or record.model is None or not record.verdicts:
        why = f"its gates refused it ({', '.join(failing)})" if failing else f"it was {record.status}"
        raise Refused(
            f"run {record.run} is not released: {why}",
            code="PO-A090",
            expected="a run whose every verdict passed",
            remedy=f"payoff show {record.run} says why; payoff runs lists those that passed",
        )
    if record.git is None or record.git.dirty or record.git.commit is None:
        raise Refused(
            f"run {record.run} is not released: it was made of changes that were not committed",
            code="PO-A091",
            expected="a run of a commit, which others can look at",
            remedy="git add -A && git commit, payoff run --force, and release that run",
        )


class _Parts:
    """What an image of a run is made of."""

    def __init__(self, book: books.Book, record: RunRecord, project: Project, folder: Path) -> None:
        self.book, self.run, self.project = book, record, project
        charter = record.charter
        step = project.step(charter.model_step) if charter else None
        locked = project.environment(step.environment) if step else None
        score = next((each for each in record.stages if each.name == "score"), None)
        if step is None or locked is None or score is None or record.model is None:
            raise UserError(
                f"run {record.run} has no model that was scored, or its files have no step that makes it",
                code="PO-A092",
                expected="a run with a model and a verdict in money",
                remedy="payoff runs, and name another run",
            )
        self.locked = locked
        executor = assemble.again(project, book.root, book.opened.kit.store, {})["executor"]()
        try:
            sandbox = Path(executor.prepare(locked, lambda _line: None)["folder"])
        finally:
            executor.close()
        installed, self.packages = packing.environment(sandbox, locked)
        file = book.opened.kit.store.path(record.model)
        self.digest = _of_file(file)
        signature = score.extra["signature"]
        said = {
            "name": project.id,
            "run": record.run,
            "step": step.name,
            "environment": {"memory_bytes": locked.memory_bytes, "threads": locked.threads},
            "threads": step.threads,
            "seed": step.seed,
            "deterministic": step.deterministic,
            "form": score.extra.get("form", "pandas"),
            "model": f"{packing.MODEL}/model.pickle",
            "sha256": self.digest,
            **signature,
        }
        # What changes least comes first: a new model alone is one new layer.
        self.members: list[tuple[str, list[Member]]] = [
            (f"environment {locked.name}", installed),
            (f"payoff {__version__}", packing.ours()),
            ("code", packing.code(folder)),
            ("model", packing.model(file, said)),
        ]
        self.base_registry = releasing.base(book.project, book.settings)
        self.base = _base(book, self.base_registry)
        self.packed: dict[str, list[Member]] = {}

    def image(self) -> Image:
        """The image; nothing is written."""
        layers: list[Layer] = []
        for says, members in self.members:
            layers.append(layer.layer(members, packing.content, lambda _piece: None, says))
            self.packed[layers[-1].blob.digest] = members
        start = Start(
            command=(self.book.settings.python, "-s", "-B", f"/{packing.OURS}/worker/released.py", f"/{packing.SAID}"),
            environment={"PAYOFF_HOST": "0.0.0.0", "PAYOFF_PORT": str(packing.PORT), "PYTHONHASHSEED": "0"},  # noqa: S104 - inside a container, whose ports are published where the deployment says
            folder=f"/{packing.CODE}",
            ports=(packing.PORT,),
            labels={"org.opencontainers.image.title": self.project.id},
        )
        return image.image(self.base, layers, start)

    def documents(self, made: Image) -> dict[str, tuple[str, bytes]]:
        """Bill of materials and provenance: name -> its artifact type and its bytes."""
        git = self.run.git
        materials = {"lock": f"blake2b:{self.locked.digest}", "model": self.digest, "base": self.base.digest}
        bill = documents.bill(
            self.project.id, self.run.run, made.digest, {"sha256": self.digest}, self.packages, version=__version__
        )
        said = documents.provenance(self.run.run, (git.commit if git else None) or "", materials, version=__version__)
        built = envelopes.statement(self.project.id, made.digest, PROVENANCE, said)
        return {
            "sbom": (SBOM, bill),
            "provenance": (IN_TOTO, books.encoded(envelopes.seal(built, self.book.signer.sign))),
        }

    def record(self, made: Image, pushed: dict[str, str]) -> Release:
        """What is signed."""
        run, links = self.run, self.book.links
        assert run.model is not None  # noqa: S101 - refused before
        return Release(
            number=len(links) + 1,
            project=self.project.id,
            name=self.project.id,
            run=run.run,
            created=now(),
            by=watching.who(),
            image=made.digest,
            base=self.base.digest,
            model={"id": run.model.id, "sha256": self.digest},
            data={name: each.id for name, each in sorted(run.tables.items())},
            environments={each.name: each.digest for each in run.environments},
            charter=self.project.files.get("charter.toml", ""),
            commit=(run.git.commit if run.git else None) or "",
            currency=run.valuation.currency if run.valuation else "",
            gain=msgspec.to_builtins(run.valuation.gain) if run.valuation else {},
            verdicts=run.verdicts,
            sbom=pushed.get("sbom", ""),
            provenance=pushed.get("provenance", ""),
            previous=links[-1].digest if links else "",
            version=__version__,
            judged=judged(self.project),
            policy=self.book.written,
        )


def _base(book: books.Book, registry: Registry) -> Any:
    digest = book.settings.digest
    found = registry.manifest(digest)
    if found is None:
        raise bases.unfit(f"there is none with the digest {digest[:19]}... where [release.base] says")
    manifest, _ = found
    config = b"".join(registry.read(bases.config_of(manifest)))
    return bases.base(digest, manifest, config)


def _push(registry: Registry, parts: _Parts, made: Image) -> tuple[dict[str, str], int]:
    """Send what is not there yet; answers the SHA-256 of the documents that were attached, and the bytes sent."""
    sent = 0
    for each in made.layers:
        if registry.has(each.blob):
            continue
        members = parts.packed.get(each.blob.digest)
        pieces = parts.base_registry.read(each.blob) if members is None else layer.pack(members, packing.content)
        registry.write(each.blob, pieces)
        sent += each.blob.size
    _write(registry, image.config_blob(made), made.config)
    registry.put(made.manifest, MANIFEST)
    attached = {}
    for name, (kind, content) in parts.documents(made).items():
        _attach(registry, made.blob, PROVENANCE if name == "provenance" else kind, content, kind)
        attached[name] = sha256(content)
    return attached, sent


def _attach(registry: Registry, subject: Blob, kind: str, content: bytes, media_type: str) -> None:
    """Attach a document to an image, where a registry's referrers and, for those that have none, the tag that stands in for them find it."""
    manifest, document = image.attached(subject, kind, content, media_type, {})
    _write(registry, Blob(media_type=EMPTY, digest=sha256(image.EMPTY_JSON), size=2), image.EMPTY_JSON)
    _write(registry, document, content)
    registry.put(manifest, MANIFEST)
    tag = subject.digest.replace(":", "-")
    found = registry.manifest(tag)
    listed = msgspec.json.decode(found[0])["manifests"] if found else []
    entry = {"mediaType": MANIFEST, "digest": sha256(manifest), "size": len(manifest), "artifactType": kind}
    if entry not in listed:
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*listed, entry]}
        registry.put(image.canonical(index), INDEX, tag)


def _write(registry: Registry, blob: Blob, content: bytes) -> None:
    if not registry.has(blob):
        registry.write(blob, _once(content))


def _once(content: bytes) -> Iterator[bytes]:
    yield content


def _of_file(file: Path) -> str:
    digest = Sha256()
    with contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(open(file, "rb"))
        except OSError:
            raise OutsideError(
                "the model of the run cannot be read",
                code="PO-A093",
                expected="its file in the store",
                remedy="payoff run --force, and release that run",
            ) from None
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.digest


def _may_not(book: books.Book) -> Refused:
    return Refused(
        "the key that signs is of nobody who may release",
        code="PO-A030",
        expected=f"a key that {book.settings.signers} gives to one of: {', '.join(book.policy.releasers)}"
        + (f" (as release {len(book.links)} signed it; changes hold from the next release on)" if book.links else ""),
        remedy="git config user.signingkey KEY, or let somebody release who may",
    )
