"""What others take of a run or a release: an InferenceService, an MLflow model, a pipeline; and nothing of what may not go anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import uv
import yaml

SCHEMA = Path(__file__).parents[2] / "docs/schemas/export.json"
IMAGE = "registry.example.org/payoff@sha256:" + "5a" * 32


def answer_of(light: Any, *words: str, code: int = 0) -> dict[str, Any]:
    found = dict(json.loads(light.payoff(*words, "--json", code=code)))
    if words[0] == "export" and code == 0:
        jsonschema.validate(found, json.loads(SCHEMA.read_text()))
    return found


def refused(light: Any, *words: str, code: int) -> str:
    return str(answer_of(light, *words, code=code)["errors"][0]["code"])


def git(light: Any, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=light.root, capture_output=True, text=True, check=True).stdout


def environ() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def test_kserve(released: Any) -> None:
    """An image in a folder cannot be pulled; with a registry the manifest names the release's digest there."""
    assert released.refused("export", "kserve", "1", code=2) == "PO-A141"
    text = (released.root / "payoff.toml").read_text()
    (released.root / "payoff.toml").write_text(text.replace("[release]\n", '[release]\nkind = "distribution"\nrepository = "registry.example.org/team/churn"\n', 1))
    assert released.refused("export", "kserve", "1", code=1) == "PO-A081", "what decides counts as it is committed"
    released.git("commit", "--quiet", "--all", "--message", "A registry")
    said = json.loads((released.root / "deploy/releases/0001.json").read_bytes())
    answer = released.answer("export", "kserve", "1")
    (manifest,) = yaml.safe_load_all(answer["text"])
    image = manifest["spec"]["predictor"]["containers"][0]["image"]
    assert manifest["kind"] == "InferenceService"
    variables = {each["name"]: each.get("value") for each in manifest["spec"]["predictor"]["containers"][0]["env"]}
    model = json.loads(base64.b64decode(said["payload"]))["predicate"]["model"]["sha256"]
    assert variables["PAYOFF_MODEL"] == model, "the server compares the model's bytes with it, as in a deployment"
    assert image == f"registry.example.org/team/churn@{manifest['metadata']['annotations']['payoff.dev/image']}"
    assert said["payload"]
    assert answer["release"] == 1
    answer = released.answer("export", "kserve", "-o", "service.yaml")
    assert (answer["release"], answer["path"], answer["text"]) == (2, "service.yaml", "")
    assert yaml.safe_load((released.root / "service.yaml").read_text())["metadata"]["annotations"]["payoff.dev/release"] == "2"
    assert released.refused("export", "kserve", "-o", "service.yaml", code=2) == "PO-A131"
    assert released.refused("export", "kserve", "1", "--deployment", "prod", code=1) == "PO-A100", "it may not run there yet"
    file = released.root / "deploy/releases/0001.json"
    file.write_bytes(file.read_bytes().replace(b"payload", b"payl0ad", 1))
    released.git("commit", "--quiet", "--all", "--message", "Nothing to see")
    assert released.refused("export", "kserve", "2", code=1).startswith("PO-A0"), "no release is exported of a chain that does not verify"


def test_mlflow(light: Any) -> None:
    """A folder of copies: the store's own file stays alone, and the code is that of the run."""
    light.change("pipeline.py", "0.7 * l", "0.8 * l")
    answer = answer_of(light, "export", "mlflow", "-o", "model")
    folder = light.root / "model"
    assert sorted(answer["files"]) == sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file())
    document = yaml.safe_load((folder / "MLmodel").read_text())
    assert document["metadata"]["payoff"]["run"] == answer["run"] == light.first["run"]
    assert [each["name"] for each in json.loads(document["signature"]["inputs"])]
    assert "0.7 * l" in (folder / "code/pipeline.py").read_text(), "the code of the run, not of today"
    assert (folder / "model.pkl").stat().st_nlink == 1
    assert "pyarrow==" in (folder / "requirements.txt").read_text()
    assert not list(light.root.glob(".payoff-export-*"))
    assert refused(light, "export", "mlflow", "-o", "model", code=2) == "PO-A131"
    assert refused(light, "export", "mlflow", "-o", "nowhere/model", code=2) == "PO-A132"


OPENS = """
import json, sys
import mlflow.pyfunc, pyarrow.parquet
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = pyarrow.parquet.read_table(sys.argv[2], use_threads=False).to_pandas()  # pandas.read_parquet aborts at exit at times: apache/arrow#34314
print(json.dumps([[float(x) for x in row] for row in model.predict(rows[[c.name for c in model.metadata.get_input_schema().inputs]])]))
"""


def test_mlflow_opens_it(light: Any, tmp_path: Path) -> None:
    """An unmodified client says what the run said of the same rows."""
    import duckdb

    answer_of(light, "export", "mlflow", "-o", "model")
    light.payoff("show", "--predictions", str(tmp_path / "said.parquet"))
    said = duckdb.sql(f"select * from '{tmp_path}/said.parquet' order by id limit 200").to_arrow_table()
    rows = str(tmp_path / "rows.parquet")
    csv = light.root / "data/customers.csv"
    duckdb.sql(f"copy (select c.* from '{csv}' c join '{tmp_path}/said.parquet' s on c.customer_id = s.id order by s.id limit 200) to '{rows}' (format parquet)")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", OPENS, str(light.root / "model"), rows], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    chances = [row[1] for row in json.loads(done.stdout)]  # of False, then of True
    assert chances == pytest.approx(said.column("p_churned").to_pylist(), rel=1e-12)
    assert len(set(chances)) > 5


