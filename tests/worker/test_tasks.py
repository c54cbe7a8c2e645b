"""One task: what its function may see, what is said of its failures, the forms of tables."""

from __future__ import annotations

import json
import pickle
import venv
from typing import TYPE_CHECKING, Any

import numpy
import pandas
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Worker

TABLE = pa.table({"a": [1, 2, 3], "b": ["x", "y", None]})


def value(worker: Worker, source: str | None = None, **changes: Any) -> Any:
    found = worker.result(source, **changes)
    assert found["ok"], found
    with open(found["file"], "rb") as stream:
        return pickle.load(stream)


def failure(worker: Worker, source: str, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = worker.result(source, **changes)["failure"]
    return found


def table(
    worker: Worker, name: str, content: pa.Table = TABLE, *, form: str = "pyarrow", **more: Any
) -> dict[str, Any]:
    """An input."""
    path = worker.root / f"{name}.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, content.schema) as writer:
        writer.write_table(content)
    return {"name": name, "path": str(path), "form": form, **more}


def returned(found: dict[str, Any]) -> pa.Table:
    assert found["ok"], found
    with pa.OSFile(found["file"], "rb") as source:
        return pa.ipc.open_file(source).read_all()


# -- failures


def test_a_syntax_error_is_at_its_line(worker: Worker) -> None:
    found = failure(worker, "x = 1\ndef step(:\n    pass\n")
    assert (found["kind"], found["error"], found["where"]) == ("exception", "SyntaxError", ["pipeline.py", 2])


def test_the_place_is_the_users_last_line_and_the_trace_has_the_librarys(worker: Worker) -> None:
    found = failure(worker, "import json\ndef step():\n    return json.loads('[')\n")
    assert found["where"] == ["pipeline.py", 3]
    assert "decoder.py" in found["trace"]
    assert "worker" not in found["trace"]


def test_a_cause_is_shown(worker: Worker) -> None:
    source = """
def step():
    try:
        {}["first"]
    except KeyError as error:
        raise RuntimeError("second") from error
"""
    found = failure(worker, source)
    assert found["error"] == "RuntimeError"
    assert "KeyError" in found["trace"]
    assert "direct cause" in found["trace"]
    assert "worker" not in found["trace"]


def test_an_endless_recursion_is_told_briefly(worker: Worker) -> None:
    found = failure(worker, "def step():\n    return step()\n")
    assert found["error"] == "RecursionError"
    assert len(found["trace"]) < 20_000


def test_half_a_pair_of_surrogates_is_spelled_out(worker: Worker) -> None:
    found = failure(worker, "def step():\n    raise ValueError('a\\udcffb')\n")
    assert found["message"] == "a\\udcffb"
    assert "\\udcff" in found["trace"].encode().decode()


@pytest.mark.parametrize("name", ["traceback", "linecache", "textwrap"])
def test_a_module_of_the_projects_in_the_way_of_a_traceback_hides_no_failure(worker: Worker, name: str) -> None:
    (worker.root / f"{name}.py").write_text("raise RuntimeError('mine')\n")
    found = failure(worker, "def step():\n    raise ValueError('said')\n")
    assert (found["error"], found["message"]) == ("ValueError", "said")
    assert "said" in found["trace"]


def test_what_an_exit_says_is_only_in_the_trace(worker: Worker) -> None:
    found = failure(worker, "def step():\n    raise SystemExit('a value')\n")
    assert (found["kind"], found["message"]) == ("exit", "exit code 1, with a message")
    assert "a value" in found["trace"]


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("import nobody_has_this\ndef step(): ...", "environment", "nobody_has_this"),
        ("def step():\n    import nobody_has_this.part", "environment", "nobody_has_this"),
        ("import json.nothing\ndef step(): ...", "exception", "json.nothing"),
        ("def step():\n    import payoff.base", "exception", "payoff.base"),
        ("def step():\n    from payoff import nothing", "exception", "nothing"),
        ("def other(): ...", "exception", "step"),
        ("def step():\n    raise SystemExit(3)", "exit", "3"),
        ("def step():\n    raise KeyboardInterrupt", "exception", ""),
        ("def step():\n    raise MemoryError", "memory", ""),
        ("class Bad(Exception):\n    def __str__(self): raise ValueError\ndef step():\n    raise Bad", "exception", ""),
        ("import threading\ndef step():\n    return threading.Lock()", "type", "lock"),
        ("def step():\n    return (each for each in 'abc')", "type", "generator"),
    ],
)
def test_a_failure_has_its_kind(worker: Worker, source: str, kind: str, said: str) -> None:
    found = failure(worker, source)
    assert found["kind"] == kind, found
    assert said in found["message"]


