"""The release record: what is in an image, which verdicts it passed, what came before it; the envelope that signs it; and who approved it."""

from __future__ import annotations

from typing import Any

import msgspec

from payoff.records.evidence import Verdict

STATEMENT = "https://in-toto.io/Statement/v1"
IN_TOTO = "application/vnd.in-toto+json"
RELEASE = "https://payoff.dev/release/v1"
APPROVAL = "https://payoff.dev/approval/v1"
VERIFIED = "https://payoff.dev/verified/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
SBOM = "application/vnd.cyclonedx+json"


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What must be before a release runs in a deployment: verified in the deployment `after`, approved by somebody in each role of `approvals`."""

    after: str = ""
    approvals: tuple[str, ...] = ()


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Who may do what, as a release signed it: `known` is the text of the list of who holds which key, the other names are principals in it.

    It holds from this release on, and only somebody whom the policy before it lets release could sign it: who can write to the repository cannot
    thereby name himself.
    """

    known: str
    releasers: tuple[str, ...]
    deployers: tuple[str, ...] = ()
    approvers: dict[str, tuple[str, ...]] = {}
    deployments: dict[str, Stage] = {}


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """The predicate of a release's statement. Its subject is the image.

    `number` counts a project's releases from 1; `previous` is the SHA-256 of the statement before it (empty for the first). `image` and
    `base` are digests of manifests; `model` is the model's content (`id` of the artifact, `sha256` of its file; of one that was converted also its `format`, the
    `sha256` `of` the run's own, `by` which packages with which `lock`, and how far from it at most on how many `rows`), `data` maps tables to the snapshots that
    the run read, `environments` names to the digests of their locks. `sbom` and `provenance` are the SHA-256 of the documents attached
    to the image. `gain` is the model's gain a year with its interval, as the run's record has it. `judged` is the digest of the charter
    and the contracts that its verdicts were given by, `policy` who may release, approve and deploy from here on.
    """

    number: int
    project: str
    name: str
    run: str
    created: str
    by: str
    image: str
    base: str
    model: dict[str, str]
    data: dict[str, str] = {}
    environments: dict[str, str] = {}
    charter: str = ""
    commit: str = ""
    tree: str = ""
    currency: str = ""
    gain: dict[str, Any] = {}
    verdicts: tuple[Verdict, ...] = ()
    sbom: str = ""
    provenance: str = ""
    previous: str = ""
    version: str = ""
    judged: str = ""
    policy: Policy = Policy(known="", releasers=())


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """The predicate of an approval's statement: somebody says, in a role, that a release (by its statement's SHA-256) may run in a deployment.

    An empty `deployment` means every one.
    """

    release: str
    number: int
    project: str
    role: str
    deployment: str = ""
    created: str = ""
    says: str = ""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """The predicate of a statement that a release (by its statement's SHA-256) ran in a deployment, with its image's digest, and answered."""

    release: str
    number: int
    project: str
    deployment: str
    created: str = ""


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """`keyid` is a hint only (the key's fingerprint); what counts is whom `sig` verifies for. `sig` is base64."""

    sig: str
    keyid: str = ""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A DSSE envelope (https://github.com/secure-systems-lab/dsse, v1.0). `payload` is base64 of the statement's bytes."""

    payload: str
    payload_type: str = msgspec.field(name="payloadType", default=IN_TOTO)
    signatures: tuple[Signature, ...] = ()