def test_a_release_whose_model_was_swapped(released: Any) -> None:
    """Somebody changes the store; the release says what it was."""
    answer = released.answer("export", "mlflow", "1", "-o", "good")
    assert answer["release"] == 1
    wanted = hashlib.sha256((released.root / "good/model.pkl").read_bytes()).hexdigest()
    files = [each for each in (released.root / ".payoff").rglob("*") if each.is_file() and hashlib.sha256(each.read_bytes()).hexdigest() == wanted]
    assert files
    for file in files:
        file.chmod(0o644)
        file.write_bytes(file.read_bytes()[:-2] + b"!.")
    assert released.refused("export", "mlflow", "1", "-o", "evil", code=1) == "PO-A130"
    assert not (released.root / "evil").exists()


def test_what_may_not_go_anywhere(light: Any) -> None:
    light.change("charter.toml", "min_gain_per_year = ", "min_gain_per_year = 9999")
    git(light, "commit", "--quiet", "--all", "--message", "More")
    light.payoff("run", code=1)
    for words in (("mlflow", "-o", "out"), ("kfp", "--image", IMAGE, "--repository", "https://example.org/x")):
        assert refused(light, "export", *words, code=1) == "PO-A090"
    assert not (light.root / "out").exists()


def test_kfp(light: Any, tmp_path: Path) -> None:
    assert refused(light, "export", "kfp", code=2) == "PO-A133"
    assert refused(light, "export", "kfp", "--image", "payoff:latest", code=2) == "PO-A133"
    assert refused(light, "export", "kfp", "--image", IMAGE, code=2) == "PO-A134"
    git(light, "add", "--force", "data")
    git(light, "commit", "--quiet", "--message", "Rows that a clone has")
    answer_of(light, "run", "--force")
    git(light, "remote", "add", "origin", "https://ann:token-4711@example.org/churn.git")
    given = answer_of(light, "export", "kfp", "--image", IMAGE, "--repository", "https://ann:token-4711@example.org/churn.git")
    answer = answer_of(light, "export", "kfp", "--image", IMAGE)
    assert given == answer
    assert "4711" not in json.dumps(answer)
    made = yaml.safe_load(answer["text"])
    assert made == json.loads(answer["text"])
    defaults = made["root"]["inputDefinitions"]["parameters"]
    assert defaults["repository"]["defaultValue"] == "https://example.org/churn.git"
    assert defaults["commit"]["defaultValue"] == git(light, "rev-parse", "HEAD").strip()
    (executor,) = made["deploymentSpec"]["executors"].values()
    assert executor["container"]["image"] == IMAGE
    assert "model.slope=0.35" in executor["container"]["args"]

    # The container's own command, here: the placeholders as Kubeflow's launcher puts them in.
    out = tmp_path / "out"
    values = {
        "{{$.inputs.parameters['repository']}}": str(light.root), "{{$.inputs.parameters['commit']}}": defaults["commit"]["defaultValue"],
        "{{$.outputs.artifacts['document'].path}}": f"{out}/a/document", "{{$.outputs.parameters['run'].output_file}}": f"{out}/b/run",
        "{{$.outputs.parameters['gain_low'].output_file}}": f"{out}/c/gain", "/tmp/project": str(tmp_path / "cloned"),
    }  # fmt: skip
    words = [values.get(each, each) for each in (*executor["container"]["command"], *executor["container"]["args"])]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environ(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr + (out / "a/document").read_text()
    document = json.loads((out / "a/document").read_text())
    assert document["status"] == "passed"
    assert (out / "b/run").read_text() == document["run"]
    assert float((out / "c/gain").read_text()) == pytest.approx(light.first["per_year"]["gain"]["low"])


READS = """
import json, sys
from google.protobuf import json_format
from kfp import compiler, components, dsl
from kfp.pipeline_spec import pipeline_spec_pb2
component = components.load_component_from_file(sys.argv[1])
text = open(sys.argv[1]).read()
assert sorted(component.component_spec.inputs) == ["commit", "repository"], component.component_spec.inputs

@dsl.pipeline(name="outer")
def outer():
    component().set_caching_options(False)

compiler.Compiler().compile(outer, sys.argv[2])

def read(text):
    json_format.Parse(text, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(json.loads(text)["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig())

read(text)
for right, wrong in (('"executorLabel"', '"executerLabel"'), ('"image":', '"imagee":'), ('"NUMBER_DOUBLE"', '"MONEY"'), ('"tasks"', '"task"')):
    assert right in text
    try:
        read(text.replace(right, wrong))
    except json_format.ParseError:
        continue
    sys.exit(f"{wrong} was not seen")
"""


@pytest.mark.frameworks
def test_kubeflow_reads_the_pipeline(light: Any, tmp_path: Path) -> None:
    """Its own SDK loads it, puts it into another pipeline and compiles that; and would see a misspelt field."""
    made = answer_of(light, "export", "kfp", "--image", IMAGE, "--repository", "https://example.org/churn.git", "-o", str(tmp_path / "churn.yaml"))
    words = [uv.find_uv_bin(), "run", "--quiet", "--no-project", "--python", sys.executable, "--with", "kfp>=2.14,<3", "python", "-W", "ignore", "-c", READS]
    done = subprocess.run([*words, made["path"], str(tmp_path / "outer.yaml")], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert IMAGE in (tmp_path / "outer.yaml").read_text()
