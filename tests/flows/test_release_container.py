"""A release in a real container: Debian's own Python under it, no root, nothing to write to, started by podman."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
import secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
for _name in ("releases", "conftest"):
    _spec = importlib.util.spec_from_file_location(f"container_{_name}", Path(__file__).with_name(f"{_name}.py"))
    assert _spec and _spec.loader
    sys.modules[f"container_{_name}"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[f"container_{_name}"])
releases, flows = sys.modules["container_releases"], sys.modules["container_conftest"]

NEEDED = ("podman", "runc", "skopeo", "mmdebstrap")
MISSING = [name for name in NEEDED if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
BASE = ROOT / ".make" / "bookworm-python"
RUN = ["podman", "--runtime", "runc", "run", "--rm", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--network=host"]
TOKEN = "0123456789abcdef0123456789abcdef"
pytestmark = [
    pytest.mark.skipif(bool(MISSING) or os.geteuid() != 0, reason=f"needs root and {', '.join(MISSING or NEEDED)}"),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="Debian bookworm has Python 3.11"),
]


def debian() -> str:
    """Debian bookworm with its Python as an OCI layout, made once for all tests to come; answers its digest."""
    BASE.parent.mkdir(exist_ok=True)
    with open(BASE.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (BASE / "index.json").exists():
            archive = BASE.with_suffix(".tar")
            words = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3", "bookworm", str(archive)]
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=280)
            if done.returncode:
                pytest.skip(f"Debian's packages cannot be fetched: {done.stderr.strip().splitlines()[-1:]}")
            subprocess.run(["skopeo", "copy", "--quiet", f"tarball:{archive}", f"oci:{BASE}:latest"], check=True)
            archive.unlink()
    found: dict[str, Any] = json.loads((BASE / "index.json").read_bytes())
    return str(found["manifests"][0]["digest"])


@pytest.fixture(scope="module")
def released(made_light: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, Any]]]:
    """The light project's image in podman's storage, by its digest, and what its release says."""
    folder = tmp_path_factory.mktemp("container")
    root = flows.copy(made_light, folder / "project")
    releases.releasable(root, debian(), base=f'path = "{BASE}"')
    flows.payoff("run", at=root)
    answer = json.loads(flows.payoff("release", "--json", at=root).stdout)
    name = f"localhost/payoff-test-{os.getpid()}:1"
    subprocess.run(["skopeo", "copy", "--quiet", f"oci:{folder}/images:release-1", f"containers-storage:{name}"], check=True)
    shutil.rmtree(folder / "images")
    yield name, answer["release"]
    subprocess.run(["podman", "rmi", "--force", name], capture_output=True, check=False)


def free_port() -> int:
    """Of those that the system gives nobody by itself: no other program can have it before it is used."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", 20_000 + secrets.randbelow(12_000)))
            return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(image: str, *words: str) -> Iterator[tuple[str, int]]:
    """A container that is not allowed anything; answers its name and its port."""
    port, name = free_port(), f"payoff-test-{os.getpid()}-{os.urandom(3).hex()}"
    options = ["--detach", "--name", name, "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--env", f"PAYOFF_PORT={port}"]
    subprocess.run([*RUN, *options, *words, image], capture_output=True, check=True, timeout=60)
    try:
        yield name, port
    finally:
        subprocess.run(["podman", "rm", "--force", "--time", "1", name], capture_output=True, check=False)