def test_too_much_memory_is_a_failure_of_its_own(worker: Worker) -> None:
    limited = {"memory_bytes": 1 << 30}
    assert failure(worker, "def step():\n    return bytearray(2 << 30)\n", environment=limited)["kind"] == "memory"
    assert value(worker, "def step():\n    return len(bytearray(64 << 20))\n", environment=limited) == 64 << 20


# -- surroundings


def test_metrics_come_with_the_result(worker: Worker) -> None:
    source = "import payoff\ndef step():\n    payoff.log_metric('a', 1)\n    payoff.log_metric('b', float('nan'))\n"
    metrics = worker.result(source)["metrics"]
    assert metrics["a"] == 1.0
    assert metrics["b"] != metrics["b"]


def test_what_was_loaded_is_told(worker: Worker) -> None:
    found = worker.result("import numpy\ndef step(): ...\n", seed=3)["fingerprint"]
    assert found["packages"]["numpy"] == numpy.__version__
    assert "pandas" not in found["packages"]
    assert (found["seed"], found["hash_seed"]) == (3, "0")


def test_modules_of_the_worker_are_in_nobodys_way(worker: Worker) -> None:
    """A project may name its modules as we do ours."""
    for name in ("tasks", "server", "forms", "imports", "scoring", "queries", "determinism"):
        (worker.root / f"{name}.py").write_text(f"mine = {name!r}\n")
    source = "import tasks, server, forms, imports, scoring, queries, determinism as d\ndef step():\n    return tasks.mine + d.mine\n"
    assert value(worker, source) == "tasksdeterminism"


def test_threads_are_set_before_a_library_reads_them(worker: Worker) -> None:
    source = "import os\ndef step():\n    return os.environ['OMP_NUM_THREADS'], os.environ['OPENBLAS_NUM_THREADS']\n"
    assert value(worker, source, threads=2) == ("2", "2")


def test_what_is_set_is_told_and_given_up_for_a_task_that_opts_out(worker: Worker) -> None:
    source = "import os\ndef step():\n    return os.environ.get('MKL_CBWR'), os.environ.get('TF_DETERMINISTIC_OPS')\n"
    assert value(worker, source, seed=3) == ("AUTO", "1")
    assert value(worker, source) == ("AUTO", None), "without a seed TensorFlow would refuse random operations"
    assert value(worker, source, seed=3, deterministic=False) == (None, None)
    told = worker.result("import numpy, random\ndef step(): ...\n", seed=3, threads=2)["fingerprint"]
    assert told["deterministic"] is True
    assert told["switches"]["numpy"] == ["seed"]
    assert "OMP_NUM_THREADS=2" in told["switches"]["environment"]
    told = worker.result(seed=3, deterministic=False)["fingerprint"]
    assert (told["deterministic"], "environment" in told["switches"]) == (False, False)


def test_a_users_own_variables_stay(tmp_path: Path, python: Path, worker: Worker) -> None:
    """Also when a process was got ready for a task that set them."""
    own = type(worker)(worker.root, python, PYTHONHASHSEED="0", MKL_CBWR="AVX2", OMP_NUM_THREADS="3")
    try:
        source = "import os\ndef step():\n    return os.environ['MKL_CBWR'], os.environ['OMP_NUM_THREADS']\n"
        (worker.root / "pipeline.py").write_text(source)
        own.send({"ready": own.task(id="soon", step="s", threads=1)})
        assert value(own, source, id="soon") == ("AVX2", "3")
        assert value(own, source, threads=2) == ("AVX2", "2")
    finally:
        own.close()


def test_seeds_are_set_whenever_a_library_comes(worker: Worker) -> None:
    source = "def step():\n    import numpy, random\n    return float(numpy.random.rand()), random.random()\n"
    one = value(worker, source, seed=7)
    assert one == value(worker, "import numpy\n" + source, seed=7)
    assert one != value(worker, source, seed=8)
    assert one[0] == numpy.random.RandomState(7).rand()
    assert value(worker, source) != value(worker, source), "without a seed nothing is fixed"


def test_asking_whether_a_library_is_there_leaves_its_seed(worker: Worker) -> None:
    source = "def step():\n    import importlib.util\n    assert importlib.util.find_spec('numpy')\n    import numpy\n    return float(numpy.random.rand())\n"
    assert value(worker, source, seed=7) == numpy.random.RandomState(7).rand()


