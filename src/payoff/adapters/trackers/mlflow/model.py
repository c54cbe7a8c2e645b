"""Builds a model folder in MLflow's format by hand, around the pickle's bytes: the pickle is never opened here.

A scikit-learn model gets MLflow's own `sklearn` flavour, so that `mlflow.sklearn.load_model` gives the estimator back.
Any other gets a small loader in `code/`. Both answer `mlflow.pyfunc`'s `predict` with probabilities where the model has
them (a column per class, in the order of `metadata.payoff.classes`), because a decision by expected payoff needs them;
the labels are one `argmax` away, the way back does not exist.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import yaml

from payoff.adapters.trackers.mlflow import columns
from payoff.records.artifact import Field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payoff.records.run import RunRecord

PICKLE, LOADER = "model.pkl", "payoff_pyfunc"
_CODE_FILES, _CODE_BYTES = 500, 5_000_000
_SKIPPED = {"__pycache__", "node_modules", "build", "dist", "tests", "venv", "env"}


class Identity(NamedTuple):
    """What the tracking server calls the model."""

    model_id: str | None
    run_id: str
    mlflow_version: str


def build(folder: Path, record: RunRecord, files: Mapping[str, str], identity: Identity) -> None:
    """Write the model of a run to `folder`: MLmodel, pickle, requirements, environment, signature, example, code."""
    facts = facts_of(record)
    folder.mkdir(parents=True, exist_ok=True)
    _place(Path(files["model"]), folder / PICKLE)
    code = "code" in files and _copy_code(Path(files["code"]), folder / "code")
    if code:
        _ship("stand_in.py", folder / "code" / "payoff.py")
    scikit = is_scikit(record, facts)
    if not scikit:
        _ship("loader.py", folder / "code" / f"{LOADER}.py")
        (folder / "payoff.json").write_text(json.dumps({"form": facts.get("form", "pandas")}))
    python = _write_environment(folder, record, facts, identity.mlflow_version)
    document = {
        "flavors": _flavours(record, facts, python, code=code or not scikit),
        "mlflow_version": identity.mlflow_version,
        "model_uuid": (identity.model_id or identity.run_id).removeprefix("m-"),
        "model_id": identity.model_id,
        "run_id": identity.run_id,
        "artifact_path": "model",
        "utc_time_created": record.finished.replace("T", " ").removesuffix("Z"),
        "metadata": {"payoff": _metadata(record, facts)},
        **_signature(record, facts),
        **_example(folder, files),
    }
    (folder / "MLmodel").write_text(yaml.safe_dump({k: v for k, v in document.items() if v is not None}))


def facts_of(record: RunRecord) -> dict[str, Any]:
    """What the steps said of the model in `StepOutcome.extra`, the model's own step and the scoring last.

    Known keys: `framework`, `model_class`, `signature` (`{"inputs": [{"name", "type"}]}`: the columns that the model
    takes, Arrow types as text), `classes` (labels in the order of the probabilities), `form` (in which the model takes
    its rows), `environment` (its name).
    """
    step = record.charter.model_step if record.charter else ""
    known = ("framework", "model_class", "signature", "classes", "form", "environment")
    facts: dict[str, Any] = {}
    for outcome in (*record.steps, *record.stages):
        if outcome.name == step or outcome.name.startswith("score"):
            facts |= {name: outcome.extra[name] for name in known if outcome.extra.get(name)}
            if python := outcome.fingerprint.get("python"):
                facts["python"] = str(python)
    return facts


def is_scikit(record: RunRecord, facts: Mapping[str, Any]) -> bool:
    """True when MLflow's `sklearn` flavour fits: an estimator, and a locked scikit-learn to name."""
    framework = str(facts.get("framework", "")).lower()
    kind = record.model.python_type if record.model else ""
    return kind.startswith("sklearn.") or framework in ("sklearn", "scikit-learn")


def classes_of(record: RunRecord, facts: Mapping[str, Any]) -> list[str]:
    """The classes whose probabilities the model gives, in its order; none when it gives none."""
    if facts.get("classes"):
        return [str(label) for label in facts["classes"]]
    scored = record.predictions.columns if record.predictions else ()
    return [name.removeprefix("p_") for name in scored if name.startswith("p_")]


def signature_fields(record: RunRecord, facts: Mapping[str, Any]) -> list[Field]:
    """The columns that the model takes: as the scoring saw them, else the training table's without the outcome."""
    if facts.get("signature"):
        return [Field(str(each["name"]), str(each["type"])) for each in facts["signature"]["inputs"]]
    table = record.tables.get("train") or record.tables.get("holdout")
    outcome = record.charter.decision.outcome.column if record.charter else ""
    return [field for field in table.fields if field.name != outcome] if table else []


