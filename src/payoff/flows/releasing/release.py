"""`payoff release RUN`: code, locked environment and model of a run that passed, as an image; and its signed record, committed and pushed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import msgspec

from payoff import project as projects
from payoff.base.clock import now, stopwatch
from payoff.base.errors import Refused
from payoff.base.hashing import sha256
from payoff.flows.releasing import book as books
from payoff.flows.releasing.founded import refuse_unfounded
from payoff.flows.releasing.packing import files
from payoff.flows.releasing.packing.parts import parts as all_parts
from payoff.flows.show import find
from payoff.project.past import folder as past
from payoff.project.releasing import commits
from payoff.records.answers.releasing import Made, ReleaseRequest
from payoff.records.release.image import EMPTY, INDEX, MANIFEST, Blob
from payoff.records.release.release import IN_TOTO, PROVENANCE, RELEASE
from payoff.release import envelope as envelopes
from payoff.release import image, layer
from payoff.wiring import releasing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.flows.releasing.packing.parts import Parts
    from payoff.ports.releasing.registry import Registry
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
        past.remember(book.root, scratch)
        project = projects.load(scratch, record.git)
        refuse_unfounded(record, project)
        registry = releasing.registry(book.project, book.settings)
        base = releasing.base(book.project, book.settings)
        parts = all_parts(book, record, project, base, onnx=request.onnx)
        made = parts.image()
        pushed, sent = ({}, 0) if request.dry_run else _push(registry, base, parts, made)
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


def _push(registry: Registry, base: Registry, parts: Parts, made: Image) -> tuple[dict[str, str], int]:
    """Send what is not there yet; answers the SHA-256 of the documents that were attached, and the bytes sent."""
    sent = 0
    packed = {each.layer.blob.digest: each for each in parts.layers}
    for each in made.layers:
        if registry.has(each.blob):
            continue
        ours = packed.get(each.blob.digest)
        pieces = base.read(each.blob) if ours is None else layer.pack(ours.members(), files.content)
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


def _may_not(book: books.Book) -> Refused:
    return Refused(
        "the key that signs is of nobody who may release",
        code="PO-A030",
        expected=f"a key that {book.settings.signers} gives to one of: {', '.join(book.policy.releasers)}"
        + (f" (as release {len(book.links)} signed it; changes hold from the next release on)" if book.links else ""),
        remedy="git config user.signingkey KEY, or let somebody release who may",
    )
