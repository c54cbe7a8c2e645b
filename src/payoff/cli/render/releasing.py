"""The screens and documents of release, approve, promote, deploy and rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base.text import count

if TYPE_CHECKING:
    from payoff.records.answers.releasing import Approved, Deployed, Made, Promoted

_MB = 10**6


def document(answer: msgspec.Struct) -> str:
    """The JSON document of an answer: its fields, under the names that they have."""
    said: dict[str, Any] = msgspec.to_builtins(answer)
    return msgspec.json.format(msgspec.json.encode(said), indent=2).decode()


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
    lines += [f"  {each.blob.size / _MB:>8,.1f} MB  {each.says or 'the base image'}" for each in answer.layers]
    lines.append(f"  {count(answer.packages, 'package')}, {count(len(said.verdicts), 'verdict')} passed")
    if not answer.dry_run:
        lines.append(f"  {answer.sent / _MB:,.1f} MB sent in {answer.seconds:.1f} s")
    return "\n".join(lines)


def approved(answer: Approved) -> str:
    """Who approved what, and what is still missing where."""
    where = f" for {answer.deployment}" if answer.deployment else ""
    lines = [f"release {answer.release.number} approved{where} as {answer.role} by {', '.join(answer.by)}"]
    lines += [f"  {name} waits for {', '.join(roles)}" for name, roles in answer.missing.items()]
    return "\n".join(lines)


def promoted(answer: Promoted) -> str:
    """What a deployment should run."""
    if answer.already:
        return f"{answer.deployment} should run release {answer.release.number} already"
    where = f" on branch {answer.branch}" if answer.branch else ""
    return (
        f"{answer.deployment} should run release {answer.release.number} (commit {answer.commit[:12]}{where})\n"
        f"  Next: payoff deploy {answer.deployment}"
    )


def deployed(answer: Deployed) -> str:
    """What a deployment runs."""
    said = f"{answer.deployment} runs release {answer.release.number} at {answer.address} ({answer.did})"
    return f"{said}\n  {answer.release.image}" + ("\n  verified, and signed" if answer.verified else "")
