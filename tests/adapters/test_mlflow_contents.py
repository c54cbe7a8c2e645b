"""What the MLflow tracker makes of a record, checked by MLflow's own rules; no store, no process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mlflow.types import Schema
from mlflow.utils import validation as untyped

import payoff
from payoff.adapters.trackers.mlflow import columns, contents, model, settings, stand_in
from payoff.records.artifact import Artifact, Field
from payoff.testing.samples import sample_record

validation: Any = untyped
RUN = "20261123-144105-aaaaaa"
FOLDER = Path(model.__file__).parent


@given(st.text(max_size=300))
def test_any_name_becomes_one_that_mlflow_takes(name: str) -> None:
    key = contents.key(name)
    validation._validate_metric_name(key)
    validation._validate_param(key, "value")
    validation._validate_tag(key, "value")


_plain = st.sampled_from(
    [
        pa.int8(),
        pa.int64(),
        pa.uint32(),
        pa.float32(),
        pa.float64(),
        pa.string(),
        pa.large_string(),
        pa.bool_(),
        pa.binary(),
    ]
    + [
        pa.date32(),
        pa.timestamp("us", "UTC"),
        pa.timestamp("s"),
        pa.decimal128(10, 2),
        pa.duration("ms"),
        pa.time64("us"),
        pa.null(),
    ]
)
_types = st.recursive(
    _plain,
    lambda inner: st.one_of(
        inner.map(pa.list_),
        inner.map(pa.large_list),
        inner.map(lambda kind: pa.struct([("a", kind)])),
        inner.map(lambda kind: pa.map_(pa.string(), kind)),
        _plain.map(lambda kind: pa.dictionary(pa.int32(), kind)),
    ),
    max_leaves=3,
)


@given(st.lists(_types, min_size=1, max_size=5))
def test_any_arrow_type_has_a_word_that_mlflow_reads(types: list[pa.DataType]) -> None:
    fields = [Field(f"column {number}", str(kind)) for number, kind in enumerate(types)]
    specification = columns.specification(fields)
    read = Schema.from_json(json.dumps(specification))
    assert read.input_names() == [field.name for field in fields]


@pytest.mark.parametrize(
    ("arrow", "word"),
    [
        (pa.int32(), "integer"),
        (pa.int64(), "long"),
        (pa.float32(), "float"),
        (pa.float64(), "double"),
        (pa.bool_(), "boolean"),
        (pa.large_string(), "string"),
        (pa.dictionary(pa.int32(), pa.string()), "string"),
        (pa.date32(), "datetime"),
        (pa.timestamp("us", "UTC"), "datetime"),
        (pa.decimal128(10, 2), "any"),
    ],
)
def test_types(arrow: pa.DataType, word: str) -> None:
    assert columns.of_type(str(arrow)) == {"type": word}


def test_a_list_is_an_array() -> None:
    assert columns.of_type(str(pa.list_(pa.int64()))) == {"type": "array", "items": {"type": "long"}}


def test_a_metric_of_two_steps_keeps_both_values() -> None:
    record = sample_record(RUN, metrics={"loss": 0.5})
    found = contents.metrics(record)
    assert (found["loss"], found["model.loss"]) == (0.5, 0.25)


def test_a_run_without_anything_is_still_shown() -> None:
    record = msgspec.structs.replace(
        sample_record(RUN), charter=None, git=None, valuation=None, steps=(), tables={}, verdicts=(), parameters={}
    )
    assert contents.parameters(record) == {}
    assert contents.inputs(record) == []
    assert contents.tags(record)["payoff.run"] == RUN
    assert contents.metrics(record)["seconds"] == 6.5


@given(
    st.from_regex(r"[A-Za-z0-9!$&*+,;=_~.-]{8,20}", fullmatch=True), st.sampled_from(["http", "postgresql+psycopg2"])
)
def test_a_password_is_nowhere(password: str, scheme: str) -> None:
    uri = f"{scheme}://someone:{password}@server/x"
    assert password not in settings.redacted(uri)
    story = f"failed at {uri} with password {password}; {scheme}://someone:{password}@other"
    assert password not in settings.without_secrets(story, uri)
    assert "tok3n-tok3n" not in settings.without_secrets("sent tok3n-tok3n", uri, ("tok3n-tok3n",))


@pytest.mark.parametrize(
    ("uri", "absolute"),
    [
        ("sqlite:///.payoff/mlflow.db", "sqlite:////project/.payoff/mlflow.db"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("https://server", "https://server"),
    ],
)
def test_a_relative_file_is_the_projects(uri: str, absolute: str) -> None:
    assert settings.absolute(uri, Path("/project")) == absolute


def test_the_models_columns_are_those_it_was_scored_on(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"never opened")
    inputs = [{"name": "load", "type": "double"}]
    scored = {"signature": {"inputs": inputs, "outputs": []}, "classes": [False, True], "framework": "lightgbm"}
    made = sample_record(RUN)
    record = msgspec.structs.replace(
        made,
        model=Artifact(id="m", kind="object", file="m", bytes=1, python_type="lightgbm.sklearn.LGBMClassifier"),
        stages=(msgspec.structs.replace(made.steps[0], name="score", extra=scored),),
    )
    model.build(tmp_path / "built", record, {"model": str(tmp_path / "model")}, model.Identity("m-1", "r", "3.17.2"))
    document = yaml.safe_load((tmp_path / "built" / "MLmodel").read_text())
    assert json.loads(document["signature"]["inputs"]) == [{"type": "double", "name": "load", "required": True}]
    assert document["flavors"]["python_function"]["loader_module"] == "payoff_pyfunc"
    assert document["metadata"]["payoff"]["classes"] == ["False", "True"]
    assert "sklearn" not in document["flavors"]


def test_only_the_projects_own_python_files_go_with_a_model(tmp_path: Path) -> None:
    for name in ("pipeline.py", "lib/help.py", ".venv/x.py", ".payoff/y.py", "data.csv", "tests/test_it.py"):
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "project" / "secret.py").symlink_to("/etc/hostname")
    assert model._copy_code(tmp_path / "project", tmp_path / "code")
    copied = {str(path.relative_to(tmp_path / "code")) for path in (tmp_path / "code").rglob("*") if path.is_file()}
    assert copied == {"pipeline.py", "lib/help.py"}


def test_the_stand_in_has_all_public_names() -> None:
    assert set(stand_in.__all__) == set(payoff.__all__)


@pytest.mark.parametrize(("installed", "version"), [(False, "0"), (True, payoff.__version__)])
def test_the_stand_in_gives_way_to_payoff(tmp_path: Path, installed: bool, version: str) -> None:
    (tmp_path / "payoff.py").write_text((FOLDER / "stand_in.py").read_text())
    places = [str(tmp_path), *([str(Path(payoff.__file__).parents[1])] if installed else [])]
    use = "print(payoff.__version__)\n@payoff.step\n@payoff.step(seed=1)\ndef f(): ..."
    code = f"import sys; sys.path[:0] = {places!r}; import payoff\n{use}"
    done = subprocess.run([sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == version


@pytest.mark.parametrize("name", ["loader.py", "stand_in.py"])
def test_what_is_shipped_with_a_model_needs_only_the_standard_library(name: str) -> None:
    code = f"import runpy, sys; runpy.run_path({str(FOLDER / name)!r}); print('payoff' in sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
