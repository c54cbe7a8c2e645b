"""The screens and documents of approve, promote, deploy and rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base.errors import PayoffError

if TYPE_CHECKING:
    from payoff.records.answers.releasing import Approved, Deployed, Promoted, Standing


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
    if answer.share:
        how = "copies of " if answer.mode == "shadow" else ""
        said = f"{answer.deployment} should try release {answer.release.number} with {how}{answer.share:.0%} of the requests"
    if answer.already:
        return f"{said} already\n  Next: payoff deploy {answer.deployment}"
    where = f" on branch {answer.branch}" if answer.branch else ""
    follows = (
        f"git push -u origin {answer.branch}, and a pull request of it"
        if answer.branch
        else f"payoff deploy {answer.deployment}"
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
    lines += _tried(answer)
    lines.append("  signed: it was verified here" if answer.verified else f"  not signed: {answer.unsigned}")
    return "\n".join(lines)


def _tried(answer: Deployed) -> list[str]:
    lines = []
    if answer.canary is not None:
        how = "gets copies of" if answer.mode == "shadow" else "answers"
        lines.append(f"  release {answer.canary.number} {how} {answer.share:.0%} of the requests")
    for each in (answer.seen.stable, answer.seen.canary) if answer.seen else ():
        worth = (
            f", {each.payoff.count:,} decisions that should bring {each.payoff.mean:,.2f} each"
            if each.payoff.count
            else ""
        )
        lines.append(f"    release {each.release}: {each.told}{worth}")
    if answer.judgement is not None:
        word = {"advance": "it goes on", "back": "it goes back", "wait": "it stays as it is"}[answer.judgement.verdict]
        lines.append(
            f"  {word}: {'; '.join(answer.judgement.because)}"
            + (f" (commit {answer.stepped[:12]})" if answer.stepped else "")
        )
    return lines


def standing(answer: Standing) -> str:
    """The newest releases, then each deployment with its release."""
    if not answer.releases:
        return "no release yet\n  Next: payoff release"
    lines = ["releases"]
    for each in answer.releases[:-6:-1]:
        worth = f"  {each.gain['mean']:,.0f} {each.currency} a year" if "mean" in each.gain else ""
        lines.append(f"  {each.number:>4}  run {each.run}  {each.image[:19]}...{worth}")
    lines.append("deployments" if answer.deployments else "no deployments yet: [deployments.NAME] in payoff.toml")
    width = max((len(each.deployment) for each in answer.deployments), default=0)
    for place in answer.deployments:
        runs = (
            "nothing yet"
            if place.release is None
            else f"release {place.release}{'' if place.verified else ', not verified yet'}"
        )
        tried = f"; release {place.canary} is tried with {place.share:.0%}" if place.canary else ""
        lines.append(f"  {place.deployment:<{width}}  {runs}{tried}")
        if place.waits:
            lines.append(f"  {'':<{width}}    {place.waits}")
    return "\n".join(lines)
