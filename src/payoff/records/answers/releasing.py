"""What release, approve, promote, deploy and rollback are asked for and answer."""

from __future__ import annotations

from typing import Literal

import msgspec

from payoff.records.release.canary import Judgement, Seen
from payoff.records.release.image import Layer
from payoff.records.release.release import Release


class ReleaseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What `payoff release` was asked for. `onnx`: with the model converted."""

    run: str = "latest"
    project: str | None = None
    dry_run: bool = False
    onnx: bool = False


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


class ApproveRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What `payoff approve` was asked for. An empty `deployment` means every one; `says` is a sentence that is signed along."""

    release: str
    role: str
    deployment: str = ""
    says: str = ""
    project: str | None = None


class PromoteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What `payoff promote` was asked for. `branch`: a new one that the commit is made on. With a `share` (0 to 1) the release is only tried beside the one that
    runs.
    """

    release: str
    deployment: str
    share: float = 0.0
    mode: Literal["canary", "shadow"] = "canary"
    branch: str = ""
    project: str | None = None


class RollbackRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What `payoff rollback` was asked for. `to`: a release that ran there before; empty means the one before."""

    deployment: str
    to: str = ""
    project: str | None = None


class DeployRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What `payoff deploy` was asked for. `every`: seconds between two looks when it follows; `push`: what it signs goes to the branch's remote; `judge`: a release that is
    tried goes on or back by what was seen of it, before.
    """

    deployment: str
    project: str | None = None
    dry_run: bool = False
    every: float = 15.0
    push: bool = False
    judge: bool = False


class Approved(msgspec.Struct, frozen=True, kw_only=True):
    """An approval that was signed, or (`already`) was there; `by` is whose key it was. `missing` are roles that a deployment still waits for, by
    deployment.
    """

    release: Release
    role: str
    deployment: str
    by: tuple[str, ...]
    missing: dict[str, tuple[str, ...]] = {}
    already: bool = False


class Promoted(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment that should run a release from now on, or try it with a `share` of the requests as `mode` says (`canary`, `shadow`); `commit` says so on
    `branch` (empty: the branch we are on). `back`: it is one that ran there before.
    """

    release: Release
    deployment: str
    commit: str
    branch: str = ""
    already: bool = False
    back: bool = False
    share: float = 0.0
    mode: str = ""


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment runs. `did`: `nothing`, `started`, `replaced` another release, `restarted` the same one with other settings (as another token), or
    `put back` what had drifted. `verified`: it is signed that the release runs there, or else `unsigned` says why not. `shown` is what a dry run would have done. `canary` is the release that is tried beside, with `share`
    of the requests, `seen` what was seen of both since it began, `judgement` what follows from that, and `stepped` the commit that made it so.
    """

    deployment: str
    release: Release
    address: str = ""
    did: str = ""
    verified: bool = False
    unsigned: str = ""
    shown: str = ""
    canary: Release | None = None
    share: float = 0.0
    mode: str = ""
    seen: Seen | None = None
    judgement: Judgement | None = None
    stepped: str = ""
    seconds: float = 0.0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment as git has it: its release (None: nothing was promoted), whether it is signed that it runs there, what is tried beside it, and why the
    newest release may not go there yet (empty: it may, or is there).
    """

    deployment: str
    release: int | None
    image: str = ""
    verified: bool = False
    canary: int | None = None
    share: float = 0.0
    waits: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """All releases, the oldest first, and all deployments."""

    releases: tuple[Release, ...]
    deployments: tuple[Place, ...]
