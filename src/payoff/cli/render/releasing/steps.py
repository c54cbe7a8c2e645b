"""The screens and documents of approve, promote, deploy and rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base.errors import PayoffError

if TYPE_CHECKING:
    from payoff.records.answers.releasing import Approved, Deployed, Promoted


def document(answer: msgspec.Struct) -> str:
    """The JSON document of an answer: its fields, under the names that they have."""
    return msgspec.json.format(msgspec.json.encode(answer), indent=2).decode()


def line(answer: Deployed | PayoffError) -> str:
    """A JSON document on one line: what following tells."""
    if isinstance(answer, PayoffError):
        said = {"error": {"code": answer.code, "what": answer.what, "expected": answer.expected, "try": answer.remedy}}
        return msgspec.json.encode(said).decode()
    return msgspec.json.encode(answer).decode()


def approved(answer: Approved) -> str:
    """Who approved what, and what is still missing where."""
    where = f" for {answer.deployment}" if answer.deployment else ""
    was = "was approved" if answer.already else "approved"
    lines = [f"release {answer.release.number} {was}{where} as {answer.role} by {', '.join(answer.by)}"]
    lines += [f"  {name} waits for {', '.join(roles)}" for name, roles in answer.missing.items()]
    if not answer.missing:
        lines.append(f"  Next: payoff promote {answer.release.number} {answer.deployment or 'DEPLOYMENT'}")
    return "\n".join(lines)


def promoted(answer: Promoted) -> str:
    """What a deployment should run."""
    said = f"{answer.deployment} should run release {answer.release.number}"
    if answer.already:
        return f"{said} already\n  Next: payoff deploy {answer.deployment}"
    where = f" on branch {answer.branch}" if answer.branch else ""
    follows = (
        f"git push, and a pull request of {answer.branch}" if answer.branch else f"payoff deploy {answer.deployment}"
    )
    again = " again" if answer.back else ""
    return f"{said}{again} (commit {answer.commit[:12]}{where})\n  Next: {follows}"


def deployed(answer: Deployed) -> str:
    """What a deployment runs."""
    if answer.shown:
        return answer.shown
    did = "as it did" if answer.did == "nothing" else answer.did
    lines = [f"{answer.deployment} runs release {answer.release.number} at {answer.address} ({did})"]
    lines.append(f"  {answer.release.image}")
    lines.append("  signed: it was verified here" if answer.verified else f"  not signed: {answer.unsigned}")
    return "\n".join(lines)
