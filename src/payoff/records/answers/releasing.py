"""What release, approve, promote, deploy and rollback are asked for and answer."""

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


class Approved(msgspec.Struct, frozen=True, kw_only=True):
    """An approval that was signed; `by` is whose key it was. `missing` are roles that a deployment still waits for, by deployment."""

    release: Release
    role: str
    deployment: str
    by: tuple[str, ...]
    missing: dict[str, tuple[str, ...]] = {}


class Promoted(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment that should run a release from now on; `commit` says so on `branch` (empty: the branch we are on)."""

    release: Release
    deployment: str
    commit: str
    branch: str = ""
    already: bool = False


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment runs. `did`: nothing, started, replaced another release, or put back what had drifted."""

    deployment: str
    release: Release
    address: str
    did: str
    verified: bool = False
    seconds: float = 0.0
