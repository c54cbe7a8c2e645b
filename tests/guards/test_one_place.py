"""Each thing has one place: what reaches outside of the program, and the name of each adapter."""

from __future__ import annotations

import ast
import builtins
import functools
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "src" / "payoff"


class Rule(NamedTuple):
    names: tuple[str, ...]  # dotted names as they are imported, or built-in functions; each covers what is under it
    places: tuple[str, ...]  # files, or folders with a `/` at the end


# The worker runs in the user's environment without the house; templates are the user's code; suites are tests.
GUESTS = ("worker/", "templates/", "testing/")
RULES = {
    "digests": Rule(("hashlib", "zlib.crc32"), ("base/hashing.py",)),
    "the present": Rule(
        ("time.time", "time.time_ns", "time.gmtime", "time.localtime", "time.strftime", "datetime.datetime.now",
         "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
        ("base/clock.py", "base/ids.py"),
    ),
    "rounding of money": Rule(
        ("decimal.ROUND_HALF_EVEN", "decimal.ROUND_HALF_UP", "decimal.ROUND_DOWN", "decimal.localcontext", "decimal.getcontext"),
        ("base/money.py",),
    ),
    "atomic writes": Rule(("os.replace", "os.rename", "os.renames", "shutil.move"), ("base/files.py",)),
    "identifiers": Rule(("uuid", "secrets", "os.urandom"), ("base/ids.py", "base/files.py")),
    "other programs": Rule(
        ("subprocess", "multiprocessing", "os.system", "os.popen", "os.fork", "os.posix_spawn", "os.posix_spawnp", "os.execv"),
        ("adapters/executors/", "adapters/signers/", "adapters/deployers/", "adapters/fronts/", "adapters/mixers/", "adapters/registries/distribution.py", "serving/launching.py", "project/git.py", "project/worktree.py", "project/releasing/", "flows/init.py"),
    ),
    "printing": Rule(("print", "input", "sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer", "rich"), ("cli/",)),
    "unpickling": Rule(("pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle", "joblib", "marshal", "shelve"), ()),
    "code made of text": Rule(("eval", "exec", "compile", "builtins.eval", "builtins.exec"), ()),
    "ending the process": Rule(("os._exit", "sys.exit", "exit", "quit"), ("cli/", "__main__.py")),
    "reading project files": Rule(("tomllib", "yaml"), ("project/", "adapters/mixers/")),
    "starting threads": Rule(("threading.Thread", "concurrent.futures", "asyncio"), ("execute/", "adapters/", "base/waiting.py", "serving/")),
    "the network": Rule(("socket", "urllib.request", "http", "requests", "fsspec"), ("adapters/sources/", "adapters/sinks/", "adapters/emitters/", "adapters/formats/", "adapters/deployers/", "adapters/fronts/", "serving/")),
}  # fmt: skip
# What is elsewhere all the same, each with its reason. May only get shorter: one that is no longer needed fails.
EXCEPTIONS = {
    ("digests", "cli/render/page.py"): "the page's own content policy asks for SHA-256",
    ("the present", "flows/unchanged.py"): "compared with the nanoseconds of files",
    ("atomic writes", "flows/unchanged.py"): "the quick path does without pathlib",
    ("atomic writes", "adapters/trackers/mlflow/store.py"): "a database that MLflow writes is put in its place when whole",
    ("identifiers", "adapters/emitters/openlineage/events.py"): "the specification wants UUIDs, which are made of the run's name",
    ("identifiers", "project/worktree.py"): "a name for a file that is removed at once",
    ("identifiers", "project/releasing/commits.py"): "a name for a file that is removed at once",
    ("identifiers", "release/documents.py"): "CycloneDX wants a UUID, which is made of the image's digest",
    ("other programs", "adapters/trackers/mlflow/tracker.py"): "tracking is a process of its own, beside the run",
    ("identifiers", "adapters/stores/local.py"): "a folder for what this process has not finished",
    ("starting threads", "cli/render/progress.py"): "the screen lives on while a run waits",
    ("printing", "adapters/trackers/mlflow/failures.py"): "tracking is a process of its own; tracebacks go to its log",
    ("unpickling", "adapters/trackers/mlflow/loader.py"): "runs in the process of an MLflow client that asked for the model",
    ("ending the process", "adapters/trackers/mlflow/process.py"): "a process of its own",
    ("reading project files", "adapters/deployers/kubernetes/access.py"): "a kubeconfig is YAML",
    ("reading project files", "adapters/deployers/kubernetes/deployer.py"): "manifests are written as YAML",
    ("reading project files", "flows/opening.py"): "finds the ledger of a project that does not load",
    ("reading project files", "adapters/trackers/mlflow/model.py"): "writes MLflow's own MLmodel file",
}  # fmt: skip


_LOOKED_AT = (
    ast.Import, ast.ImportFrom, ast.Attribute, ast.Name, ast.Constant, ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef,
)  # fmt: skip


@functools.cache
def nodes(source: str) -> list[ast.AST]:
    """The parts of a file that say what it uses; all else is left out, as there is much of it."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, _LOOKED_AT)]


def imported(source: str) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """What each name in the file stands for, and where what is imported (function by function too)."""
    stands, found = {}, []
    for node in nodes(source):
        if isinstance(node, ast.Import):
            for each in node.names:
                stands[each.asname or each.name.partition(".")[0]] = each.name if each.asname else each.name.partition(".")[0]
                found.append((node.lineno, each.name))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for each in node.names:
                stands[each.asname or each.name] = f"{node.module}.{each.name}"
                found.append((node.lineno, f"{node.module}.{each.name}"))
    return stands, found


def dotted(node: ast.expr, stands: dict[str, str]) -> str:
    """`dt.datetime.now` under `import datetime as dt` -> `datetime.datetime.now`."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value, stands)
        return f"{before}.{node.attr}" if before else ""
    return stands.get(node.id, "") if isinstance(node, ast.Name) else ""


@functools.cache
def uses(source: str) -> list[tuple[int, str]]:
    """Line and full name of everything that a file imports, reaches through an import, or calls of the built-in functions."""
    stands, found = imported(source)
    own = {node.name for node in nodes(source) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in nodes(source):
        if isinstance(node, ast.Attribute) and (name := dotted(node, stands)):
            found.append((node.lineno, name))
        elif isinstance(node, ast.Name) and hasattr(builtins, node.id) and node.id not in own | stands.keys():
            found.append((node.lineno, node.id))
    return found


def misplaced(name: str, source: str) -> list[tuple[str, int, str]]:
    """Thing, line and name of what belongs into another file."""
    return [
        (thing, line, used)
        for thing, rule in RULES.items()
        if not name.startswith((*GUESTS, *rule.places))
        for line, used in uses(source)
        if any(used == each or used.startswith(each + ".") for each in rule.names)
    ]


def sources() -> list[tuple[str, str]]:
    return [(file.relative_to(HOUSE).as_posix(), file.read_text(encoding="utf-8")) for file in sorted(HOUSE.rglob("*.py"))]


def test_each_thing_is_in_its_place() -> None:
    found = [(name, *what) for name, source in sources() for what in misplaced(name, source)]
    said = [f"{name}:{line}: {used} ({thing})" for name, thing, line, used in found if (thing, name) not in EXCEPTIONS]
    assert not said, "\n".join(said)
    assert sorted(EXCEPTIONS.keys() - {(thing, name) for name, thing, _, _ in found}) == [], "no longer needed"


def test_every_place_is_there() -> None:
    gone = [place for rule in RULES.values() for place in rule.places if not (HOUSE / place).exists()]
    assert gone == []


@pytest.mark.parametrize(
    ("name", "source", "thing"),
    [
        ("value/size.py", "import hashlib", "digests"),
        ("value/size.py", "def f():\n    from hashlib import sha256", "digests"),
        ("plan/keys.py", "import time\nstarted = time.time()", "the present"),
        ("plan/keys.py", "from time import time as now", "the present"),
        ("plan/keys.py", "import datetime as dt\nx = dt.datetime.now(dt.UTC)", "the present"),
        ("plan/keys.py", "from datetime import datetime\nx = datetime.now()", "the present"),
        ("value/size.py", "from decimal import ROUND_HALF_UP", "rounding of money"),
        ("flows/run.py", "import os\nos.replace(a, b)", "atomic writes"),
        ("execute/run.py", "import uuid", "identifiers"),
        ("gates/contract.py", "from subprocess import run", "other programs"),
        ("adapters/sources/files.py", "import os\nos.system('ls')", "other programs"),
        ("flows/run.py", "def f():\n    print('x')", "printing"),
        ("flows/run.py", "show = print", "printing"),
        ("execute/steps.py", "import pickle as p\np.load(stream)", "unpickling"),
        ("data/checks.py", "eval(text)", "code made of text"),
        ("flows/run.py", "import sys\nsys.exit(1)", "ending the process"),
        ("flows/run.py", "import yaml", "reading project files"),
        ("wiring/assemble.py", "import urllib.request", "the network"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found(name: str, source: str, thing: str) -> None:
    assert {each for each, _, _ in misplaced(name, source)} == {thing}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("cli/run.py", "print('x')"),
        ("base/hashing.py", "import hashlib"),
        ("adapters/executors/ray.py", "import subprocess"),
        ("worker/server.py", "import os, pickle\nos.replace(a, b)\npickle.load(stream)"),
        ("value/size.py", "# print(what) would be wrong\n'''print(what) too'''"),
        ("value/size.py", "def compile(text): ...\ncompile('x')"),
        ("value/size.py", "import re\nre.compile('x')\nmodel.eval()\nblueprint(x)"),
        ("value/size.py", "import time\ntime.perf_counter()"),
        ("value/size.py", "name = text.replace('a', 'b')"),
    ],
)
def test_a_planted_innocent_is_left_alone(name: str, source: str) -> None:
    assert misplaced(name, source) == []


def adapters(project: str) -> dict[str, str]:
    """Adapter's name -> the beginning of its files' names, from the entry points; gates are rules, not adapters."""
    points = tomllib.loads(project)["project"]["entry-points"]
    return {
        name: module.removeprefix("payoff.").replace(".", "/")
        for group, each in points.items()
        if group != "payoff.gates"
        for name, module in each.items()
    }


def strangers(name: str, source: str, known: dict[str, str]) -> list[tuple[int, str]]:
    """Line and text of what names an adapter outside of its own files. Docstrings may."""
    documents = {
        id(node.body[0].value)
        for node in nodes(source)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None
    }
    return [
        (node.lineno, node.value)
        for node in nodes(source)
        if isinstance(node, ast.Constant) and id(node) not in documents and node.value in known
        and not name.startswith((*GUESTS, "adapters/"))
    ]  # fmt: skip


# Words that are an adapter's name all the same, each with its reason.
NAMED = {
    ("wiring/assemble.py", "duckdb"): "the engine of a project that names none",
    ("wiring/assemble.py", "local"): "the store and executor of a project that names none",
    ("wiring/assemble.py", "sqlite"): "the ledger of a project that names none",
    ("wiring/assemble.py", "locks"): "what mixes environments",
    ("wiring/assemble.py", "layout"): "the registry of a project that names none",
    ("wiring/assemble.py", "ssh"): "the keys of a project that names none",
    ("wiring/assemble.py", "proxy"): "the front of a deployment that names none",
    ("wiring/assemble.py", "files"): "the source that an interview looks into",
    ("records/project.py", "mlflow"): "the tracker of a project that names none",
    ("cli/main.py", "gateway"): "the verb that serves what the adapter reads",
    ("cli/gateway.py", "gateway"): "the verb",
    ("project/places.py", "gateway"): "the section of what the verb serves",
    ("gateway/reading.py", "gateway"): "how the audit says that something was read through one",
    ("serving/protocols/openapi.py", "http"): "how OpenAPI calls a token in a header",
    ("release/documents.py", "container"): "CycloneDX's word for an image",
    ("wiring/assemble.py", "kubernetes"): "what writes manifests for clusters",
    ("wiring/assemble.py", "process"): "what has images as folders",
    ("project/releasing/origin.py", "ssh"): "the scheme of an address",
    ("flows/exporting/kfp.py", "container"): "a key of Kubeflow's specification",
    ("cli/releasing/export.py", "mlflow"): "the format",
    ("flows/exporting/export.py", "mlflow"): "the format",
    ("cli/render/releasing/exported.py", "mlflow"): "the format",
    ("base/text.py", "duckdb"): "the dialect of SQL, which has the engine's name",
}


def test_no_adapter_is_named_outside_its_file() -> None:
    known = adapters((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = [(name, line, word) for name, source in sources() for line, word in strangers(name, source, known)]
    said = [f"{name}:{line}: {word!r}" for name, line, word in found if (name, word) not in NAMED]
    assert not said, "\n".join(said)
    assert sorted(NAMED.keys() - {(name, word) for name, _, word in found}) == [], "no longer needed"


def test_no_adapter_names_another() -> None:
    """Within `adapters/` a name may be the library's own word; a foreign adapter's is not."""
    known = adapters((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for name, source in sources():
        if name.startswith("adapters/"):
            said = [used.split(".")[1:4] for _, used in uses(source) if used.startswith("payoff.adapters.")]
            assert not [each for each in said if each[2] in known and not name.startswith("/".join(each))], name


def test_a_planted_name_is_found() -> None:
    known = adapters('[project.entry-points."payoff.sources"]\nkafka = "payoff.adapters.sources.kafka"')
    assert strangers("execute/steps.py", "if kind == 'kafka': pass", known) == [(1, "kafka")]
    assert strangers("adapters/sources/kafka.py", "KIND = 'kafka'", known) == []
    assert strangers("execute/steps.py", '"""Unlike kafka."""', known) == []
    assert strangers("execute/steps.py", "say('a kafka table')", known) == []
