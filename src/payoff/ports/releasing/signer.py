"""Keys that sign statements, and who holds which."""

from __future__ import annotations

from typing import Protocol


class Signer(Protocol):
    """Signs as the user that runs Payoff, and tells whose signatures others' are."""

    def sign(self, said: bytes) -> tuple[bytes, str]:
        """The signature of bytes, and the name of its key. Raises `UserError` when there is no key, or it cannot be used."""
        ...

    def known(self) -> str:
        """The repository's list of who holds which key, as text. Raises `UserError` when there is none."""
        ...

    def principals(self, said: bytes, signature: bytes, known: str, at: str) -> frozenset[str]:
        """Whose signature of these bytes it is, as a list says; nobody's when it is not good. `at` is the time (ISO 8601, UTC) that counts for keys which
        the list limits in time: the machine's clock does not.
        """
        ...
