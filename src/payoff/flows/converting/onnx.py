"""A run's model as ONNX: converted in the run's own environment with a converter besides, and taken only when it says what the run's model said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from payoff.base import hashing
from payoff.base.errors import PayoffError, Refused, UserError
from payoff.base.files import write_atomically
from payoff.data.sealed.nearness import farthest
from payoff.flows.converting import workshop
from payoff.flows.serve import columns
from payoff.records.task import Task, TaskInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.flows.converting.workshop import Workshop
    from payoff.flows.opening import Past
    from payoff.flows.serve.offered import Offer
    from payoff.records.run import RunRecord
    from payoff.records.task import TaskResult

TOLERANCE = 1e-6
_FORMAT = 1


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a conversion. `farthest` is the largest difference from what the run said on its holdout's `rows`: of a number
    above 1 as a share of it. `way` is how the columns go in, `by` the packages that made it.
    """

    sha256: str
    of: str
    rows: int
    farthest: float
    way: str
    by: str
    lock: str

    def said(self) -> dict[str, str]:
        """What a release says of it, beside the digest of what was made."""
        return {
            "format": "onnx",
            "of": self.of,
            "by": self.by,
            "lock": self.lock,
            "way": self.way,
            "farthest": f"{self.farthest:.3g}",
            "rows": str(self.rows),
        }


class Converted(NamedTuple):
    """The offer with the converted model in place of the run's own, and what is known of it."""

    offer: Offer
    made: Made


def converted(offer: Offer, past: Past, record: RunRecord, tell: Callable[[str], None]) -> Converted:
    """The model of a run as ONNX; what was converted before is not converted again.

    Raises `UserError` where nothing converts it, `Refused` where what was made does not say what the run's model said on every row of the holdout.
    """
    framework = _framework(offer)
    _refuse_absent_text(offer)
    folder = offer.root / offer.environment.folder
    shop = workshop.workshop(offer.home, folder, offer.environment, offer.python, framework)
    key = hashing.of_json([_FORMAT, record.run, offer.served.bytes_digest, shop.making.digest, shop.serving.digest])
    place = past.root / workshop.FOLDER / key
    try:
        known = _remembered(place)
        if known is None:
            tell("converting the model to ONNX")
            known = _convert(offer, past, record, shop, place, tell)
        python = Path(offer.kit.executor.prepare(shop.serving, tell)["folder"]) / "bin" / "python"
    finally:
        offer.kit.executor.close()
    model = place / "model.onnx"
    digest = hashing.of_file(model)
    served = msgspec.structs.replace(
        offer.served,
        digest=digest,
        bytes_digest=digest,
        python_type="onnxruntime.InferenceSession",
        framework="onnx",
        form="pyarrow",
    )
    return Converted(
        offer._replace(served=served, python=python, model=model, environment=shop.serving),
        known,
    )


def _framework(offer: Offer) -> str:
    found = offer.served.framework
    if found not in workshop.CONVERTERS:
        raise _cannot(offer, f"it is of {found or 'no library that is known'}")
    return found


def _refuse_absent_text(offer: Offer) -> None:
    """ONNX has texts, and no absent ones."""
    for each in offer.served.features:
        if each.type in {"string", "large_string"} and not each.promise.required:
            raise _cannot(offer, f"its column {each.name!r} has texts that may be absent, which ONNX cannot say")


def _convert(
    offer: Offer, past: Past, record: RunRecord, shop: Workshop, place: Path, tell: Callable[[str], None]
) -> Made:
    step, kit = offer.served.step, offer.kit
    score = next(stage for stage in record.stages if stage.name == "score")
    assert score.output is not None  # noqa: S101 - a stage that ended well has one
    said = past.kit.store.path(score.output)
    rows = TaskInput(
        name="rows",
        form=offer.served.form,
        path=str(past.kit.store.path(columns.holdout(record))),
        columns=tuple(each.name for each in offer.served.features),
    )
    model = TaskInput(name="model", form="object", path=str(offer.model))
    task = Task(
        id="convert",
        kind="convert",
        step=step.name,
        environment=shop.making,
        root=str(offer.root),
        module=step.module,
        function=step.function,
        seed=step.seed,
        inputs=(model, rows, TaskInput(name="said", form="pyarrow", path=str(said))),
        output=str(kit.store.scratch("onnx")),
        options={"tolerance": TOLERANCE},
    )
    result = _done(offer, task, tell)
    tried = result.extra.get("tried", [])
    if result.kind != "object":
        raise _refusal(offer, tried)
    file = Path(result.file)
    far = farthest(_scored(offer, shop, rows, file, tell), said)
    if not far <= TOLERANCE:
        raise _refusal(offer, [{"way": tried[-1]["way"], "farthest": far}])
    packages = shop.making.packages
    made = Made(
        sha256=hashing.sha256_of(file),
        of=hashing.sha256_of(offer.model),
        rows=columns.holdout(record).rows or 0,
        farthest=far,
        way=tried[-1]["way"],
        by=", ".join(f"{each} {packages[each]}" for each in workshop.CONVERTERS[offer.served.framework]),
        lock=shop.making.digest,
    )
    write_atomically(place / "model.onnx", file.read_bytes())
    write_atomically(place / "made.json", msgspec.json.encode(made))
    return made


def _scored(offer: Offer, shop: Workshop, rows: TaskInput, file: Path, tell: Callable[[str], None]) -> Path:
    """What the converted model says where it is served: neither the run's model nor a module of the project's is there."""
    task = Task(
        id="score",
        kind="score",
        step="onnx",
        environment=shop.serving,
        root=str(offer.root),
        inputs=(
            TaskInput(name="model", form="object", path=str(file)),
            msgspec.structs.replace(rows, form="pyarrow"),
        ),
        output=str(offer.kit.store.scratch("onnx-said")),
    )
    return Path(_done(offer, task, tell).file)


def _done(offer: Offer, task: Task, tell: Callable[[str], None]) -> TaskResult:
    offer.kit.executor.prepare(task.environment, tell)
    offer.kit.executor.submit(task)
    (result,) = offer.kit.executor.wait()
    if result.failure is not None:
        raise _cannot(offer, f"{result.failure.error}: {result.failure.message}"[:400])
    return result


def _remembered(place: Path) -> Made | None:
    try:
        known = msgspec.json.decode((place / "made.json").read_bytes(), type=Made)
        return known if hashing.sha256_of(place / "model.onnx") == known.sha256 else None
    except (OSError, msgspec.DecodeError):
        return None


def _refusal(offer: Offer, tried: list[dict[str, Any]]) -> PayoffError:
    """One of the ways came to a model, or none did."""
    least = min((each["farthest"] for each in tried if "farthest" in each), default=None)
    if least is None:
        said = "; ".join(f"as {each['way']}: {each['error']}" for each in tried) or "nothing converts its class"
        return _cannot(offer, said[:600])
    return Refused(
        f"the model of run {offer.served.run} as ONNX says something else than it did in its run: by up to {least:.2g}",
        code="PO-J051",
        expected=f"the same on every row of the holdout, to {TOLERANCE:g}",
        remedy="the same command without --onnx: the model as it is",
    )


def _cannot(offer: Offer, why: str) -> UserError:
    return UserError(
        f"the model of run {offer.served.run} cannot be converted to ONNX: {why}",
        code="PO-J050",
        expected=f"a model of {', '.join(workshop.CONVERTERS)} that its converter knows (docs/serving.md)",
        remedy="the same command without --onnx: the model as it is",
    )
