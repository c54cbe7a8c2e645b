"""What a deployment of this kind can be told."""

from __future__ import annotations

import dataclasses
from typing import Any

CAPABILITIES: dict[str, Any] = {"remote": False}


@dataclasses.dataclass(frozen=True)
class Options:
    """`python`: the interpreter, of the image's version (default: one of the name that it has in the image, looked up on the PATH). `token`: what clients must bring,
    as `${TOKEN}`. `folder`: where images are unpacked. `wait`: seconds for a release to get ready; `drain`: seconds for the one before to finish.
    """

    python: str = ""
    token: str = ""
    folder: str = ".payoff/deployments"
    wait: float = 60.0
    drain: float = 30.0