def _flavours(record: RunRecord, facts: Mapping[str, Any], python: str, *, code: bool) -> dict[str, Any]:
    shared = {"code": "code"} if code else {}
    function = {
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "python_version": python,
        **shared,
    }
    if not is_scikit(record, facts):
        return {"python_function": {"loader_module": LOADER, "data": PICKLE, **function}}
    predict = "predict_proba" if classes_of(record, facts) else "predict"
    version = _packages(record, facts).get("scikit-learn", "unknown")
    return {
        "python_function": {
            "loader_module": "mlflow.sklearn",
            "model_path": PICKLE,
            "predict_fn": predict,
            **function,
        },
        "sklearn": {
            "pickled_model": PICKLE,
            "sklearn_version": version,
            "serialization_format": "pickle",
            "skops_trusted_types": None,
            **shared,
        },
    }


def _signature(record: RunRecord, facts: Mapping[str, Any]) -> dict[str, Any]:
    fields = signature_fields(record, facts)
    if not fields:
        return {}
    classes = classes_of(record, facts)
    shape = [-1, len(classes)] if classes else [-1]
    outputs = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": shape}}]
    return {
        "signature": {
            "inputs": json.dumps(columns.specification(fields)),
            "outputs": json.dumps(outputs),
            "params": None,
        }
    }


def _metadata(record: RunRecord, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run": record.run,
        "content": record.model.id if record.model else "",
        "python_type": facts.get("model_class") or (record.model.python_type if record.model else ""),
        "classes": classes_of(record, facts),
        "charter": record.charter.digest if record.charter else "",
    }


def _example(folder: Path, files: Mapping[str, str]) -> dict[str, Any]:
    """The example rows that the caller allows to be shown: JSON with `columns` and `data` (rows)."""
    if "example" not in files:
        return {}
    example = msgspec.json.decode(Path(files["example"]).read_bytes())
    rows = {"columns": example["columns"], "data": example["data"]}
    (folder / "input_example.json").write_text(json.dumps(rows))
    (folder / "serving_input_example.json").write_text(json.dumps({"dataframe_split": rows}, indent=2))
    return {
        "saved_input_example_info": {
            "artifact_path": "input_example.json",
            "pandas_orient": "split",
            "serving_input_path": "serving_input_example.json",
            "type": "dataframe",
        }
    }


def _packages(record: RunRecord, facts: Mapping[str, Any]) -> dict[str, str]:
    named = {environment.name: environment.packages for environment in record.environments}
    if facts.get("environment") in named:
        return named[facts["environment"]]
    return named.get("default") or next(iter(named.values()), {})


def _python(record: RunRecord, facts: Mapping[str, Any]) -> str:
    if facts.get("python"):
        return str(facts["python"]).split()[0]
    named = {environment.name: environment.python for environment in record.environments}
    python = named.get(facts.get("environment", "default")) or next(iter(named.values()), "")
    return python.lstrip("=<>~^ ") or "3.11"


def _write_environment(folder: Path, record: RunRecord, facts: Mapping[str, Any], mlflow_version: str) -> str:
    """Pins of the model's lock, and MLflow itself (a range: the pins around it are not ours to upset)."""
    packages = _packages(record, facts)
    pins = sorted(f"{name}=={version}" for name, version in packages.items() if version and name != record.name.lower())
    if not {"mlflow", "mlflow-skinny"} & packages.keys():
        pins.append(
            f"mlflow>={mlflow_version.split('.', maxsplit=1)[0]},<{int(mlflow_version.split('.', maxsplit=1)[0]) + 1}"
        )
    if "pandas" not in packages:
        pins.append("pandas")
    python = _python(record, facts)
    (folder / "requirements.txt").write_text("\n".join(pins) + "\n")
    build_tools = ["pip", "setuptools", "wheel"]
    environment = {"python": python, "build_dependencies": build_tools, "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(yaml.safe_dump(environment, sort_keys=False))
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": pins}],
    }
    (folder / "conda.yaml").write_text(yaml.safe_dump(conda, sort_keys=False))
    return python


def _copy_code(source: Path, target: Path) -> bool:
    """Copy the project's own Python files, which a pickle may refer to; True when there were any."""
    copied = size = 0
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SKIPPED)
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix != ".py" or path.is_symlink():
                continue
            size += path.stat().st_size
            copied += 1
            if copied > _CODE_FILES or size > _CODE_BYTES:
                return True
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    return copied > 0


def _ship(name: str, target: Path) -> None:
    """Copy a file of ours that goes with the model; a file of the project by the same name stays."""
    target.parent.mkdir(exist_ok=True)
    if not target.exists():
        shutil.copyfile(Path(__file__).with_name(name), target)


def _place(source: Path, target: Path) -> None:
    """A second name for the same bytes where the file system can, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