def test_switches_of_frameworks_are_set_when_they_are_imported(worker: Worker) -> None:
    """Modules by the names of PyTorch and TensorFlow that write down what they are told."""
    (worker.root / "torch.py").write_text(
        "told = []\nmanual_seed = lambda seed: told.append(seed)\n"
        "use_deterministic_algorithms = lambda on, warn_only: told.append((on, warn_only))\n"
    )
    package = worker.root / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import types\ntold = []\nrandom = types.SimpleNamespace(set_seed=told.append)\n"
        "experimental = types.SimpleNamespace(enable_op_determinism=lambda: told.append('determinism'))\n"
        "config = types.SimpleNamespace(experimental=experimental)\n"
    )
    source = "def step():\n    import torch, tensorflow\n    return torch.told, tensorflow.told\n"
    assert value(worker, source, seed=5) == ([5, (True, True)], [5, "determinism"])
    assert value(worker, source, seed=5, deterministic=False) == ([5], [5])


# -- tables


@pytest.mark.parametrize(
    ("form", "named"),
    [("pyarrow", "pyarrow.lib.Table"), ("path", "pathlib.PosixPath"), ("polars", "polars.dataframe.frame.DataFrame"),
     ("ibis", "ibis.expr.types.relations.Table")],
)  # fmt: skip
def test_a_table_arrives_in_its_form(tables_worker: Worker, form: str, named: str) -> None:
    source = "def step(t):\n    return type(t).__module__ + '.' + type(t).__name__\n"
    assert value(tables_worker, source, inputs=[table(tables_worker, "t", form=form)]) == named


def test_a_table_goes_and_comes_in_all_forms(tables_worker: Worker) -> None:
    for form, made in (("polars", "t"), ("polars", "t.lazy()"), ("ibis", "t")):
        found = tables_worker.result(
            f"def step(t):\n    return {made}\n",
            inputs=[table(tables_worker, "t", form=form)],
            options={"output_form": "polars"},
        )
        assert returned(found).to_pydict() == TABLE.to_pydict(), (form, made)


def test_an_environment_without_pyarrow_does_all_but_tables(worker: Worker, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True, with_pip=False)
    bare = type(worker)(worker.root, tmp_path / "bare" / "bin" / "python")
    try:
        assert value(bare, "def step():\n    return {'a': 1}\n") == {"a": 1}
        found = failure(bare, "def step(t): ...", inputs=[table(worker, "t", form="pandas")])
        assert found["kind"] == "environment"
        assert "package pyarrow" in found["message"]
    finally:
        bare.close()


def test_only_the_columns_that_are_taken_arrive(worker: Worker) -> None:
    source = "def step(t):\n    return t.column_names\n"
    assert value(worker, source, inputs=[table(worker, "t", columns=["b"])]) == ["b"]


@pytest.mark.parametrize(
    ("promised", "made"),
    [
        ("pyarrow", "pa.table({'a': [1, 2]})"),
        ("pyarrow", "pa.record_batch({'a': [1, 2]})"),
        ("pyarrow", "pa.table({'a': [1, 2]}).to_reader()"),
        ("pandas", "pandas.DataFrame({'a': [1, 2]})"),
        ("path", "wrote(pathlib.Path('made.parquet'))"),
    ],
)
def test_a_table_leaves_in_any_form(worker: Worker, promised: str, made: str) -> None:
    source = f"""
import pathlib, pandas, pyarrow as pa, pyarrow.parquet
def wrote(path):
    pyarrow.parquet.write_table(pa.table({{'a': [1, 2]}}), path)
    return path
def step():
    return {made}
"""
    assert returned(worker.result(source, options={"output_form": promised})).to_pydict() == {"a": [1, 2]}


def test_an_index_with_a_name_is_a_column(worker: Worker) -> None:
    source = (
        "import pandas\ndef step():\n    return pandas.DataFrame({'k': [1, 1, 2], 'v': [1, 2, 3]}).groupby('k').sum()\n"
    )
    assert returned(worker.result(source)).to_pydict() == {"v": [3, 3], "k": [1, 2]}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("pandas.DataFrame({1: [1]})", "text"),
        ("pa.Table.from_arrays([pa.array([1])] * 2, ['a', 'a'])", "'a'"),
        ("pathlib.Path('pipeline.py')", "not a Parquet file"),
        ("pathlib.Path('nowhere')", "not a Parquet file"),
        ("None", "NoneType"),
        ("[1]", "list"),
    ],
)
def test_what_is_no_table_is_told(worker: Worker, made: str, said: str) -> None:
    source = f"import pathlib, pandas, pyarrow as pa\ndef step():\n    return {made}\n"
    found = failure(worker, source, options={"output_form": "pandas"})
    assert found["kind"] == "type"
    assert said in found["message"]


def test_no_value_of_a_table_is_in_what_is_said_of_its_type(worker: Worker) -> None:
    source = "def step():\n    return {'secret': 'geheim'}\n"
    assert "geheim" not in json.dumps(worker.result(source, options={"output_form": "pandas"}))


# -- models


