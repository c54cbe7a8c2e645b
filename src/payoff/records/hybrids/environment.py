"""Environments that were made, as what keeps them knows them."""

from __future__ import annotations

from typing import Literal

import msgspec


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An environment that is there. `digest` is its lock's; `name` and `folder` are those of the environment it was made for first.

    `bytes` are all its files. Files are linked, not copied: `own_bytes` leaves out what an environment that was used later has too, so that the sum over
    all is what they take on the disk together (the installer's cache has links to the same files). `made` and `used` are UTC times as text, `used` the last that something began to run in it. `in_use`: something does now. `whole` is
    false for what an interrupted installation left.
    """

    digest: str
    name: str = ""
    folder: str = ""
    python: str = ""
    packages: int | None = None
    bytes: int = 0
    own_bytes: int = 0
    made: str = ""
    used: str = ""
    in_use: bool = False
    whole: bool = True


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """A lock held against its pyproject.toml, and what is installed against the lock; `said` is the reason where one of both is not as it should be."""

    lock: Literal["current", "stale", "unknown"]
    installed: Literal["whole", "absent", "changed"]
    said: str = ""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a command in an environment has, and what it may reach.

    `folder` has `tables` (Arrow IPC files, and `tables.json`: name -> a few words about it) and `work`, where the command begins and which alone it can write to. `hidden` are folders and files that
    it does not see, `visible` folders inside of those that it sees all the same; everything else it can read.
    Without `network` it reaches no other program but its own, also not on this machine.
    """

    folder: str
    hidden: tuple[str, ...] = ()
    visible: tuple[str, ...] = ()
    network: bool = True
