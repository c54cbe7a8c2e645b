"""Keys that sign statements, and who holds which."""

from __future__ import annotations

from typing import Protocol


class Signer(Protocol):
    """Signs as the user that runs Payoff, and tells whose signatures others' are."""

    def sign(self, said: bytes) -> tuple[bytes, str]:
        """The signature of bytes, and the name of its key. Raises `UserError` when there is no key, or it cannot be used."""
        ...

    def principals(self, said: bytes, signature: bytes) -> frozenset[str]:
        """Whose signature of these bytes it is, as the repository's list of signers says; nobody's when it is not good."""
        ...
