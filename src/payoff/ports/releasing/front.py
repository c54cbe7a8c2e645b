"""What stands before a deployment: one address for clients, which shares what comes in between the release that runs and one that is tried."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from payoff.records.release.canary import Seen


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A running release: its address (`http://host:port`), its number, its image."""

    address: str
    release: int
    image: str


class Routes(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests go. `share` of them is answered by the one that is tried; in the mode `shadow` it gets a copy of that share, and nobody hears its answer.

    The same body goes the same way, so that a client that asks again is not answered by another model.
    """

    stable: Target
    canary: Target | None = None
    share: float = 0.0
    mode: Literal["canary", "shadow"] = "canary"


class Front(Protocol):
    """Fronts by the names of their deployments. What one runs outlives the program that started it."""

    def routes(self, name: str) -> Routes | None:
        """Where a front sends requests now; None when there is none that runs."""
        ...

    def route(self, name: str, routes: Routes) -> str:
        """Send requests there from now on; answers the address of the front, which is started if it does not run. What is under way is answered from where
        it was sent. What was seen of a canary starts anew when one of the two images is another.
        """
        ...

    def seen(self, name: str) -> Seen | None:
        """What was seen of the two since the canary began; None when nothing is tried."""
        ...

    def stop(self, name: str) -> None:
        """End a front; idempotent."""
        ...
