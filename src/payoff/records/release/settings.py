"""What payoff.toml says of releases: where images go, what they stand on, who signs."""

from __future__ import annotations

from typing import Any

import msgspec

SIGNERS = "deploy/allowed_signers"


class ReleaseSpec(msgspec.Struct, frozen=True, kw_only=True):
    """`registry` and `base` are sections of a registry's adapter (`kind` among their keys); `digest` names the base image in its registry, `python` is
    the interpreter in it. `signing` is the section of the signer's adapter. `releasers` are names in `signers`, the repository's list of who holds which key.
    """

    registry: dict[str, Any] = {}
    base: dict[str, Any] = {}
    digest: str = ""
    python: str = "python3"
    signing: dict[str, Any] = {}
    signers: str = SIGNERS
    releasers: tuple[str, ...] = ()
    line: int = 0
