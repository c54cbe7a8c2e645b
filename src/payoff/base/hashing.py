"""Digests: BLAKE2b of canonical JSON, text and files (128 bits, hexadecimal); SHA-256 where a standard of others asks for it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

SIZE = 16


def of_text(text: str) -> str:
    """The digest of a text in UTF-8."""
    return hashlib.blake2b(text.encode(), digest_size=SIZE).hexdigest()


def of_bytes(data: bytes) -> str:
    """The digest of bytes."""
    return hashlib.blake2b(data, digest_size=SIZE).hexdigest()


def of_json(value: Any) -> str:
    """The digest of a JSON value; key order does not matter."""
    return of_text(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str))


def of_file(path: str | os.PathLike[str]) -> str:
    """The digest of a file's content."""
    with open(path, "rb") as stream:
        digest = hashlib.blake2b(digest_size=SIZE)
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
        return digest.hexdigest()


class Sha256:
    """SHA-256 of bytes that come in pieces; `digest` is as OCI writes it: `sha256:` and 64 hexadecimal digits."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0

    def update(self, data: bytes) -> None:
        """More bytes."""
        self._hash.update(data)
        self.size += len(data)

    @property
    def digest(self) -> str:
        """Of all bytes so far."""
        return f"sha256:{self._hash.hexdigest()}"


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content as OCI writes it."""
    with open(path, "rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def sha256(data: bytes) -> str:
    """The SHA-256 of bytes as OCI writes it.

    >>> sha256(b"")[:20]
    'sha256:e3b0c44298fc1'
    """
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def keyed(key: bytes, data: bytes) -> str:
    """A digest that only who has the key can make or check.

    >>> len(keyed(b"k" * 32, b"data"))
    64
    """
    return hashlib.blake2b(data, key=key, digest_size=32).hexdigest()


def as_record(path: str | os.PathLike[str], algorithm: str = "sha256") -> str:
    """The digest of a file as the list of an installed package has it (RECORD: URL-safe base64 without padding)."""
    with open(path, "rb") as stream:
        made = hashlib.file_digest(stream, algorithm).digest()
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell how much of them is."""
    return hmac.compare_digest(one.encode(), other.encode())
