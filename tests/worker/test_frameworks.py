"""Two runs of one step agree bit for bit, with the libraries themselves: each in an environment of its own that uv makes.

They are off by default: the wheels are about 0.7 GB the first time (uv keeps them). `make frameworks` runs them.
"""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from payoff.testing.executor import connect, project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(900)]

DATA = """
import hashlib, numpy

def data(rows=4000):
    rng = numpy.random.default_rng(3)
    x = rng.normal(size=(rows, 20)).astype("float32")
    return x, (x[:, :5].sum(1) + rng.normal(size=rows) > 0).astype("int64")

def bits(*arrays):
    return hashlib.sha256(b"".join(numpy.ascontiguousarray(each).tobytes() for each in arrays)).hexdigest()

"""
NUMPY = """
def step():
    x, _ = data()
    noise = numpy.random.standard_normal((2000, 200)).astype("float32")
    left = noise @ noise.T
    return bits(left, numpy.linalg.svd(noise[:300])[1], numpy.dot(x.ravel(), x.ravel()))
"""
SKLEARN = """
def step():
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import SGDClassifier
    from sklearn.neural_network import MLPClassifier
    x, y = data()
    models = [RandomForestClassifier(20, n_jobs=2), SGDClassifier(loss="log_loss"), MLPClassifier(max_iter=3),
              HistGradientBoostingClassifier(max_iter=20, early_stopping=True)]
    import warnings
    warnings.simplefilter("ignore")
    return bits(*(model.fit(x, y).predict_proba(x) for model in models))
"""
LIGHTGBM = """
def step():
    import lightgbm
    x, y = data(20000)
    model = lightgbm.LGBMClassifier(n_estimators=30, subsample=0.7, subsample_freq=1, colsample_bytree=0.7, verbose=-1)
    return bits(model.fit(x, y).predict_proba(x))
"""
XGBOOST = """
def step():
    import xgboost
    x, y = data(20000)
    model = xgboost.XGBClassifier(n_estimators=30, subsample=0.7, colsample_bytree=0.7, tree_method="hist")
    return bits(model.fit(x, y).predict_proba(x))
"""
TORCH = """
def step():
    import torch
    x, y = (torch.from_numpy(each) for each in data())
    net = torch.nn.Sequential(torch.nn.Linear(20, 32), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(32, 2))
    table = torch.nn.EmbeddingBag(50, 32, mode="sum")
    rows = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=256, shuffle=True)
    adam = torch.optim.Adam([*net.parameters(), *table.parameters()], lr=0.01)
    for _ in range(3):
        for some, outcome in rows:
            adam.zero_grad()
            hidden = net[2](net[1](net[0](some))) + table((some[:, :4].abs() * 10).long().clamp(max=49))
            torch.nn.functional.cross_entropy(net[3](hidden), outcome).backward()
            adam.step()
    return bits(*(each.detach().numpy() for each in [*net.parameters(), *table.parameters()]))
"""
TENSORFLOW = """
def step():
    import tensorflow as tf
    x, y = data()
    keras = tf.keras
    model = keras.Sequential([keras.layers.Dense(32, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    model.fit(x, y, epochs=2, batch_size=128, verbose=0)
    summed = tf.math.unsorted_segment_sum(tf.random.normal([4000, 8]), y.astype("int32"), 2)
    return bits(*model.get_weights(), summed.numpy())
"""
CASES = {
    "numpy": (NUMPY, ["numpy"], {"numpy": "seed"}),
    "scikit-learn": (SKLEARN, ["scikit-learn"], {"numpy": "seed"}),
    "lightgbm": (LIGHTGBM, ["lightgbm", "scikit-learn", "pandas"], {"lightgbm": "deterministic"}),
    "xgboost": (XGBOOST, ["xgboost-cpu", "scikit-learn"], {"numpy": "seed"}),
    "torch": (TORCH, ["torch", "numpy", "pyarrow"], {"torch": "deterministic algorithms, warn only"}),
    "tensorflow": (TENSORFLOW, ["tensorflow-cpu", "pyarrow"], {"tensorflow": "op determinism", "keras": "seed"}),
}  # fmt: skip


