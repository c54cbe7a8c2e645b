"""A release that is tried beside the one that runs: judged by what was seen, and the next step committed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from payoff.project.releasing import commits, pins
from payoff.records.release.canary import Arm, Judgement, Seen
from payoff.release import canary

if TYPE_CHECKING:
    from payoff.flows.releasing.book import Book
    from payoff.records.release.settings import DeploymentSpec


class Step(NamedTuple):
    """`commit` is empty when everything stays as it is."""

    judgement: Judgement
    commit: str = ""


NOTHING = Step(Judgement(verdict="wait", because=("nothing is tried beside it",)))


def step(book: Book, spec: DeploymentSpec, pin: pins.Pinned, seen: Seen | None) -> Step:
    """Judge, and commit what follows: the next share, all of it, or nothing any more. What was good as a shadow becomes a canary with the first share."""
    tried = pin.canary
    if tried is None:
        return NOTHING
    others = seen is None or (seen.stable.image, seen.canary.image) != (pin.image, tried.image)
    if seen is None or others:  # of these two, nothing yet: the front may take them over in a moment
        arms = Arm(release=pin.release, image=pin.image), Arm(release=tried.release, image=tried.image)
        seen = Seen(since="", mode=tried.mode, stable=arms[0], canary=arms[1])
    # Each step asks for as much again as the one before: a share that has just become larger is not judged by what a smaller one showed.
    steps = 1 + sum(each < tried.share for each in spec.canary.steps) if tried.mode == "canary" else 1
    asked = {"decisions": steps * spec.canary.decisions, "requests": steps * spec.canary.requests}
    found = canary.judge(seen, msgspec.structs.replace(spec.canary, **asked))
    if found.verdict == "wait" or others:
        return Step(msgspec.structs.replace(found, verdict="wait"))
    if found.verdict == "back":
        after, says = msgspec.structs.replace(pin, canary=None), f"Take release {tried.release} back from {spec.name}"
    else:
        share = canary.next_share(0.0 if tried.mode == "shadow" else tried.share, spec.canary)
        if share >= 1:
            after = pins.Pinned(release=tried.release, statement=tried.statement, image=tried.image)
            says = f"Release {tried.release} gets all of {spec.name}"
        else:
            after = msgspec.structs.replace(pin, canary=msgspec.structs.replace(tried, share=share, mode="canary"))
            says = f"Release {tried.release} gets {share:.0%} of {spec.name}"
    commit = commits.commit(
        book.root,
        {f"deploy/{spec.name}.toml": pins.write(after)},
        f"{says}\n\n{'; '.join(found.because)}\n{_facts(seen)}",
        book.head,
    )
    return Step(found, commit)


def _facts(seen: Seen) -> str:
    lines = [f"Seen since {seen.since} ({seen.mode}):"]
    lines += [
        f"release {each.release}: {each.told}, {each.payoff.count} decisions that should bring {each.payoff.mean:.4g} each"
        for each in (seen.stable, seen.canary)
    ]
    return "\n".join(lines)
