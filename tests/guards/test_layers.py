"""The import rules hold, cover the whole house, and would be seen broken."""

from __future__ import annotations

import ast
import functools
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "src" / "payoff"
LINT = Path(sys.executable).with_name("lint-imports")
# What each room may import besides the standard library; adapters file by file: each has the library it is there for.
ALLOWED: dict[str, set[str]] = {
    "__init__.py": set(),
    "__main__.py": set(),
    "extend.py": set(),
    "base": set(),
    "records": {"msgspec"},
    "ports": {"msgspec", "pyarrow", "adbc_driver_manager"},
    "value": {"numpy", "scipy"},
    "data": {"msgspec", "pyarrow", "sqlglot"},
    "project": {"msgspec", "sqlglot", "yaml", "jsonschema"},
    "gates": {"msgspec", "numpy", "pyarrow"},
    "plan": {"msgspec"},
    "execute": {"msgspec", "pyarrow"},
    "release": {"msgspec"},
    "reproduction": {"msgspec"},
    "wiring": {"msgspec"},
    "flows": {"msgspec", "uv"},
    "gateway": {"msgspec", "pyarrow"},
    "serving": {"msgspec", "numpy", "pyarrow", "uvicorn", "httptools", "uvloop", "grpc", "google"},
    "cli": {"msgspec", "rich"},
    "testing": {"msgspec", "pytest", "pyarrow", "jsonschema"},
    "worker": {"pyarrow", "pandas", "polars", "ibis", "cloudpickle", "IPython", "_payoff_worker"},
    "adapters/sources/files": {"fsspec", "pyarrow"},
    "adapters/sources/delta": {"deltalake", "pyarrow"},
    "adapters/sources/iceberg": {"pyarrow", "pyiceberg"},
    "adapters/sources/http": {"msgspec", "pyarrow", "urllib3"},
    "adapters/sources/gateway": {"msgspec", "pyarrow"},
    "adapters/sources/sqlite": {"adbc_driver_manager", "adbc_driver_sqlite", "pyarrow"},
    "adapters/sources/postgresql": {"adbc_driver_manager", "adbc_driver_postgresql", "pyarrow"},
    "adapters/sources/redshift": {"adbc_driver_manager", "adbc_driver_postgresql", "pyarrow"},
    "adapters/sources/mysql": {"pyarrow", "pymysql"},
    "adapters/sources/duckdb": {"duckdb", "pyarrow"},
    "adapters/sources/snowflake": {"adbc_driver_manager", "adbc_driver_snowflake", "pyarrow"},
    "adapters/sources/bigquery": {"adbc_driver_manager", "adbc_driver_bigquery"},
    "adapters/sources/adbc": {"adbc_driver_manager"},
    "adapters/sources/flightsql": {"adbc_driver_manager", "adbc_driver_flightsql"},
    "adapters/sinks/files": {"fsspec", "msgspec", "pyarrow"},
    "adapters/sinks/sqlite": {"pyarrow"},
    "adapters/sinks/duckdb": {"duckdb", "pyarrow"},
    "adapters/sinks/postgresql": {"adbc_driver_manager", "adbc_driver_postgresql", "pyarrow"},
    "adapters/sinks/mysql": {"pymysql", "pyarrow"},
    "adapters/sinks/delta": {"deltalake", "pyarrow"},
    "adapters/sinks/iceberg": {"pyiceberg", "pyarrow"},
    "adapters/sinks/kafka": {"confluent_kafka", "msgspec", "pyarrow"},
    "adapters/sinks/redis": {"redis", "pyarrow"},
    "adapters/sinks/nats": {"nats", "pyarrow"},
    "adapters/streams/kafka": {"confluent_kafka"},
    "adapters/streams/nats": {"nats"},
    "adapters/streams/redis": {"redis"},
    "adapters/formats/avro": {"fastavro"},
    "adapters/landings/local": {"msgspec", "pyarrow"},
    "adapters/engines/duckdb": {"duckdb", "pyarrow"},
    "adapters/clusters/spark": {"pyspark", "py4j", "pyarrow"},
    "adapters/stores/local": set(),
    "adapters/registries/distribution": {"urllib3"},
    "adapters/deployers/container": {"urllib3"},
    "adapters/fronts/proxy": {"httptools", "msgspec"},
    "adapters/deployers/kubernetes": {"urllib3", "yaml"},
    "adapters/deployers/process": {"urllib3", "msgspec"},
    "adapters/mixers/locks": {"uv"},
    "adapters/executors/local": {"msgspec", "uv"},
    "adapters/ledgers/sqlite": {"msgspec"},
    "adapters/trackers/mlflow": {"mlflow", "alembic", "msgspec", "yaml"},
}
# What the worker's files may import when they are loaded: it starts in environments that have nothing installed.
BARE = {"_payoff_worker"}


