"""What payoff.toml says of releases: where images go, who signs, who may approve, where a release is deployed and in which order."""

from __future__ import annotations

from typing import Any

import msgspec

from payoff.records.release.canary import CanarySpec

SIGNERS = "deploy/allowed_signers"


class DeploymentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A `[deployments.NAME]` section. `after`: the deployment in which a release must have been verified before; `approvals`: the roles that must have approved it.

    `front` is the section of what stands before it (None: nothing does, clients ask the release itself), `canary` the rules of a release that is tried.
    """

    name: str
    kind: str
    after: str = ""
    approvals: tuple[str, ...] = ()
    front: dict[str, Any] | None = None
    canary: CanarySpec = CanarySpec()
    options: dict[str, Any] = {}
    line: int = 0


class ReleaseSpec(msgspec.Struct, frozen=True, kw_only=True):
    """`registry` and `base` are sections of a registry's adapter (`kind` among their keys); `digest` names the base image in its registry, `python` is
    the interpreter in it. `signing` is the section of the signer's adapter. `releasers`, `deployers` and `approvers` (by role) are names in `signers`, the
    repository's list of who holds which key.
    """

    registry: dict[str, Any] = {}
    base: dict[str, Any] = {}
    digest: str = ""
    python: str = "python3"
    signing: dict[str, Any] = {}
    signers: str = SIGNERS
    releasers: tuple[str, ...] = ()
    deployers: tuple[str, ...] = ()
    approvers: dict[str, tuple[str, ...]] = {}
    deployments: tuple[DeploymentSpec, ...] = ()
    line: int = 0

    def deployment(self, name: str) -> DeploymentSpec | None:
        """The deployment of that name, if there is one."""
        return next((each for each in self.deployments if each.name == name), None)