def wheelhouses() -> str:
    """Where pip, on this machine, also looks for wheels: uv has to be told."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    return ",".join(dict.fromkeys(re.findall(r"find-links='([^']+)'", done.stdout))).replace(" ", ",")


def torch_here() -> str:
    """A build for processors alone where pip has one on disk (0.2 GB); else what the index gives (several GB on Linux)."""
    folders = [Path(each) for each in wheelhouses().split(",") if each]
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}-"
    found = sorted(wheel.name.split("-")[1] for folder in folders for wheel in folder.glob(f"torch-*+cpu-{tag}*"))
    return f"torch=={found[-1]}" if found else "torch"


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The interpreter of a sandbox with a case's packages, made by the executor itself."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            with pytest.MonkeyPatch.context() as patch:
                wanted = list(CASES[name][1])
                if name == "torch" and wheelhouses():
                    patch.setenv("UV_FIND_LINKS", wheelhouses())
                    wanted[0] = torch_here()
                environment = project(root, dependencies=wanted)
                executor = connect("payoff.executors:local", root)
                try:
                    made[name] = Path(executor.prepare(environment, lambda _line: None)["folder"]) / "bin" / "python"
                finally:
                    executor.close()
        return made[name]

    return make


@pytest.fixture
def serve(tmp_path: Path, interpreter: Callable[[str], Path], worker: Any) -> Iterator[Callable[[str, str], Any]]:
    """A server of its own in the sandbox of a case, for a `pipeline.py`."""
    kind, servers = type(worker), []

    def start(name: str, source: str) -> Any:
        root = tmp_path / f"run{len(servers)}"
        root.mkdir()
        (root / "pipeline.py").write_text(source)
        servers.append(kind(root, interpreter(name), PYTHONHASHSEED="0"))
        return servers[-1]

    yield start
    for each in servers:
        each.close()


@pytest.fixture
def run(serve: Callable[[str, str], Any]) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """A step in a server of its own: what it answers, and its fingerprint."""

    def once(name: str, source: str = "", **settings: Any) -> tuple[Any, dict[str, Any]]:
        server = serve(name, DATA + (source or CASES[name][0]))
        server.send(server.task(**{"seed": 7, **settings}))
        found = server.answer(300)["result"]
        assert found["ok"], found
        return pickle.loads(Path(found["file"]).read_bytes()), found["fingerprint"]

    return once


@pytest.mark.parametrize("name", CASES)
def test_two_runs_agree_bit_for_bit(name: str, run: Callable[..., tuple[str, dict[str, Any]]]) -> None:
    first, fingerprint = run(name, threads=2)
    again = [run(name, threads=2)[0] for _ in range(2)]
    assert again == [first, first]
    for library, switch in CASES[name][2].items():
        assert switch in fingerprint["switches"][library]
    assert fingerprint["deterministic"] is True


# -- without the switches

SCATTERED = """
def step():
    import torch
    where, what = torch.randint(0, 8, (2_000_000,)), torch.randn(2_000_000)
    found = set()
    for _ in range(100 if not torch.are_deterministic_algorithms_enabled() else 10):
        found.add(bits(torch.zeros(8).index_put_((where,), what, accumulate=True).numpy()))
        if len(found) > 1:
            break
    return len(found)
"""
MAPPED = """
def step():
    import tensorflow as tf
    found = set()
    for _ in range(8):
        tf.random.set_seed(7)
        noisy = tf.data.Dataset.range(400).map(lambda n: tf.random.uniform(()), num_parallel_calls=4)
        found.add(bits(numpy.array([float(each) for each in noisy])))
    return len(found)
"""


@pytest.mark.parametrize(("name", "source"), [("torch", SCATTERED), ("tensorflow", MAPPED)])
def test_the_switch_is_what_makes_them_agree(name: str, source: str, run: Callable[..., tuple[Any, dict[str, Any]]]) -> None:
    """Additions by several threads, random draws by several threads: in the order of whoever comes first."""
    distinct, fingerprint = run(name, source=source, threads=4, deterministic=False)
    assert distinct > 1
    assert fingerprint["switches"][name] == ["seed"]
    assert run(name, source=source, threads=4)[0] == 1


def test_lightgbm_is_told_by_its_parameters(run: Callable[..., tuple[Any, dict[str, Any]]]) -> None:
    """Its results did not differ without them in what was tried; that it got them is read from the model it wrote."""
    source = LIGHTGBM.replace("return bits(model.fit(x, y).predict_proba(x))", "return model.fit(x, y).booster_.model_to_string()")
    for settings, told in (({}, ("1", "1")), ({"deterministic": False}, ("0", "0"))):
        text, _ = run("lightgbm", source=source, **settings)
        assert re.findall(r"^\[(?:deterministic|force_row_wise): (\d)\]", text, re.MULTILINE) == [*told], text[-3000:]
    own = source.replace("verbose=-1", "verbose=-1, force_col_wise=True, deterministic=False")
    text, _ = run("lightgbm", source=own)
    assert "[deterministic: 0]" in text, "what the user says stays"
    assert "[force_row_wise: 0]" in text


CLUSTERED = """
def step():
    from sklearn.cluster import KMeans
    x, found = numpy.random.default_rng(3).normal(size=(60_000, 10)).astype("float32"), set()
    for _ in range(8 if THREADS < 3 else 60):
        found.add(bits(KMeans(8, n_init=1, max_iter=20, random_state=0).fit(x).cluster_centers_))
        if len(found) > 1:
            break
    return len(found)
