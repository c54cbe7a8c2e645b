"""A base image, from its manifest and configuration: OCI's or Docker's (whose media types have twins in OCI)."""

from __future__ import annotations

import json

from payoff.base.errors import UserError
from payoff.records.release.image import LAYER, Base, Blob, Layer

_TWINS = {
    "application/vnd.docker.image.rootfs.diff.tar": LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{LAYER}+gzip",
}


def config_of(manifest: bytes) -> Blob:
    """Where the configuration is, by an image's manifest."""
    try:
        said = json.loads(manifest)["config"]
        return Blob(media_type=said["mediaType"], digest=said["digest"], size=said["size"])
    except (ValueError, KeyError, TypeError):
        raise unfit("its manifest is that of no image (an index of several platforms has one for each)") from None


def base(digest: str, manifest: bytes, config: bytes) -> Base:
    """The image, as ours stand on it."""
    try:
        listed, said = json.loads(manifest)["layers"], json.loads(config)
        diffs = said["rootfs"]["diff_ids"]
        layers = tuple(
            Layer(
                blob=Blob(
                    media_type=_TWINS.get(each["mediaType"], each["mediaType"]),
                    digest=each["digest"],
                    size=each["size"],
                ),
                diff_id=diff,
            )
            for each, diff in zip(listed, diffs, strict=True)
        )
        return Base(
            digest=digest,
            architecture=said["architecture"],
            os=said["os"],
            variant=said.get("variant", ""),
            layers=layers,
            environment=tuple((said.get("config") or {}).get("Env") or ()),
        )
    except (ValueError, KeyError, TypeError):
        raise unfit("its layers and its configuration do not fit") from None


def unfit(
    why: str,
    expected: str = "the digest of one platform's image manifest",
    remedy: str = "skopeo inspect --raw docker://NAME, and write that manifest's digest as digest in [release.base]",
) -> UserError:
    """A base image that none of ours can stand on."""
    return UserError(
        f"the base image cannot be used: {why}",
        code="PO-A070",
        expected=expected,
        remedy=remedy,
    )
