"""The screen and the document of `payoff release`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.text import count

if TYPE_CHECKING:
    from payoff.records.answers.releasing import Made

_MB = 10**6


def made(answer: Made) -> str:
    """The release, then what is in its image."""
    said = answer.release
    if answer.dry_run:
        head = f"release {said.number} would be {said.image}"
    elif answer.already:
        head = f"release {said.number} is {said.image}, as before"
    else:
        head = f"release {said.number}  {said.image}"
    lines = [head, f"  run    {said.run}, commit {said.commit[:12]}", f"  model  {said.model['sha256']}"]
    if "format" in said.model:
        lines.append(f"         {said.model['format']}, made by {said.model['by']}")
        lines.append(f"         as the run's own on {int(said.model['rows']):,} rows, to {said.model['farthest']}")
    lines += [f"  {each.blob.size / _MB:>8,.1f} MB  {each.says or 'the base image'}" for each in answer.layers]
    lines.append(f"  {count(answer.packages, 'package')}, {count(len(said.verdicts), 'verdict')} passed")
    if not answer.dry_run:
        lines.append(f"  {answer.sent / _MB:,.1f} MB sent in {answer.seconds:.1f} s")
    return "\n".join(lines)
