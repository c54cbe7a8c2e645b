"""Models of many frameworks, each trained in a step in its own locked environment and served: a client hears what the run said."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
import uv

_spec = importlib.util.spec_from_file_location("flows_servers_of_frameworks", Path(__file__).with_name("servers.py"))
assert _spec
assert _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = servers
_spec.loader.exec_module(servers)

heavy = pytest.mark.frameworks


class Kind(NamedTuple):
    """What its environment needs besides pyarrow, the step's file, what its record says of the model."""

    needs: tuple[str, ...]
    step: str
    framework: str
    takes: str = "pd.DataFrame"


HEAD = '''
import pandas as pd
import pyarrow as pa

from payoff import step


def split(train):
    return train.drop(columns=["customer_id", "churned"]), train["churned"]

'''
KINDS = {
    "callable": Kind((), """
def rule(rows):
    return [min(1.0, 0.1 * calls) for calls in rows.column("calls_to_support").to_pylist()]

@step
def model(train: pa.Table):
    return rule
""", "builtins"),
    "scikit-learn": Kind(("scikit-learn", "pandas<3"), """
@step(seed=7)
def model(train: pd.DataFrame):
    from sklearn.ensemble import HistGradientBoostingClassifier
    return HistGradientBoostingClassifier(max_iter=20).fit(*split(train))
""", "sklearn"),
    "LightGBM": Kind(("lightgbm", "scikit-learn", "pandas<3"), """
@step(seed=7)
def model(train: pd.DataFrame):
    import lightgbm
    return lightgbm.LGBMClassifier(n_estimators=20, verbose=-1).fit(*split(train))
""", "lightgbm"),
    "LightGBM booster": Kind(("lightgbm", "pandas<3"), """
@step(seed=7)
def model(train: pd.DataFrame):
    import lightgbm
    return lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(*split(train)), 20)
""", "lightgbm"),
    "XGBoost": Kind(("xgboost-cpu", "scikit-learn", "pandas<3"), """
@step(seed=7)
def model(train: pd.DataFrame):
    import xgboost
    return xgboost.XGBClassifier(n_estimators=20).fit(*split(train))
""", "xgboost"),
    "XGBoost booster": Kind(("xgboost-cpu", "pandas<3"), """
@step(seed=7)
def model(train: pd.DataFrame):
    import xgboost
    return xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(*split(train)), 20)
""", "xgboost"),
    "ONNX model": Kind(("onnx", "onnxruntime", "skl2onnx", "scikit-learn", "pandas<3"), """
@step(seed=7)
def model(train: pd.DataFrame):
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    rows, outcome = split(train)
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows.to_numpy(), outcome)
    return to_onnx(fitted, initial_types=[("rows", FloatTensorType([None, rows.shape[1]]))], options={"zipmap": False})
""", "onnx"),
    "ONNX Runtime, a column for each input, a map for each row": Kind(("onnx", "onnxruntime", "skl2onnx", "scikit-learn", "pandas<3"), """
@step(seed=7)
def model(train: pd.DataFrame):
    import onnxruntime
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    rows, outcome = split(train.astype("float32"))
    fitted = make_pipeline(ColumnTransformer([("all", StandardScaler(), list(rows.columns))]), LogisticRegression()).fit(rows, outcome.astype(int))
    made = to_onnx(fitted, initial_types=[(name, FloatTensorType([None, 1])) for name in rows.columns])
    return onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
""", "onnxruntime"),
    "MLflow": Kind(("mlflow-skinny", "scikit-learn", "pandas<3"), """
@step(seed=7)
def model(train: pd.DataFrame):
    import tempfile
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression
    rows, outcome = split(train)
    fitted = LogisticRegression(max_iter=1000).fit(rows, outcome)
    with tempfile.TemporaryDirectory() as folder:
        signature = infer_signature(rows, fitted.predict_proba(rows))
        mlflow.sklearn.save_model(fitted, folder + "/m", pyfunc_predict_fn="predict_proba", serialization_format="pickle", signature=signature)
        return mlflow.pyfunc.load_model(folder + "/m")
""", "mlflow"),
}  # fmt: skip
CONVERTED = ("LightGBM", "LightGBM booster", "XGBoost", "XGBoost booster")  # what has been converted to ONNX is asked the same
LIGHT = ("callable",)  # scikit-learn is served by the tests of the starter, too


