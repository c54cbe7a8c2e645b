"""What runs a release: a process, a container, a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from payoff.ports.releasing.registry import Registry


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What shall run. `name` is the deployment's with the project's before it (a canary's ends in `-canary`), `deployment` its part after that; `image` is
    the digest of the image's manifest, `release` the number of the release. `variables` are set for the server and are no secrets; a token is an option
    of the deployer's own. `port` is the one that the server listens to inside. `keep`: the digests of images that are to stay on the machine, for
    something of the project runs them or may soon; what else is there of the project's may be removed once this one runs (empty: nothing may). `front`: the
    kind of front that stands before it (empty: none whose kind the deployment's section names); what an earlier one has left in the deployer's own place goes.
    """

    name: str
    image: str
    release: int
    project: str
    deployment: str = ""
    port: int = 8080
    variables: dict[str, str] = {}
    keep: tuple[str, ...] = ()
    front: str = ""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What runs: `image` is the digest of what was really started, as the world says it and not as it was asked for; `address` answers HTTP
    (`http://host:port`); `ready` when its model said so. `why` says what keeps it from being ready.
    """

    image: str
    address: str
    ready: bool
    release: int = 0
    why: str = ""


class Unpacker(Protocol):
    """What has images of releases as folders of this machine."""

    def unpacked(self, wanted: Wanted, images: Registry) -> AbstractContextManager[Path]:
        """The folder that stands for an image, taken from a registry: what a release fills (`opt`, `srv`), every file as its layer has it, with interpreters of this
        machine in the place of the base's. Nobody removes it as long as it is held. Raises `OutsideError` when the registry has no such image, or other bytes.
        """
        ...


def nowhere(_address: str) -> None:
    """Nobody is to be told of a new address."""


class Deployer(Protocol):
    """Deployments by their names. Not thread-safe: one caller. What it runs outlives the program that started it."""

    def state(self, name: str) -> Running | None:
        """What runs under a name now; None when nothing does."""
        ...

    def apply(self, wanted: Wanted, images: Registry, switch: Callable[[str], None] = nowhere) -> Running:
        """Run an image by its digest, taken from a registry, in the place of what runs under that name; answers when it is ready. Nothing is done where
        that very image runs already and is as it should be. `switch` is called with the new one's address when it is ready, and then what ran before
        is let finish what it had taken, and ends. Raises `OutsideError` when the new one does not get ready, and leaves running what ran before, and
        when another program has been changing the deployment for too long. What an earlier call left that was killed half-way is ended, too.
        """
        ...

    def shown(self, wanted: Wanted, images: Registry) -> str:
        """What `apply` would do, as the user of the place would write it (a command line, a manifest). Nothing is done."""
        ...

    def stop(self, name: str) -> None:
        """Run nothing under a name any more; idempotent."""
        ...
