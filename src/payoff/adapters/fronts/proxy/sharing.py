"""Which release answers a request, and what is counted of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, NamedTuple

from payoff.adapters.fronts.proxy.messages import Gone, Reply
from payoff.adapters.fronts.proxy.upstream import SECONDS
from payoff.base.clock import stopwatch
from payoff.records.release.canary import MOST, WIDTH

if TYPE_CHECKING:
    from payoff.adapters.fronts.proxy.messages import Request
    from payoff.adapters.fronts.proxy.state import State
    from payoff.ports.releasing.front import Target
    from payoff.records.release.canary import Arm, Seen

_SHADOWS = 32  # copies under way at once; beyond that, a copy is left out
_COPIED = 64 << 20  # bytes of all of them
_TRIED = 10.0  # seconds that a canary has at least; then the other one is asked


class Heard(NamedTuple):
    """What one release answered, or why it did not. `worth` are the payoffs that it expects of its decisions; None when it should have told them and did not."""

    reply: Reply | Gone
    seconds: float
    worth: list[float] | None

    @property
    def failed(self) -> bool:
        """Whether it is an error whatever the other one answers."""
        return self.reply.status >= 500 or self.worth is None

    def worse(self, other: Heard) -> bool:
        """Whether it refuses what the other one takes. Where both refuse, the client is to blame."""
        return self.reply.status // 100 > other.reply.status // 100

    def given(self) -> Reply:
        """The answer, as good as it is. Raises `Gone`."""
        if isinstance(self.reply, Gone):
            raise self.reply
        return self.reply


async def handle(state: State, request: Request) -> Reply:
    """The answer to a request. Raises `Gone`."""
    routes, seen = state.routes, state.seen
    if routes.canary is None or seen is None or not request.body:
        return await state.pool.ask(routes.stable.address, request)
    chosen = state.chosen(request.body)
    if chosen and routes.mode == "canary":
        return await tried(state, request, routes.stable, routes.canary, seen)
    heard = await ask(state, routes.stable, request)
    if chosen or routes.mode == "canary":
        note(seen.stable, heard, failed=heard.failed)
    size = len(request.body)
    reply = heard.given()
    if chosen and len(state.shadows) < _SHADOWS and state.copied + size <= max(_COPIED, size):
        state.copied += size
        task = asyncio.get_running_loop().create_task(shadow(state, request, routes.canary, seen, heard))
        state.shadows.add(task)
        task.add_done_callback(state.shadows.discard)
    return reply


async def tried(state: State, request: Request, stable: Target, canary: Target, seen: Seen) -> Reply:
    """The canary's answer, if it is good. Otherwise the other one is asked, too: a client never pays for what is tried.

    A canary that refuses (400 to 499) what the other one takes fails: its contract is narrower than clients were promised. Where the other one refuses as well it is the
    client's fault, and counts as an answer. Where that cannot be told, for the other one fails, nobody is blamed.
    """
    heard = await ask(state, canary, request, patience(seen))
    if heard.reply.status < 300 and not heard.failed:
        note(seen.canary, heard, failed=False)
        return heard.given()
    other = await ask(state, stable, request)
    note(seen.canary, heard, failed=heard.failed or heard.worse(other))
    return (heard if other.reply.status >= 500 and not heard.failed else other).given()


async def shadow(state: State, request: Request, target: Target, seen: Seen, stable: Heard) -> None:
    """Ask the one that is tried as well, for nobody but the count."""
    try:
        heard = await ask(state, target, request)
    finally:
        state.copied -= len(request.body)
    one, other = stable.worth or [], heard.worth or []
    uneven = bool(one and other) and len(one) != len(other)
    failed = heard.failed or heard.worse(stable) or uneven
    note(seen.canary, heard, failed=failed)
    if one and other and not failed:
        for mine, its in zip(one, other, strict=True):
            seen.pairs.add(its - mine)


async def ask(state: State, target: Target, request: Request, seconds: float = SECONDS) -> Heard:
    """Ask one of the two."""
    began = stopwatch()
    try:
        reply = await state.pool.ask(target.address, request, seconds)
    except Gone as gone:
        return Heard(gone, stopwatch() - began, [])
    took = stopwatch() - began
    return Heard(reply, took, payoffs(reply) if request.decides and reply.status == 200 else [])


def note(arm: Arm, heard: Heard, *, failed: bool) -> None:
    """Count an answer. What fails tells nothing of money."""
    arm.answered(heard.seconds, failed=failed, refused=400 <= heard.reply.status < 500)
    for each in () if failed else heard.worth or ():
        arm.payoff.add(each)


def patience(seen: Seen) -> float:
    """Seconds that a canary has: three times as long as the other one ever took, and enough where that is quick."""
    slowest = 1e-3 * WIDTH ** (max(seen.stable.latency, default=0) + 1)
    return min(SECONDS, max(_TRIED, 3 * slowest))


def payoffs(reply: Reply) -> list[float] | None:
    """The payoffs that an answer of `/decide` expects; empty where the model knows none (all are null), None when one is no number that can be added up."""
    try:
        found = [each["expected_payoff"] for each in json.loads(reply.body)["decisions"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if all(each is None for each in found):
        return []
    good = all(type(each) in {int, float} and abs(each) <= MOST for each in found)
    return [float(each) for each in found] if good else None