def project(folder: Path, kind: Kind) -> Path:
    """The starter project with another model and the environment that it needs, run once."""
    subprocess.run([servers.PAYOFF, "init", str(folder)], check=True, capture_output=True)
    head = HEAD if "pandas<3" in kind.needs else HEAD.replace("import pandas as pd\n", "")
    (folder / "pipeline.py").write_text(head + kind.step)
    needs = "".join(f'    "{each}",\n' for each in (*kind.needs, "pyarrow>=18"))
    text = (folder / "pyproject.toml").read_text()
    before, _, after = text.partition("dependencies = [\n")
    (folder / "pyproject.toml").write_text(before + "dependencies = [\n" + needs + after[after.index("]") :])
    subprocess.run([uv.find_uv_bin(), "lock", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "commit", "--quiet", "--all", "--message", "another model"], cwd=folder, check=True)
    ran(folder)
    return folder


def ran(folder: Path) -> None:
    done = subprocess.run([servers.PAYOFF, "run"], cwd=folder, capture_output=True, text=True, timeout=1000, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr  # what the model is worth is not asked here


def agree(folder: Path, framework: str, *words: str) -> None:
    """Every decision of a server is that of the run, by /decide and in binary tensors."""
    from payoff.flows.opening import open_past
    from payoff.flows.serve.columns import holdout
    from payoff.flows.show import find

    past = open_past(str(folder))
    record, _ = find(past, "latest")

    def table(artifact: Any) -> list[dict[str, Any]]:
        with pa.memory_map(str(past.kit.store.path(artifact))) as source:
            return pa.ipc.open_file(source).read_all().to_pylist()

    assert next(each.extra["framework"] for each in record.stages if each.name == "score") == framework
    said = {each["id"]: each for each in table(record.predictions)}
    rows = table(holdout(record))
    name = record.charter.decision.id
    outcome = record.charter.outcomes[0]
    given = [{key: value for key, value in row.items() if key != record.charter.decision.outcome.name} for row in rows]
    expected = [said[row[name]][f"p_{outcome}"] for row in rows]
    assert len(set(expected)) > 3
    with servers.serving(folder, "--anyway", *words) as server:
        for step in (len(given), 7, 1):  # whatever the batches
            some = given[: step * 3]
            answers = [server.ask("/decide", {"rows": some[at : at + step]}) for at in range(0, len(some), step)]
            assert {answer.status for answer in answers} == {200}, answers[0]
            found = [each["probabilities"][outcome] for answer in answers for each in answer.json["decisions"]]
            # A converted model is as near as 1e-6; where the run corrects chances by a curve, a steep one widens that.
            assert found == pytest.approx(expected[: len(some)], abs=1e-5 if "--onnx" in words else 2e-6)
        answers = server.ask("/invocations", {"dataframe_records": given[:5]})
        assert len(answers.json["predictions"]) == 5


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [each if each in LIGHT else pytest.param(each, marks=heavy) for each in KINDS])
def test_a_client_hears_what_the_run_said(name: str, tmp_path: Path) -> None:
    folder = project(tmp_path / "projet été", KINDS[name])
    agree(folder, KINDS[name].framework)
    if name in CONVERTED:
        agree(folder, KINDS[name].framework, "--onnx")


@heavy
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("template", "framework"), [("pytorch", "torch"), ("tensorflow", "keras")])
def test_a_net_answers_as_in_its_run(template: str, framework: str, tmp_path: Path) -> None:
    subprocess.run([servers.PAYOFF, "init", str(tmp_path / "net"), "--template", template], check=True, capture_output=True)
    ran(tmp_path / "net")
    agree(tmp_path / "net", framework)
    if framework == "torch":
        agree(tmp_path / "net", framework, "--onnx")
