"""The server's certificate and its key, read again when their files change: who renews them (cert-manager, certbot) does not restart servers.

A new pair is tried before it is used, and used whole: a handshake sees the one before or the one after, never a certificate with another's key. While the files
do not fit together, as in the middle of a renewal, the pair before stays.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING

from payoff.base.errors import UserError, Where

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVERY = 5.0  # seconds between two looks at the files
_BAD = "PO-J056"


class Certificate:
    """A pair of files in PEM; `pair` are their contents, certificate first, as they were last found to fit. `UserError` where they do not at the start."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._paths = certificate, key
        self._stamps = self._look()
        try:
            self.pair = self._read()
            self._context = _context(*self.pair)
        except (OSError, ValueError) as error:  # those of ssl are among them
            raise UserError(
                f"the server's certificate and its key cannot be used: {_why(error)}",
                code="PO-J015",
                expected="certificate and key: two files in PEM that this user may read, the key its own and without a password",
                remedy="correct [serving] in payoff.toml, then: payoff serve",
                where=Where("payoff.toml"),
            ) from None

    def context(self) -> ssl.SSLContext:
        """For a listener: each handshake is given the newest pair."""
        listening = _context(*self.pair)

        def newest(handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            handshake.context = self._context

        listening.sni_callback = newest  # called for each handshake, also where the client names no host
        return listening

    def look(self, tell: Callable[[str], None]) -> None:
        """Take the files over where they changed, and fit."""
        stamps = self._look()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            pair = self._read()
            context = _context(*pair)
        except (OSError, ValueError) as error:
            tell(f"{_BAD}: the certificate or its key changed, and cannot be used: {_why(error)}; the one before stays")
            return
        if pair != self.pair:
            self.pair, self._context = pair, context
            tell("the certificate was read again")

    async def watch(self, tell: Callable[[str], None]) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(EVERY)
            await asyncio.to_thread(self.look, tell)  # a disk may be slow

    def _read(self) -> tuple[bytes, bytes]:
        certificate, key = self._paths
        return certificate.read_bytes(), key.read_bytes()

    def _look(self) -> list[tuple[int, ...]]:
        """What tells whether a file is another, or has other contents; a secret that Kubernetes mounts is a link to the one that is there now."""
        found: list[tuple[int, ...]] = []
        for path in self._paths:
            try:
                status = path.stat()
            except OSError:
                found.append((-1,))
            else:
                found.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
        return found


def _context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    """Of these very bytes: files may change between two looks, and ssl takes only paths."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    memory = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with open(memory, "wb", closefd=False) as stream:
            stream.write(certificate + b"\n" + key)
        made.load_cert_chain(f"/proc/self/fd/{memory}", password="")  # nobody is asked for a password
    finally:
        os.close(memory)
    return made


def _why(error: Exception) -> str:
    return ((error.strerror or "") if isinstance(error, OSError) else str(error))[:200]