def scored(worker: Worker, model: str, **changes: Any) -> dict[str, Any]:
    (worker.root / "pipeline.py").write_text(f"{model}\n\ndef step():\n    return Model()\n")
    worker.send(worker.task(output=str(worker.root / "model")))
    assert worker.answer()["result"]["ok"]
    inputs = [
        {"name": "model", "path": str(worker.root / "model.pickle"), "form": "object"},
        table(worker, "rows", form="pandas"),
    ]
    return worker.result(kind="score", function="", inputs=inputs, **changes)


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        ("class Model:\n def predict_proba(self, t): return [[.25, .75]] * len(t)", {"p_0": [0.25] * 3, "p_1": [0.75] * 3}),
        ("class Model:\n classes_ = ['n', 'y']\n def predict_proba(self, t): return [[.25, .75]] * len(t)",
         {"p_n": [0.25] * 3, "p_y": [0.75] * 3}),
        ("class Model:\n def predict(self, t): return t['a'] * 2", {"prediction": [2.0, 4.0, 6.0]}),
        ("class Model:\n def __call__(self, t): return t[['a']].to_numpy()", {"prediction": [1.0, 2.0, 3.0]}),
        ("class Model:\n feature_names_in_ = ['a']\n def predict(self, t): return [len(t.columns)] * 3", {"prediction": [1.0] * 3}),
    ],
)  # fmt: skip
def test_a_model_predicts(worker: Worker, model: str, columns: dict[str, list[float]]) -> None:
    assert returned(scored(worker, model)).to_pydict() == columns


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("class Model: ...", "no predict"),
        ("class Model:\n feature_names_in_ = ['a', 'outcome']\n def predict(self, t): ...", "'outcome'"),
        ("class Model:\n classes_ = [1, 2, 3]\n def predict_proba(self, t): return [[.5, .5]] * 3", "3 classes"),
        ("class Model:\n def predict(self, t): return ['many'] * 3", "not a number"),
    ],
)
def test_a_model_that_cannot_is_told(worker: Worker, model: str, said: str) -> None:
    found = scored(worker, model)["failure"]
    assert found["kind"] == "type", found
    assert said in found["message"]


def compiled(worker: Worker, source: str, **types: pa.DataType) -> dict[str, Any]:
    fields = [{"name": name, "type": str(each)} for name, each in types.items()]
    return worker.result(source, kind="compile", inputs=[{"name": "t", "path": "", "form": "ibis", "fields": fields}])


def test_a_query_is_compiled_and_not_run(tables_worker: Worker) -> None:
    source = "def step(t):\n    return t.group_by('b').agg(total=t.a.sum())\n"
    found = compiled(tables_worker, source, a=pa.int64(), b=pa.string())
    assert found["ok"], found
    assert found["extra"]["columns"] == ["b", "total"]
    assert "SUM" in found["sql"]


TYPES = [
    pa.bool_(), pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.binary(),
    pa.date32(), pa.date64(), pa.timestamp("us"), pa.timestamp("ns", "Europe/Berlin"), pa.time64("us"), pa.duration("s"),
    pa.decimal128(18, 2), pa.dictionary(pa.int32(), pa.string()), pa.list_(pa.int64()),
    pa.list_(pa.list_(pa.string())),
]  # fmt: skip


def test_a_query_may_be_of_columns_of_any_type(tables_worker: Worker) -> None:
    types = {f"c{number}": each for number, each in enumerate(TYPES)}
    found = compiled(tables_worker, "def step(t):\n    return t.limit(3)\n", **types)
    assert found["ok"], found["failure"]["trace"]
    assert found["extra"]["columns"] == list(types)


def test_a_query_that_is_none_is_told(tables_worker: Worker) -> None:
    found = compiled(tables_worker, "def step(t):\n    return t.a\n", a=pa.int64())["failure"]
    assert found["kind"] == "type"
    assert "promises an ibis.Table" in found["message"]


def test_pandas_keeps_its_types_on_the_way(worker: Worker) -> None:
    frame = pandas.DataFrame({"d": pandas.to_datetime(["2026-01-01"]), "c": pandas.Categorical(["x"])})
    content = pa.Table.from_pandas(frame)
    source = "def step(t):\n    return t\n"
    found = returned(worker.result(source, inputs=[table(worker, "t", content, form="pandas")]))
    assert found.schema.field("d").type == content.schema.field("d").type
    assert pa.types.is_dictionary(found.schema.field("c").type)


def test_a_path_is_a_parquet_file(worker: Worker) -> None:
    source = "import shutil\ndef step(t):\n    shutil.copy(t, 'copy.parquet')\n"
    assert worker.result(source, inputs=[table(worker, "t", form="path")])["ok"]
    assert parquet.read_table(worker.root / "copy.parquet").equals(TABLE)