def ask(port: int, path: str, body: Any = None, token: str = TOKEN) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers), timeout=20) as reply:
            return reply.status, json.loads(reply.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except OSError:
        return 0, None


def ready(port: int, name: str) -> None:
    end = time.monotonic() + 60
    while ask(port, "/v2/health/ready")[0] != 200:
        logs = subprocess.run(["podman", "logs", name], capture_output=True, text=True, check=False)
        assert time.monotonic() < end, logs.stdout + logs.stderr
        time.sleep(0.05)


def ends(image: str, *words: str) -> str:
    """What a container says that must not start."""
    done = subprocess.run([*RUN, "--read-only", *words, image], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in {1, 2}, done.stdout + done.stderr
    return done.stderr


def row(port: int, model: str) -> dict[str, Any]:
    _, said = ask(port, f"/v2/models/{quote(model)}")
    values = {"INT64": 3, "INT32": 3, "FP64": 40.0, "BOOL": True, "BYTES": "some name"}
    return {each["name"]: values[each["datatype"]] for each in said["inputs"]}


def test_it_answers_as_nobody_with_nothing_to_write_to(released: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    image, said = released
    kept = tmp_path / "kept"
    kept.mkdir()
    os.chown(kept, 65532, 65532)
    with running(image, "--env", f"PAYOFF_TOKEN={TOKEN}", "--volume", f"{kept}:/var/lib/payoff") as (name, port):
        ready(port, name)
        inside = ["podman", "exec", name, "/opt/payoff/bin/python", "-c"]
        who = "import os; print(os.getuid(), os.access('/opt', os.W_OK), os.access('/srv', os.W_OK))"
        assert subprocess.run([*inside, who], capture_output=True, text=True, check=True).stdout.split() == ["65532", "False", "False"]
        serves = "import json; print(json.load(open('/opt/model/released.json'))['served']['name'])"
        model = subprocess.run([*inside, serves], capture_output=True, text=True, check=True).stdout.strip()
        asked = {"dataframe_records": [row(port, model)]}
        assert ask(port, "/decide", asked, token="x" * 32)[0] == 401
        status, decided = ask(port, "/decide", asked)
        assert status == 200, decided
        assert decided["version"] == said["run"]
        assert set(decided["decisions"][0]) >= {"action", "expected_payoff", "probabilities"}
        logged = list((kept / ".payoff/serving/log" / said["run"]).glob("*"))
        assert logged and flows.SECRET.encode() not in logged[0].read_bytes()
        subprocess.run(["podman", "stop", "--time", "10", name], capture_output=True, check=True)
    assert list((kept / ".payoff/serving/log" / said["run"]).glob("*.parquet")), "stopped by SIGTERM, the log is whole"


def test_the_model_sees_its_environment_and_no_other(released: tuple[str, dict[str, Any]]) -> None:
    image, _ = released
    words = "import sys, pyarrow; print(sys.prefix, pyarrow.__file__); import importlib.util as u; print([n for n in ('uvicorn','payoff','apt','msgspec') if u.find_spec(n)])"
    done = subprocess.run([*RUN, "--entrypoint", "/opt/environment/bin/python", image, "-P", "-c", words], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("/opt/environment /opt/environment/lib/") and second == "[]"


def test_it_does_not_start_for_everybody_unless_told(released: tuple[str, dict[str, Any]]) -> None:
    image, _ = released
    said = ends(image)
    assert "PO-J013" in said and "PAYOFF_TOKEN" in said
    assert "PO-J012" in ends(image, "--env", "PAYOFF_TOKEN=short")
    with running(image, "--env", "PAYOFF_OPEN=1") as (name, port):
        ready(port, name)
        assert ask(port, "/v2", token="")[0] == 200


def test_a_token_in_a_file_is_asked_for(released: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    image, _ = released
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    mounted = ("--tmpfs", "/run/payoff:rw,mode=0755", "--volume", f"{tmp_path}/token:/run/payoff/token:ro")
    with running(image, *mounted) as (name, port):
        ready(port, name)
        assert (ask(port, "/v2")[0], ask(port, "/v2", token="x" * 32)[0]) == (200, 401)
    assert "PO-A181" in ends(image, "--env", "PAYOFF_TOKEN_FILE=/run/elsewhere")


def test_another_model_than_the_released_one_is_not_opened(released: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    """Planted bytes that would run on opening never do."""
    image, said = released
    planted = tmp_path / "model.pickle"
    planted.write_bytes(b"cos\nsystem\n(S'touch /tmp/opened; echo OPENED >&2'\ntR.")
    told = ends(image, "--env", "PAYOFF_OPEN=1", "--volume", f"{planted}:/opt/model/model.pickle:ro")
    assert "PO-J019" in told and "OPENED" not in told
    assert "PO-J019" in ends(image, "--env", "PAYOFF_OPEN=1", "--env", f"PAYOFF_MODEL=sha256:{'0' * 64}")
    with running(image, "--env", "PAYOFF_OPEN=1", "--env", f"PAYOFF_MODEL={said['model']['sha256']}") as (name, port):
        ready(port, name)


def test_a_file_is_scored_in_a_container_as_by_the_run(made_light: Path, released: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    """Without a network, with nothing to write to but the folder of the file."""
    shutil.copy(made_light / "data/customers.csv", tmp_path / "in.csv")
    tmp_path.chmod(0o777)
    words = ["/opt/payoff/bin/python", "-P", "-B", "-m", "payoff", "score"]
    command = [*RUN[:-1], "--network=none", "--read-only", "--cap-drop=all", "--tmpfs=/tmp", "--volume", f"{tmp_path}:/data", "--entrypoint", json.dumps(words)]
    command += [released[0], "--released", "/opt/model", "--input", "/data/in.csv", "--output", "/data/scores.parquet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    root = flows.copy(made_light, tmp_path / "project")
    releases.releasable(root, debian(), base=f'path = "{BASE}"')
    run = json.loads(flows.payoff("run", "--json", at=root).stdout)["run"]
    flows.payoff("score", run, "--input", "data/customers.csv", "--output", "own.parquet", at=root)
    here, there = (pq.read_table(each) for each in (root / "own.parquet", tmp_path / "scores.parquet"))
    assert here.equals(there)  # of another run of the same, whose name is in the schema


def test_a_place_that_cannot_be_written_to_is_said(released: tuple[str, dict[str, Any]]) -> None:
    image, _ = released
    assert "PO-J040" in ends(image, "--env", "PAYOFF_OPEN=1", "--env", "PAYOFF_HOME=/opt/log")
