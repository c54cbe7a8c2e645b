"""`[release]` and `[signing]` in payoff.toml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payoff.project.spec import Key, Section
from payoff.records.release.settings import SIGNERS, ReleaseSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.project.toml import Document

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
        },
        "who signs releases; further keys belong to the kind of keys",
        free=True,
    ),
}


def read(document: Document, plain: Callable[[Any], Any]) -> ReleaseSpec | None:
    """What the sections say; None where there is no [release]."""
    table = document.table
    if "release" not in table:
        return None
    release, signing = plain(table["release"]), plain(table.get("signing", {}))
    base = release.pop("base")
    return ReleaseSpec(
        python=release.pop("python", "python3"),
        registry=release,
        digest=base.pop("digest"),
        base=base,
        signers=signing.pop("signers", SIGNERS),
        releasers=tuple(signing.pop("releasers", ())),
        signing=signing,
        line=document.line(("release",)),
    )
