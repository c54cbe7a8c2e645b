"""`[release]`, `[signing]`, `[approvers]` and `[deployments.NAME]` in payoff.toml."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base import text
from payoff.project.spec import Key, Section
from payoff.records.release.canary import CanarySpec
from payoff.records.release.settings import SIGNERS, DeploymentSpec, ReleaseSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.project.files import Reading
    from payoff.project.toml import Document

_NAME, _SAYS = r"[a-z0-9][a-z0-9-]{0,39}", "lower-case letters, digits and -, up to 40"
SPECS = {
    "release": Section(
        {
            "kind": Key("text", "which kind of registry: layout (a folder, the default) or distribution"),
            "python": Key("text", "the interpreter in the base image, of the environment's version (default: python3)"),
            "base": Section(
                {
                    "kind": Key("text", "which kind of registry has it: layout (the default) or distribution"),
                    "digest": Key(
                        "text",
                        "the digest of its manifest",
                        required=True,
                        pattern=r"sha256:[0-9a-f]{64}",
                        pattern_says="sha256: and 64 hexadecimal digits",
                    ),
                },
                "the image that releases stand on; further keys belong to the kind",
                free=True,
                required=True,
            ),
        },
        "where images of releases go; further keys belong to the kind of registry",
        free=True,
    ),
    "signing": Section(
        {
            "kind": Key("text", "which kind of keys: ssh (the default)"),
            "signers": Key("text", f"the file of who holds which key (default: {SIGNERS})"),
            "releasers": Key("texts", "who may release, by names in that file", required=True),
            "deployers": Key("texts", "who may say that a deployment was verified (default: the releasers)"),
        },
        "who signs releases; further keys belong to the kind of keys",
        free=True,
    ),
    "approvers": Section(
        {},
        "who may approve in which role",
        other=Key("texts", "names in the file of who holds which key"),
    ),
    "deployments": Section(
        {},
        "where releases are deployed",
        other=Section(
            {
                "kind": Key("text", "where it runs: process (on this machine) or container", required=True),
                "after": Key("text", "the deployment in which a release must have been verified before"),
                "approvals": Key("texts", "the roles that must have approved a release"),
                "front": Section(
                    {"kind": Key("text", "which kind of front: proxy (the default)")},
                    "one address for clients, whichever release runs; further keys belong to the kind",
                    free=True,
                ),
                "canary": Section(
                    {
                        "steps": Key("numbers", "shares that a canary goes through (default: [0.1, 0.5])"),
                        "decisions": Key("integer", "decisions of each before it goes on (default: 500)", low=0),
                        "tolerance": Key(
                            "number",
                            "what it may lose per decision, in the charter's currency (default: 0)",
                            low=0,
                            closed=True,
                        ),
                        "confidence": Key("number", "of its bounds (default: 0.95)", low=0.5, high=1),
                        "errors": Key(
                            "number",
                            "the share of answers that may fail beyond the other's (default: 0.01)",
                            low=0,
                            high=1,
                            closed=True,
                        ),
                        "slower": Key("number", "how many times the other's 99th percentile (default: 2)", low=1),
                        "requests": Key("integer", "answers of each before it goes on (default: 200)", low=0),
                    },
                    "when a release that is tried goes on or back",
                ),
            },
            "a deployment; further keys belong to its kind",
            free=True,
        ),
    ),
}


def read(document: Document, reading: Reading, plain: Callable[[Any], Any]) -> ReleaseSpec | None:
    """What the sections say; None where there is no [release]. Names that lead nowhere are findings."""
    table = document.table
    if "release" not in table:
        return None
    release, signing = plain(table["release"]), plain(table.get("signing", {}))
    base = release.pop("base")
    python = release.pop("python", "python3")
    approvers = {role: tuple(names) for role, names in plain(table.get("approvers", {})).items()}
    deployments = tuple(_deployment(name, plain(each), document) for name, each in table.get("deployments", {}).items())
    _check(document, reading, approvers, deployments)
    releasers = tuple(signing.pop("releasers", ()))
    return ReleaseSpec(
        registry=release,
        digest=base.pop("digest"),
        base=base,
        python=python,
        signers=signing.pop("signers", SIGNERS),
        releasers=releasers,
        deployers=tuple(signing.pop("deployers", releasers)),
        signing=signing,
        approvers=approvers,
        deployments=deployments,
        line=document.line(("release",)),
    )


def _deployment(name: str, options: dict[str, Any], document: Document) -> DeploymentSpec:
    return DeploymentSpec(
        name=name,
        kind=options.pop("kind"),
        after=options.pop("after", ""),
        approvals=tuple(options.pop("approvals", ())),
        front=options.pop("front", None),
        canary=msgspec.convert(options.pop("canary", {}), CanarySpec),
        options=options,
        line=document.line(("deployments", name)),
    )


def _check(
    document: Document, reading: Reading, approvers: dict[str, tuple[str, ...]], deployments: tuple[DeploymentSpec, ...]
) -> None:
    known: list[str] = []
    # So what is tried beside a deployment is called.
    tried = {f"{each.name}-canary" for each in deployments}
    for role in approvers:
        if not re.fullmatch(_NAME, role):
            reading.error(
                "PO-P124",
                f"a role to approve in cannot be named {role!r}",
                document.place(("approvers", role)),
                expected=_SAYS,
                remedy="rename it in [approvers] of payoff.toml, then: payoff check",
            )
    for each in deployments:
        path = ("deployments", each.name)
        if not re.fullmatch(_NAME, each.name) or each.name in tried:
            beside = f"another name: what is tried beside {each.name.removesuffix('-canary')} is called so"
            reading.error(
                "PO-P120",
                f"a deployment cannot be named {each.name!r}",
                document.place(path),
                expected=beside if each.name in tried else _SAYS,
                remedy=f"rename it in payoff.toml:{each.line}, then: payoff check",
            )
        if each.after and each.after not in known:
            reading.error(
                "PO-P121",
                f"the deployment {each.name} comes after {each.after!r}, which does not stand before it",
                document.place(path),
                expected=text.did_you_mean(each.after, known),
                remedy=f"correct after in payoff.toml:{each.line}, then: payoff check",
            )
        for role in each.approvals:
            if not approvers.get(role):
                reading.error(
                    "PO-P122",
                    f"the deployment {each.name} asks for the approval of {role!r}, a role in which nobody may approve",
                    document.place(path),
                    expected=text.did_you_mean(role, approvers),
                    remedy=f'add {role} = ["name@example.org"] to [approvers] in payoff.toml, then: payoff check',
                )
        if not all(0 < share < 1 for share in each.canary.steps):
            reading.error(
                "PO-P123",
                f"the canary of {each.name} has a step that is no share",
                document.place((*path, "canary")),
                expected="numbers between 0 and 1, as [0.1, 0.5]",
                remedy=f"correct steps in payoff.toml:{each.line}, then: payoff check",
            )
        known.append(each.name)