"""


def test_no_switch_makes_many_threads_of_kmeans_agree(run: Callable[..., tuple[Any, dict[str, Any]]]) -> None:
    """What docs/determinism.md says: each thread adds its part when it ends. Two parts are the same sum in either order."""
    assert run("scikit-learn", source=f"THREADS = 1{CLUSTERED}", threads=1)[0] == 1
    assert run("scikit-learn", source=f"THREADS = 4{CLUSTERED}", threads=4)[0] > 1


def test_no_switch_makes_numbers_of_threads_agree(run: Callable[..., tuple[Any, dict[str, Any]]]) -> None:
    """What docs/determinism.md says of BLAS: it adds in other groups."""
    assert run("numpy", threads=1)[0] != run("numpy", threads=2)[0]


# -- models: kept with the same bytes, opened by the library alone, scored

MODELS = {
    "scikit-learn": SKLEARN.replace("return bits(*(model.fit(x, y).predict_proba(x) for model in models))", "return [model.fit(x, y) for model in models]"),
    "lightgbm": LIGHTGBM.replace("return bits(model.fit(x, y).predict_proba(x))", "return model.fit(x, y)"),
    "xgboost": XGBOOST.replace("return bits(model.fit(x, y).predict_proba(x))", "return model.fit(x, y)"),
    "torch": TORCH.replace("return bits(*(each.detach().numpy() for each in [*net.parameters(), *table.parameters()]))",
                           "return torch.nn.Sequential(*net, torch.nn.LSTM(2, 3), table)"),
    "tensorflow": TENSORFLOW.replace("return bits(*model.get_weights(), summed.numpy())", "return model"),
}  # fmt: skip
TORCH_NET = """
def step():
    import torch
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout(0.5), torch.nn.Linear(2, 1), torch.nn.Sigmoid())
    with torch.no_grad():
        net[2].weight.copy_(torch.tensor([[1.0, -1.0]]))
        net[2].bias.zero_()
    return net
"""
KERAS_NET = """
def step():
    import keras
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1, "sigmoid")])
    net.set_weights([numpy.array([[1.0], [-1.0]]), numpy.array([0.0])])
    return net
"""
KERAS_TWO = """
def step():
    import keras
    a, b = keras.Input((1,), name="a"), keras.Input((1,), name="b")
    net = keras.Model([a, b], keras.layers.Activation("softmax")(keras.layers.Concatenate()([b, a])))
    return net
"""


@pytest.mark.parametrize("name", MODELS)
def test_two_models_are_the_same_bytes(name: str, serve: Callable[[str, str], Any], interpreter: Callable[[str], Path]) -> None:
    """Also when they are saved a second apart; and whoever has the library alone opens them."""
    files = []
    for _ in range(2):
        server = serve(name, DATA + MODELS[name])
        server.send(server.task(seed=7, threads=2))
        found = server.answer(300)["result"]
        assert found["ok"], found
        files.append(Path(found["file"]))
        time.sleep(2.1)  # an archive's times are in steps of two seconds
    assert files[0].read_bytes() == files[1].read_bytes()
    done = subprocess.run([interpreter(name), "-c", f"import pickle; pickle.load(open({str(files[0])!r}, 'rb'))"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("torch", TORCH_NET, {"prediction": [0.5, 0.2689, 0.7311]}),
        ("tensorflow", KERAS_NET, {"prediction": [0.5, 0.2689, 0.7311]}),
        ("tensorflow", KERAS_TWO, {"p_0": [0.5, 0.7311, 0.2689], "p_1": [0.5, 0.2689, 0.7311]}),
    ],
)
def test_a_net_is_scored_as_it_is(
    name: str, source: str, expected: dict[str, list[float]], serve: Callable[[str, str], Any], tmp_path: Path
) -> None:
    """It takes the columns of train without the id, as numbers, and is not in training any more (dropout would show)."""
    server = serve(name, DATA + source)
    server.send(server.task(seed=7, output=str(tmp_path / "model")))
    assert server.answer(300)["result"]["ok"]
    content = pa.table({"id": [1, 2, 3], "a": [1, 2, 3], "b": [1.0, 3.0, 2.0]})
    found = score(server, tmp_path, content)
    assert found["ok"], found
    assert found["extra"]["feature_names"] == (["a", "b"] if source != KERAS_TWO else ["id", "a", "b"])
    with pa.memory_map(found["file"]) as stream:
        said = pa.ipc.open_file(stream).read_all().to_pydict()
    assert {key: pytest.approx(values, abs=1e-4) for key, values in expected.items()} == said
    if source != KERAS_TWO:
        more = score(server, tmp_path, content.append_column("c", pa.array([1, 2, 3])))["failure"]
        assert more["kind"] == "type"
        assert "the 3 columns of train but the id and the outcome (a, b, c)" in more["message"]
        text = score(server, tmp_path, content.append_column("c", pa.array(["x", "y", "z"])))["failure"]
        assert "the column 'c' has string; encode it" in text["message"]


def score(server: Any, folder: Path, content: pa.Table) -> dict[str, Any]:
    path = folder / f"rows{content.num_columns}.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, content.schema) as writer:
        writer.write_table(content)
    inputs = [
        {"name": "model", "path": str(folder / "model.pickle"), "form": "object"},
        {"name": "rows", "path": str(path), "form": "pyarrow", "columns": None},
    ]
    server.send(server.task(kind="score", function="", inputs=inputs, options={"id": "id"}, output=str(folder / "scores")))
    answer: dict[str, Any] = server.answer(300)["result"]
    return answer
