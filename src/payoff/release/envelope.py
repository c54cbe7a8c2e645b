"""Statements (in-toto 1.0) in envelopes (DSSE 1.0): made, signed, opened. How a key signs and whom a signature is of is handed in."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from payoff.base.errors import Refused
from payoff.base.hashing import sha256
from payoff.records.release.release import IN_TOTO, STATEMENT, Envelope, Signature
from payoff.release.image import canonical

if TYPE_CHECKING:
    from collections.abc import Callable

    # The signed bytes, a signature, a list of who holds which key, a time -> the principals whose keys made it, as far as they held them then.
    Verify = Callable[[bytes, bytes, str, str], frozenset[str]]

T = TypeVar("T", bound=msgspec.Struct)


def statement(subject: str, digest: str, kind: str, predicate: msgspec.Struct | dict[str, Any]) -> bytes:
    """The bytes of a statement about something that has a digest (`sha256:...`)."""
    algorithm, _, value = digest.partition(":")
    return canonical(
        {
            "_type": STATEMENT,
            "subject": [{"name": subject, "digest": {algorithm: value}}],
            "predicateType": kind,
            "predicate": msgspec.to_builtins(predicate),
        }
    )


def to_sign(payload: bytes, kind: str = IN_TOTO) -> bytes:
    """What is signed: DSSE's pre-authentication encoding, in which type and payload cannot run into each other.

    >>> to_sign(b"hello world", "http://example.com/HelloWorld")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)


def seal(payload: bytes, sign: Callable[[bytes], tuple[bytes, str]]) -> Envelope:
    """The envelope of a statement, signed. `sign` answers a signature and its key's name."""
    signature, key = sign(to_sign(payload))
    return Envelope(
        payload=base64.b64encode(payload).decode(),
        signatures=(Signature(sig=base64.b64encode(signature).decode(), keyid=key),),
    )


def signers(envelope: Envelope, known: str, at: str, verify: Verify) -> frozenset[str]:
    """All whose signature on the envelope is good, by a list of who holds which key and at the time that the statement says it was made."""
    said = to_sign(payload(envelope), envelope.payload_type)
    found: set[str] = set()
    for each in envelope.signatures:
        try:
            found |= verify(said, base64.b64decode(each.sig, validate=True), known, at)
        except binascii.Error:
            continue
    return frozenset(found)


def payload(envelope: Envelope) -> bytes:
    """The statement's bytes."""
    try:
        return base64.b64decode(envelope.payload, validate=True)
    except binascii.Error:
        raise _broken("its payload is no base64") from None


def digest(envelope: Envelope) -> str:
    """What names a statement: the SHA-256 of its bytes."""
    return sha256(payload(envelope))


def predicate(envelope: Envelope, kind: str, form: type[T]) -> tuple[T, str]:
    """What the statement says, as a record, and the digest of its subject. Refuses another kind of statement, and one that says it two ways."""
    if envelope.payload_type != IN_TOTO:
        raise _broken(f"it holds {envelope.payload_type!r}")
    raw = payload(envelope)
    try:
        said = json.loads(raw)
        if canonical(said) != raw:  # a key twice, or a number that two readers take differently
            raise _broken("it is not written in the one form that a statement has")
        if said["_type"] != STATEMENT or said["predicateType"] != kind:
            raise _broken(f"it is a statement of the kind {said['predicateType']!r}")
        (subject,) = said["subject"]
        ((algorithm, value),) = subject["digest"].items()
        return msgspec.convert(said["predicate"], form), f"{algorithm}:{value}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, msgspec.ValidationError):
        raise _broken(f"it holds no statement of the kind {kind!r}") from None


def _broken(why: str) -> Refused:
    return Refused(
        f"a signed statement cannot be read: {why}",
        code="PO-A020",
        expected="a DSSE envelope with one in-toto statement, as payoff release and payoff approve write it",
        remedy="git log -p -- deploy, and restore the file as it was released",
    )
