"""The environments of a conversion: the run's own with a converter besides, and the small one that the converted model is served in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from payoff.base import hashing
from payoff.base.errors import UserError
from payoff.base.files import write_atomically
from payoff.project.locking.requirements import normalised
from payoff.project.past import locks
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payoff.records.project import Environment

FOLDER = Path(".payoff", "converting")
RUNTIME = "onnxruntime"
# What is asked for besides the run's own packages, by the library that the model is of. With skl2onnx 1.20 a later protobuf than 6 refuses
# the gradient boosting of scikit-learn; what the run has of these packages stays as it is.
CONVERTERS = {
    "sklearn": ("skl2onnx", "onnx", RUNTIME, "protobuf"),
    "lightgbm": ("onnxmltools", "skl2onnx", "onnx", RUNTIME, "protobuf"),
    "xgboost": ("onnxmltools", "skl2onnx", "onnx", RUNTIME, "protobuf"),
    "torch": ("onnx", RUNTIME, "protobuf"),
}
SERVED = (RUNTIME, "numpy", "pyarrow")
# All that these bring, in the versions that were tested together: the same conversion gives the same bytes tomorrow.
PINS = {
    "cloudpickle": "3.1.3", "flatbuffers": "25.12.19", "joblib": "1.6.0", "ml-dtypes": "0.6.0", "narwhals": "2.29.0", "numpy": "2.4.6",
    "onnx": "1.23.2", "onnxmltools": "1.16.0", RUNTIME: "1.32.0", "packaging": "26.4", "protobuf": "6.33.6", "scikit-learn": "1.9.1",
    "scipy": "1.17.1", "skl2onnx": "1.20.0", "threadpoolctl": "3.8.0", "typing-extensions": "4.16.0",
}  # fmt: skip


class Workshop(msgspec.Struct, frozen=True, kw_only=True):
    """`making` has the run's packages and the converter, `serving` what the converted model needs."""

    making: Environment
    serving: Environment


def workshop(home: Path, folder: Path, like: Environment, python: Path, framework: str) -> Workshop:
    """Both environments, locked: `folder` has the run's lock, `python` is its interpreter. Raises `UserError` when versions do not go together."""
    versions = PINS | locks.versions(folder / "uv.lock") | installed(python)
    making = _locked(home, folder, like, CONVERTERS[framework], versions)
    serving = _locked(home, folder, msgspec.structs.replace(like, name="onnx"), SERVED, versions, alone=True)
    return Workshop(making=making, serving=serving)


def installed(python: Path) -> dict[str, str]:
    """Name -> version of what an environment has: where its lock has several of a package, for other machines, the one that is there."""
    found: dict[str, str] = {}
    for each in python.parents[1].glob("lib/python3*/site-packages/*.dist-info"):
        name, _, version = each.name.removesuffix(".dist-info").rpartition("-")
        found[normalised(name)] = version
    return found


def _locked(
    home: Path,
    folder: Path,
    like: Environment,
    wanted: Sequence[str],
    versions: Mapping[str, str],
    *,
    alone: bool = False,
) -> Environment:
    asked = "".join(f'    "{each}=={versions[each]}",\n' for each in wanted)
    text = f'[project]\nname = "asked"\nversion = "0"\ndependencies = [\n{asked}]\n'
    place = home / FOLDER / hashing.of_json([text, like.digest, sorted(versions.items()), alone])
    write_atomically(place / "asked" / "pyproject.toml", text.encode())
    made = place / "made"
    reason = assemble.mixer(home).mix(folder, place / "asked", versions, made, asked=not alone)
    found = None if reason else locks.locked(made, like)
    if found is None:
        raise UserError(
            f"the environment {like.name} does not go together with {', '.join(wanted)}: {reason or 'its lock cannot be read'}",
            code="PO-J052",
            expected=f"a lock that {', '.join(f'{each} {versions[each]}' for each in wanted)} can be added to",
            remedy="take these packages into pyproject.toml in versions that go together, uv lock, commit, payoff run, and that run again",
        )
    return found
