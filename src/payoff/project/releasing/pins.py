"""A `deploy/NAME.toml`: which release a deployment should run."""

from __future__ import annotations

import tomllib

import msgspec

from payoff.base.errors import Refused


class Pinned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A release by its number, the SHA-256 of its statement, and its image."""

    release: int
    statement: str
    image: str


def read(path: str, content: bytes) -> Pinned:
    """What a file says. Refused when it is not one that a promotion writes."""
    try:
        return msgspec.convert(tomllib.loads(content.decode()), Pinned)
    except (ValueError, msgspec.ValidationError):
        raise Refused(
            f"{path} says nothing that a promotion writes",
            code="PO-A088",
            expected="release, statement and image, as payoff promote writes them",
            remedy=f"git log -p -- {path}, and restore it, or promote again",
        ) from None


def write(pinned: Pinned) -> bytes:
    """The content of the file."""
    return (
        "# What this deployment runs. Written by payoff promote and payoff rollback; payoff deploy makes it so.\n"
        f'release = {pinned.release}\nstatement = "{pinned.statement}"\nimage = "{pinned.image}"\n'
    ).encode()