def place(name: str) -> str:
    """`adapters/ledgers/sqlite/chain.py` -> `adapters/ledgers/sqlite`; `value/size.py` -> `value`."""
    parts = name.split("/")
    return "/".join(parts[:3]).removesuffix(".py") if parts[0] == "adapters" and len(parts) > 2 else parts[0]


@functools.cache
def foreign(source: str, *, when_loaded: bool = False) -> frozenset[str]:
    """Packages that a file imports and that are not Python's own; those in functions as well, unless `when_loaded`."""
    nodes: list[ast.AST] = [ast.parse(source)]
    found: set[str] = set()
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
        if not (when_loaded and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
            nodes.extend(ast.iter_child_nodes(node))
    return frozenset(found - sys.stdlib_module_names - {"payoff"})


def strangers(house: Path, allowed: dict[str, set[str]]) -> list[str]:
    """Files that import a package which is not for their room; files of a room that the list does not know."""
    said = []
    for file in sorted(house.rglob("*.py")):
        name = file.relative_to(house).as_posix()
        if name.startswith("templates/") or (file.name == "__init__.py" and not file.read_text(encoding="utf-8").strip()):
            continue
        source = file.read_text(encoding="utf-8")
        extra = foreign(source) - allowed.get(place(name), set())
        said += [f"{name}: {each} is not for {place(name)}" for each in sorted(extra)]
        if name.startswith("worker/"):
            said += [f"{name}: {each} is imported when the file is" for each in sorted(foreign(source, when_loaded=True) - BARE)]
            said += [f"{name}: {each}" for each in sorted(own(source))]
            ast.parse(source, feature_version=(3, 10))
    return said


def own(source: str) -> set[str]:
    """What of ours a file of the worker imports: it may only have the public module, which goes with it."""
    return {
        node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("payoff.")
    }


def uncovered(house: Path, project: str) -> list[str]:
    """Rooms of the house that a contract in pyproject.toml has forgotten."""
    contracts = {each["id"]: each for each in tomllib.loads(project)["tool"]["importlinter"]["contracts"]}
    rooms = {each.name for each in house.iterdir() if each.is_dir() and any(each.glob("*.py"))} - {"worker", "templates"}
    below = {"ports", "records", "base"}
    layers = {word.strip(" ()") for layer in contracts["rooms"]["layers"] for word in layer.split("|")}
    wanted = {
        "layers": (rooms, layers),
        # What lies above the adapters is out of their reach by the layers.
        "adapters-narrow": (rooms - below - {"adapters", "wiring", "flows", "gateway", "serving", "cli", "testing"}, named(contracts["adapters-narrow"], "forbidden_modules")),
        "third-party": (rooms - {"adapters", "testing"}, named(contracts["third-party"], "source_modules")),
        # What lives longer than a command is started by the front door.
        "thin-cli": (rooms - {"cli", "testing", "gateway", "serving", "flows", "records", "base", "adapters"}, named(contracts["thin-cli"], "forbidden_modules")),
    }  # fmt: skip
    return [f"{room} is not in {where}" for where, (need, have) in wanted.items() for room in sorted(need - have)]


def named(contract: dict[str, list[str]], key: str) -> set[str]:
    return {each.removeprefix("payoff.").partition(".")[0] for each in contract[key]}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The house without what would make it slow to read."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "templates"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(folder / "src")}
    return subprocess.run(
        [LINT, "--no-cache"], cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_rules_hold(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout


PLANTED = {
    "Rooms are layered": [
        ("base/money.py", "from payoff.records import charter\n"),
        ("value/size.py", "def f():\n    from payoff.data import split\n"),
        ("plan/graph.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from payoff.execute import run\n"),
    ],
    "Adapters know neither": [("adapters/sources/sqlite.py", "from payoff.adapters.sources import files\n")],
    "Adapters see only": [("adapters/stores/local.py", "from payoff.project import git\n")],
    "Each gate": [("gates/contract.py", "from payoff.gates import holdout_size\n")],
    "Heavy libraries": [("flows/run.py", "import duckdb\n")],
    "Nobody imports an adapter": [("execute/steps.py", "from payoff.adapters.engines import duckdb\n")],
    "The CLI calls flows": [("cli/run.py", "from payoff.value import size\n")],
}


def test_planted_imports_are_seen(copy: Path) -> None:
    """All at once, each in a file of its own: the report names every one by its contract."""
    before = {}
    for file, line in [each for group in PLANTED.values() for each in group]:
        path = copy / "src" / "payoff" / file
        before[path] = path.read_text(encoding="utf-8")
        path.write_text(f"{before[path]}\n{line}", encoding="utf-8")
    try:
        done = lint(copy)
    finally:
        for path, text in before.items():
            path.write_text(text, encoding="utf-8")
    assert done.returncode == 1
    summary, _, details = done.stdout.partition("Broken contracts")
    for contract, planted in PLANTED.items():
        (verdict,) = [line for line in summary.splitlines() if line.startswith(contract)]
        assert verdict.endswith("BROKEN"), contract
        for file, _ in planted:
            assert "payoff." + file.removesuffix(".py").replace("/", ".") in details


def test_no_contract_forgets_a_room() -> None:
    assert uncovered(HOUSE, (ROOT / "pyproject.toml").read_text(encoding="utf-8")) == []


def test_a_room_without_a_contract_is_seen(tmp_path: Path) -> None:
    (tmp_path / "monitors").mkdir()
    (tmp_path / "monitors" / "drift.py").touch()
    said = uncovered(tmp_path, (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "monitors is not in third-party" in said
    assert not [each for each in said if not each.startswith("monitors")]


def test_rooms_import_only_their_own_libraries() -> None:
    said = strangers(HOUSE, ALLOWED)
    assert not said, "\n".join(said)


def test_no_library_is_allowed_without_need() -> None:
    needed: dict[str, set[str]] = {}
    for file in HOUSE.rglob("*.py"):
        name = file.relative_to(HOUSE).as_posix()
        needed.setdefault(place(name), set()).update(foreign(file.read_text(encoding="utf-8")))
    rooms = {room for room in ALLOWED if "/" in room}  # the rooms' own lists are the design's, an adapter's is what it uses
    assert {room: ALLOWED[room] - needed[room] for room in rooms if ALLOWED[room] - needed[room]} == {}


@pytest.mark.parametrize(
    ("file", "source", "fault"),
    [
        ("value/x.py", "import pandas", "pandas is not for value"),
        ("value/x.py", "def f():\n    from scipy.sparse import x\n    import torch.nn", "torch is not for value"),
        ("attic/x.py", "import numpy", "numpy is not for attic"),
        ("adapters/sources/sqlite.py", "import duckdb", "duckdb is not for adapters/sources/sqlite"),
        ("worker/x.py", "import pyarrow", "pyarrow is imported when the file is"),
        ("worker/x.py", "from payoff.base import money", "payoff.base"),
        ("value/x.py", "import numpy, json, payoff.base", ""),
        ("worker/x.py", "def f():\n    import pyarrow", ""),
        ("templates/bank/pipeline.py", "import sklearn", ""),
    ],
)
def test_a_planted_library_is_seen(tmp_path: Path, file: str, source: str, fault: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(source)
    said = strangers(tmp_path, ALLOWED)
    assert len(said) == bool(fault), said
    assert fault in "".join(said)
