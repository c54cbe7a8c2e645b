"""All that an image of a run is made of, and what is said of it: layers, bill of materials, provenance, release record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from payoff import __version__
from payoff.base import hashing
from payoff.base.clock import now
from payoff.base.errors import UserError
from payoff.flows import watching
from payoff.flows.converting import onnx as converting
from payoff.flows.releasing import book as books
from payoff.flows.releasing.judged import judged
from payoff.flows.releasing.packing import files, ground, installed, kept
from payoff.flows.serve import offer as offers
from payoff.flows.serve import released
from payoff.records.release.image import Start
from payoff.records.release.release import IN_TOTO, PROVENANCE, SBOM, Release
from payoff.release import documents, image
from payoff.release import envelope as envelopes

if TYPE_CHECKING:
    from payoff.flows.releasing.packing.kept import Packed
    from payoff.flows.serve.offered import Offer
    from payoff.ports.releasing.registry import Registry
    from payoff.records.project import Project
    from payoff.records.run import RunRecord
    from payoff.release.image import Image

PORT = 8080
FOLDER = Path(".payoff", "releasing")  # what is known of layers from before


class Parts(NamedTuple):
    """`layers` are ours, in their order over the base; `model` is the digest of the model's bytes (`sha256:...`); `converted` says of
    what and how they were made, where they are not the run's own.
    """

    book: books.Book
    run: RunRecord
    project: Project
    offer: Offer
    model: str
    converted: dict[str, str]
    ground: ground.Ground
    layers: tuple[Packed, ...]

    def image(self) -> Image:
        """The image; nothing is written."""
        python = f"/{installed.OURS}/bin/python"
        start = Start(
            command=(python, "-P", "-B", "-m", "payoff", "serve", "--released", f"/{files.MODEL}"),
            environment={released.HOST: "0.0.0.0", released.PORT: str(PORT), released.TOKEN_FILE: released.TOKEN_AT},  # noqa: S104 - inside a container, whose ports are published where the deployment says
            folder=f"/{files.CODE}",
            ports=(PORT,),
            labels={"org.opencontainers.image.title": self.project.id, "dev.payoff.model": self.model},
        )
        return image.image(self.ground.base, [each.layer for each in self.layers], start)

    @property
    def packages(self) -> list[documents.Distribution]:
        """Every Python package in the image."""
        return [each for packed in self.layers for each in packed.distributions]

    def documents(self, made: Image) -> dict[str, tuple[str, bytes]]:
        """Bill of materials and provenance: name -> its artifact type and its bytes."""
        git = self.run.git
        lock = f"blake2b:{self.offer.environment.digest}"
        materials = {"lock": lock, "model": self.model, "base": self.ground.base.digest}
        named = documents.Named(self.project.id, made.digest)
        bill = documents.bill(self.run.run, named, self.model, self.packages, self.ground.contents, version=__version__)
        said = documents.provenance(self.run.run, (git.commit if git else None) or "", materials, version=__version__)
        built = envelopes.statement(self.project.id, made.digest, PROVENANCE, said)
        return {
            "sbom": (SBOM, bill),
            "provenance": (IN_TOTO, books.encoded(envelopes.seal(built, self.book.signer.sign))),
        }

    def record(self, made: Image, pushed: dict[str, str]) -> Release:
        """What is signed."""
        run, links = self.run, self.book.links
        assert run.model is not None  # noqa: S101 - refused before
        return Release(
            number=len(links) + 1,
            project=self.project.id,
            name=self.project.id,
            run=run.run,
            # A clock that was set back must not date a release before the one it follows.
            created=max(now(), links[-1].release.created) if links else now(),
            by=watching.who(),
            image=made.digest,
            base=self.ground.base.digest,
            model={"id": run.model.id, "sha256": self.model, **self.converted},
            data={name: each.id for name, each in sorted(run.tables.items())},
            environments={each.name: each.digest for each in run.environments}
            | ({self.offer.environment.name: self.offer.environment.digest} if self.converted else {}),
            charter=self.project.files.get("charter.toml", ""),
            commit=(run.git.commit if run.git else None) or "",
            currency=run.valuation.currency if run.valuation else "",
            gain=msgspec.to_builtins(run.valuation.gain) if run.valuation else {},
            verdicts=run.verdicts,
            sbom=pushed.get("sbom", ""),
            provenance=pushed.get("provenance", ""),
            previous=links[-1].digest if links else "",
            version=__version__,
            judged=judged(self.project),
            policy=self.book.written,
        )


def parts(book: books.Book, record: RunRecord, project: Project, base: Registry, *, onnx: bool = False) -> Parts:
    """The parts of the image of a run; `project` are its files as they were, in a folder of their own, `base` has the base image. With `onnx` the model
    is converted, and its environment is that of the converted model.
    """
    _refuse_without(record, project)
    remembered = book.root / FOLDER
    found = ground.ground(book.settings, base, remembered / "bases")
    offer = offers.of(book.opened, record, project, lambda _line: None)
    _refuse_other_python(found, offer)
    made = None
    if onnx:
        offer, made = converting.converted(offer, book.opened, record, lambda _line: None)
    model = hashing.sha256_of(offer.model)
    (site,) = offer.python.parents[1].resolve().glob("lib/python3*/site-packages")
    locked = installed.locked(site, offer.environment.packages)
    served = installed.served()
    place = kept.Place(remembered / "layers", offer.python, found.interpreter)
    return Parts(
        book=book,
        run=record,
        project=project,
        offer=offer,
        model=model,
        converted={} if made is None else made.said(),
        ground=found,
        # What changes least comes first: a new model alone is one new layer.
        layers=(
            kept.packed(
                f"payoff {__version__}",
                __version__,
                [*installed.watched(served), *map(str, installed.own_files())],
                lambda: installed.ours(found.interpreter),
                place,
            ),
            kept.packed(
                f"environment {offer.environment.name}",
                offer.environment.digest,
                installed.watched(locked),
                lambda: installed.environment(locked, found.interpreter),
                place,
            ),
            kept.plain("code", files.code(Path(project.root), project)),
            kept.plain("model", files.model(offer.model, released.name(offer), released.seal(offer, model))),
        ),
    )


def _refuse_without(record: RunRecord, project: Project) -> None:
    charter = record.charter
    step = project.step(charter.model_step) if charter else None
    locked = project.environment(step.environment) if step else None
    scored = any(each.name == "score" for each in record.stages)
    if step is None or locked is None or not scored or record.model is None or record.valuation is None:
        raise UserError(
            f"run {record.run} has no model that was scored, or its files have no step that makes it",
            code="PO-A092",
            expected="a run with a model and a verdict in money",
            remedy="payoff runs, and name another run",
        )


def _refuse_other_python(found: ground.Ground, offer: Offer) -> None:
    """Packages are built for one version of Python: the environment's, which the base image must have, and Payoff's own, which runs here."""
    theirs = next(offer.python.parents[1].glob("lib/python3*")).name.removeprefix("python")
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    if found.contents.version != theirs:
        raise UserError(
            f"the base image has Python {found.contents.version}, and the environment {offer.environment.name} is for Python {theirs}",
            code="PO-A073",
            expected=f"a base image with Python {theirs}",
            remedy="name another image in [release.base] (docs/releases.md), or python in [release] where it has both; or change requires-python, uv lock, payoff run",
        )
    if ours != theirs:
        raise UserError(
            f"Payoff runs with Python {ours} here, and its server would run with {theirs} in the image",
            code="PO-A074",
            expected=f"a Payoff that is installed for Python {theirs}",
            remedy=f"uv tool install --python {theirs} 'payoff[serve]', then payoff release again",
        )
