"""Digests: BLAKE2b of canonical JSON, text and files. 128 bits, hexadecimal."""

from __future__ import annotations

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


def keyed(key: bytes, data: bytes) -> str:
    """A digest that only who has the key can make or check.

    >>> len(keyed(b"k" * 32, b"data"))
    64
    """
    return hashlib.blake2b(data, key=key, digest_size=32).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell how much of them is."""
    return hmac.compare_digest(one.encode(), other.encode())
