"""`payoff export containerfile RUN`: a folder that podman, buildah or docker make an image of, with the files that a released image has.

Nothing is resolved or downloaded when it is built: what is installed is what was locked, as it was checked here. `requirements.txt` says the same with
hashes, for scanners, and for who must install it anew on another kind of machine.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff import project as projects
from payoff.base.clock import now
from payoff.base.errors import Refused, UserError
from payoff.base.files import write_atomically
from payoff.flows.exporting.subject import model
from payoff.flows.exporting.subject import subject as found_of
from payoff.flows.releasing import book as books
from payoff.flows.releasing.packing import files
from payoff.flows.releasing.packing.parts import parts as all_parts
from payoff.project.past import folder as past
from payoff.records.answers.exporting import Exported
from payoff.release import layer
from payoff.wiring import releasing

if TYPE_CHECKING:
    from payoff.flows.exporting.subject import Subject
    from payoff.flows.releasing.packing.parts import Parts
    from payoff.ports.releasing.registry import Registry
    from payoff.records.answers.exporting import ExportRequest
    from payoff.records.release.image import Member
    from payoff.release.image import Image


def folder(request: ExportRequest, place: Path) -> Exported:
    """Containerfile, requirements, and `layers/` with what goes into the image. Refused when a release would not come out as it was released."""
    found = found_of(request.project, request.what)
    model(found)
    book = found.book or books.opened(request.project)
    record = found.record
    scratch = book.root / ".payoff" / "releasing" / f"export-{record.run}-{now().replace(':', '')}"
    try:
        past.write(book.root, record.git, scratch, record.run)
        past.remember(book.root, scratch)
        project = projects.load(scratch, record.git)
        registry = releasing.base(book.project, book.settings)
        reference = _base(request.image, registry, book.settings.digest)
        parts = all_parts(book, record, project, registry)
        made = parts.image()
        _refuse_other(found, made)
        names = []
        for packed in parts.layers:
            names.append(packed.layer.says.split()[0])
            _written(place / "layers" / names[-1], packed.members())
        requirements = releasing.requirements(parts.offer.environment, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    write_atomically(place / "requirements.txt", requirements)
    write_atomically(place / "Containerfile", _text(found, parts, made, reference, names))
    return Exported(format=request.format, run=record.run, release=found.release)


def _base(image: str, registry: Registry, digest: str) -> str:
    """What to build on, as a builder pulls it: the very image that releases stand on."""
    kind, _, at = registry.address.partition(":")
    if image.endswith(f"@{digest}"):
        return image
    if kind == "docker" and not image:
        return f"{at.removeprefix('//')}@{digest}"
    raise UserError(
        f"{image} is not the image that releases stand on"
        if image
        else "[release.base] is a folder, which no builder pulls from",
        code="PO-A135",
        expected=f"--image host/name@{digest}",
        remedy=f"skopeo copy {registry.address} docker://host/name, and name it with --image",
    )


def _refuse_other(found: Subject, made: Image) -> None:
    if found.link is not None and found.link.release.image != made.digest:
        raise Refused(
            f"what would be exported is not the image of release {found.release}: {made.digest[:19]}..., not {found.link.release.image[:19]}...",
            code="PO-A136",
            expected=f"the same bytes, which Payoff {found.link.release.version} packed",
            remedy="install that version of Payoff; or take the image itself from the registry",
        )


def _written(folder_: Path, members: list[Member]) -> None:
    """The files of a layer, as copies: nobody is given a second name of what the store has."""
    for member in layer.arrange(members):
        path = folder_ / member.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if member.kind == "folder":
            path.mkdir(exist_ok=True)
        elif member.kind == "link":
            path.symlink_to(member.target)
        else:
            with open(path, "wb") as stream:
                stream.writelines(files.content(member) if member.source else [member.data])
            path.chmod(0o755 if member.executable else 0o644)


def _text(found: Subject, parts: Parts, made: Image, reference: str, names: list[str]) -> str:
    """The Containerfile; starts as the released image does."""
    starts: dict[str, Any] = json.loads(made.config)["config"]
    known = set(parts.ground.base.environment)
    of = f"release {found.release} (run {found.record.run})" if found.release else f"run {found.record.run}"
    lines = [
        f"# {parts.project.id}: {of}, with the files of its image {made.digest}.",
        "# Build: podman build . (or buildah build, docker build -f Containerfile .). Nothing is downloaded but the base.",
        f"FROM {reference}",
        *(f"COPY layers/{name}/ /" for name in names),
        *(
            f"ENV {each.partition('=')[0]}={_quoted(each.partition('=')[2])}"
            for each in starts["Env"]
            if each not in known
        ),
        *(f"LABEL {_quoted(name)}={_quoted(value)}" for name, value in sorted(starts["Labels"].items())),
        *(f"EXPOSE {port.partition('/')[0]}" for port in sorted(starts["ExposedPorts"])),
        f"WORKDIR {starts['WorkingDir']}",
        f"USER {starts['User']}",
        f"STOPSIGNAL {starts['StopSignal']}",
        f"ENTRYPOINT {json.dumps(starts['Entrypoint'])}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    """A value as a Containerfile has it: nothing in it is a variable's name."""
    said = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{said}"'
