"""A released model inside its image: what `payoff release` writes there, and how the server opens it.

Beside the model's bytes lie `released.json` (all that an `Offer` says) and two Arrow streams: a few rows that the model knows, and what it said of them in
its run. The rows are left out where a column of theirs may not be written to the log of predictions: an image goes further than a log does.
"""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from payoff.base.errors import Refused, UserError
from payoff.base.hashing import sha256_of
from payoff.data.sealed import tables
from payoff.flows.serve.offered import Offer
from payoff.ports.kit import Kit
from payoff.records.project import Environment, ServingSpec
from payoff.records.serving.served import Served
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

MODEL, SAID, ROWS, ANSWERS = "model.pickle", "released.json", "rows.arrow", "answers.arrow"
# What a container is told by; the values are no secrets, but for the token's.
HOST, PORT, GRPC, TOKEN = "PAYOFF_HOST", "PAYOFF_PORT", "PAYOFF_GRPC_PORT", "PAYOFF_TOKEN"
TOKEN_FILE, TOKEN_AT = "PAYOFF_TOKEN_FILE", "/run/payoff/token"  # a file with the token, where no variable has it
OPEN, HOME, EXPECTED, CERTIFICATE, KEY = (
    "PAYOFF_OPEN",
    "PAYOFF_HOME",
    "PAYOFF_MODEL",
    "PAYOFF_CERTIFICATE",
    "PAYOFF_KEY",
)
_HOME = "/var/lib/payoff"


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """`released.json`. `sha256` is of the bytes of the model, in `file`, `engine` the section that payoffs are computed by."""

    served: Served
    sha256: str
    environment: Environment
    variables: dict[str, str] = {}
    engine: dict[str, Any] = {}
    settings: ServingSpec = ServingSpec()
    file: Literal["model.pickle", "model.onnx"] = "model.pickle"


def seal(offer: Offer, sha256: str) -> dict[str, bytes]:
    """The files that stand for an offer, beside its model."""
    rows, answers = offer.known
    if {each.name for each in offer.served.features} - set(offer.served.log.columns):
        rows, answers = rows.slice(0, 0), answers.slice(0, 0)
    said = Sealed(
        served=offer.served,
        sha256=sha256,
        environment=offer.environment,
        variables=offer.variables,
        engine=dict(offer.engine),
        settings=offer.settings,
        file=name(offer),
    )
    return {
        SAID: msgspec.json.format(msgspec.json.encode(said, order="sorted"), indent=1),
        ROWS: tables.encoded(rows),
        ANSWERS: tables.encoded(answers),
    }


def name(offer: Offer) -> Literal["model.pickle", "model.onnx"]:
    """What the model's file is called in an image; by it the worker knows that it is to open no pickle."""
    return "model.onnx" if offer.model.suffix == ".onnx" else "model.pickle"


def opened(folder: str, environ: MutableMapping[str, str]) -> Offer:
    """The offer whose files lie in a folder of an image (`/opt/model`), its environment in `/opt/environment` and its code in `/srv`. A token that is in a
    file is put among the variables.

    Refused when the model's bytes are not those that were released; nothing of them is run before.
    """
    place = Path(folder).absolute()
    top = place.parents[1]
    try:
        said = msgspec.json.decode((place / SAID).read_bytes(), type=Sealed)
        known = tables.decoded((place / ROWS).read_bytes()), tables.decoded((place / ANSWERS).read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(
            f"{folder} holds no released model ({type(error).__name__})",
            code="PO-J018",
            expected=f"the files that payoff release writes: {MODEL}, {SAID}, {ROWS}, {ANSWERS}",
            remedy="payoff release RUN, and start a container of its image; on this machine: payoff serve RUN",
        ) from None
    found = sha256_of(place / said.file)
    if found != said.sha256 or environ.get(EXPECTED, found) != found:
        raise Refused(
            "the model in this image is not the one that was released",
            code="PO-J019",
            expected=f"bytes with the digest {environ.get(EXPECTED, said.sha256)}",
            remedy="pull the image again by its digest; where it stays so, tell who runs the registry",
        )
    home = _home(environ)
    _read_token(environ)
    return Offer(
        served=said.served,
        root=top / "srv",
        home=home,
        python=top / "opt" / "environment" / "bin" / "python",
        model=place / said.file,
        environment=said.environment,
        variables=said.variables,
        kit=Kit({"engine": functools.partial(assemble.engine, said.engine, home)}, {}),
        known=known,
        settings=_settings(said.settings, environ),
        engine=said.engine,
    )


def _home(environ: Mapping[str, str]) -> Path:
    """Where the log of predictions goes, and what does not fit into memory: a folder that outlives the container where one is mounted."""
    named = environ.get(HOME, _HOME if os.access(_HOME, os.W_OK) else "")
    try:
        home = Path(named or os.path.join(tempfile.gettempdir(), "payoff"))
        home.mkdir(parents=True, exist_ok=True)
    except OSError:
        named = named or "the temporary folder"
        raise UserError(
            f"{named} cannot be written to, and the log of predictions goes there",
            code="PO-J040",
            expected=f"a folder that user {os.getuid()} may write to, at {_HOME} or where {HOME} says",
            remedy=f"mount one: podman run --volume log:{_HOME}:U ..., or --tmpfs /tmp; without a log: --no-log",
        ) from None
    return home


def _read_token(environ: MutableMapping[str, str]) -> None:
    """Variables can be read by who inspects a container; what is mounted into it cannot. One that is set goes first; an image names a file that need not be there."""
    file = environ.get(TOKEN_FILE, "")
    if not file or environ.get(TOKEN) or (file == TOKEN_AT and not os.path.exists(file)):
        return
    try:
        environ[TOKEN] = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UserError(
            f"the token cannot be read from {file} ({type(error).__name__})",
            code="PO-A181",
            expected=f"a file with one long random text that user {os.getuid()} may read, where {TOKEN_FILE} says",
            remedy=f"openssl rand -hex 32 | podman secret create token -; podman run --secret token,target={file},mode=0444 ...",
        ) from None


def _settings(settings: ServingSpec, environ: Mapping[str, str]) -> ServingSpec:
    """The project's settings, as the container's variables complete them. What ends TLS stands before the container, unless it is told two files."""
    token = settings.token if settings.token[2:-1] in environ else f"${{{TOKEN}}}"
    if token[2:-1] not in environ:
        if environ.get(OPEN) != "1":
            raise UserError(
                "the server has no token, and would answer whoever reaches it",
                code="PO-J013",
                expected=f"the variable {settings.token[2:-1] or TOKEN} with a long random text",
                remedy=f"podman run --env {TOKEN}=$(openssl rand -hex 32) ...; where nobody else can reach it: --env {OPEN}=1",
            )
        token = ""
    files = environ.get(CERTIFICATE, ""), environ.get(KEY, "")
    return msgspec.structs.replace(settings, token=token, insecure=True, certificate=files[0], key=files[1])
