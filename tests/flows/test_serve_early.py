"""A container's model is on its way before the server has imported anything: the same process that the server would have started, of the released bytes alone."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from payoff.base.hashing import sha256_of
from payoff.flows.serve import offer as offers
from payoff.flows.serve import released
from payoff.serving import launching, model

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("early_servers", Path(__file__).with_name("servers.py"))
assert _spec and _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules["early_servers"] = servers
_spec.loader.exec_module(servers)
WORKER = "worker/server.py"


@pytest.fixture
def image(light: Any, tmp_path: Path) -> Path:
    """The files of a release's image, laid out as in a container."""
    light.run()
    offer = offers.offer(str(light.root), "latest", lambda _line: None)
    place = tmp_path / "image/opt/model"
    place.mkdir(parents=True)
    shutil.copyfile(offer.model, place / released.MODEL)
    for name, data in released.seal(offer, sha256_of(offer.model)).items():
        (place / name).write_bytes(data)
    (place.parent / "environment").symlink_to(offer.python.parents[1])
    (place.parents[1] / "srv").symlink_to(offer.root)
    return place


@pytest.fixture
def early(image: Path) -> Iterator[launching.Started]:
    found = launching.early(str(image), {})
    assert found is not None
    yield found
    found.leave()


def models_of(pid: int) -> list[int]:
    """The model's processes under a server."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in children if WORKER in Path(f"/proc/{each}/cmdline").read_bytes().decode()]


def test_it_is_the_process_that_the_server_would_start(image: Path, early: launching.Started, tmp_path: Path) -> None:
    opened = released.opened(str(image), {"PAYOFF_OPEN": "1", "PAYOFF_HOME": str(tmp_path / "home")})
    how = launching.launch(model.facts(opened))
    assert early.how._replace(environ={}) == how._replace(environ={})
    # pytest tells children which part of a test it is at.
    assert {name for name, _ in early.how.environ.items() ^ how.environ.items()} <= {"PYTEST_CURRENT_TEST"}

    async def started(how: launching.Launch) -> tuple[int, int]:
        models = model.Models(how, pa.schema([pa.field("p", pa.float64())]), 2, tell=print, early=early)
        await models.start()
        try:
            return len(models.up), sum(each.pid == early.pid for each in models.up)
        finally:
            await models.stop()

    assert asyncio.run(started(early.how)) == (2, 1)
    assert early.returncode is not None


def test_one_of_another_model_is_ended_and_not_taken(early: launching.Started) -> None:
    other = early.how._replace(root=early.how.root + "/.")
    models = model.Models(other, pa.schema([pa.field("p", pa.float64())]), 1, tell=print, early=early)
    assert early.returncode is not None
    assert models._early is None


def test_it_is_the_one_that_answers(image: Path, tmp_path: Path) -> None:
    environ = {"PAYOFF_OPEN": "1", "PAYOFF_HOME": str(tmp_path / "home")}
    with servers.serving(tmp_path, "--released", str(image), environ=environ) as server:
        (pid,) = models_of(server.process.pid)
        assert server.ask("/v2/health/ready").status == 200
        metadata = server.ask(f"/v2/models/{servers.quote(server.model)}").json
        values = {"INT64": 3, "INT32": 3, "FP64": 40.0, "BOOL": True, "BYTES": "some name"}
        row = {each["name"]: values[each["datatype"]] for each in metadata["inputs"]}
        assert len(server.ask("/invocations", {"dataframe_records": [row]}).json["predictions"]) == 1
        os.kill(pid, 9)
        servers.until(lambda: models_of(server.process.pid) not in ([], [pid]))
        servers.until(lambda: server.ask("/v2/health/ready", keeps=False).status == 200)
        assert len(server.ask("/invocations", {"dataframe_records": [row]}).json["predictions"]) == 1, "one that dies is started again"


@pytest.mark.parametrize("case", ["bytes", "told", "file", "nothing"])
def test_what_was_not_released_is_not_started(image: Path, case: str, tmp_path: Path) -> None:
    """The server then says what is wrong, and by then nothing of the model has run."""
    environ = {"PAYOFF_OPEN": "1", "PAYOFF_HOME": str(tmp_path / "home")}
    said = json.loads((image / released.SAID).read_bytes())
    code = "PO-J019"
    if case == "bytes":
        with open(image / released.MODEL, "ab") as stream:
            stream.write(b"!")
    elif case == "told":
        environ["PAYOFF_MODEL"] = "sha256:" + "0" * 64
    elif case == "file":  # not even beside the folder
        (image / released.SAID).write_text(json.dumps({**said, "file": "../../" + released.MODEL}))
        code = "PO-J018"
    else:
        (image / released.SAID).unlink()
        code = "PO-J018"
    if case != "file":
        assert launching.early(str(image), environ) is None
    done = subprocess.run([servers.PAYOFF, "serve", "--released", str(image), "--port", "0"], capture_output=True, text=True, check=False, env={**os.environ, **environ})
    assert done.returncode in {1, 2}
    assert code in done.stderr


def test_nothing_is_left_of_a_server_that_does_not_start(image: Path, tmp_path: Path) -> None:
    """Without a token it answers nobody; the model that was on its way goes with it."""
    mark = str(tmp_path / "image")
    done = subprocess.run([servers.PAYOFF, "serve", "--released", str(image), "--port", "0"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "PO-J013" in done.stderr
    servers.until(lambda: not [each for each in Path("/proc").glob("[0-9]*") if mark in line(each)])


def line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode()
    except OSError:
        return ""
