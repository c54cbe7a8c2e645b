"""What `payoff release` is asked for and answers."""

from __future__ import annotations

import msgspec

from payoff.records.release.image import Layer
from payoff.records.release.release import Release


class ReleaseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What `payoff release` was asked for."""

    run: str = "latest"
    project: str | None = None
    dry_run: bool = False


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A release that was made, or (`already`) was there. `digest` names its statement (empty for a dry run); `sent` bytes went to the registry."""

    release: Release
    digest: str
    layers: tuple[Layer, ...] = ()
    packages: int = 0
    sent: int = 0
    seconds: float = 0.0
    already: bool = False
    dry_run: bool = False
