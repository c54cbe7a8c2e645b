"""A `deploy/NAME.toml`: which release a deployment should run."""

from __future__ import annotations

import tomllib
from typing import Annotated, Literal

import msgspec

from payoff.base.errors import Refused


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A release that is tried beside: as a canary, which answers a share of the requests, or as a shadow, which gets a copy of them."""

    release: int
    statement: str
    image: str
    share: Annotated[float, msgspec.Meta(gt=0, le=1)]
    mode: Literal["canary", "shadow"] = "canary"


class Pinned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A release by its number, the SHA-256 of its statement, and its image; and the one that is tried beside it."""

    release: int
    statement: str
    image: str
    canary: Trial | None = None


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
    lines = (
        "# What this deployment runs. Written by payoff promote and payoff rollback; payoff deploy makes it so.\n"
        f'release = {pinned.release}\nstatement = "{pinned.statement}"\nimage = "{pinned.image}"\n'
    )
    tried = pinned.canary
    if tried is not None:
        lines += (
            f'\n[canary]\nrelease = {tried.release}\nstatement = "{tried.statement}"\nimage = "{tried.image}"\n'
            f'share = {tried.share!r}\nmode = "{tried.mode}"\n'
        )
    return lines.encode()
