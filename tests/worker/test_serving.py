"""A model's process by itself: frames in, frames out; what the model raises is told, and it goes on."""

from __future__ import annotations

import json
import pickle
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = Path(__file__).parents[2] / "src" / "payoff" / "worker" / "server.py"
HEADER = struct.Struct("<IIQ")
ASK, ANSWER, WRONG, READY = 1, 2, 3, 4
MODEL = """
class Model:
    classes_ = [0, 1]
    def predict_proba(self, rows):
        values = rows.column("x").to_pylist()
        if 13 in values:
            raise ValueError("thirteen")
        if 99 in values:
            import os
            os.kill(os.getpid(), 9)
        return [[1 - v / 100, v / 100] for v in values]
"""
SCHEMA = pa.schema([pa.field("x", pa.int64())])


class Process:
    def __init__(self, root: Path, **more: Any) -> None:
        ours, theirs = socket.socketpair()
        task = {
            "root": str(root), "model": str(root / "model.pickle"), "form": "pyarrow", "outputs": ["p_0", "p_1"], "beside": str(root / "beside"),
            "schema": SCHEMA.serialize().to_pybytes().hex(), "features": 1, "environment": {}, "step": "model", "seed": 1, "socket": theirs.fileno(), **more,
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-s", str(SERVER), str(root), json.dumps(task)], pass_fds=[theirs.fileno()], cwd=root, stdin=subprocess.DEVNULL
        )
        theirs.close()
        ours.settimeout(60)
        self.door = ours

    def send(self, number: int, body: bytes) -> None:
        self.door.sendall(HEADER.pack(ASK, number, len(body)) + body)

    def receive(self) -> tuple[int, int, bytes]:
        kind, number, size = HEADER.unpack(self._bytes(HEADER.size))
        return kind, number, self._bytes(size)

    def _bytes(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            data = self.door.recv(size - len(found))
            if not data:
                raise EOFError
            found += data
        return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODEL)
    sys.path.insert(0, str(tmp_path))
    try:
        import mine  # type: ignore[import-not-found]

        (tmp_path / "model.pickle").write_bytes(pickle.dumps(mine.Model()))
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("mine", None)
    return tmp_path


@pytest.fixture
def process(root: Path) -> Iterator[Process]:
    made = Process(root)
    yield made
    made.door.close()
    assert made.process.wait(20) in {0, -9}


def batch(*values: int) -> bytes:
    return pa.record_batch([pa.array(values)], schema=SCHEMA).serialize().to_pybytes()


def test_it_answers_batch_after_batch(process: Process) -> None:
    kind, _, said = process.receive()
    assert kind == READY
    assert json.loads(said)["model_class"] == "mine.Model"
    for number, values in ((7, (1, 2, 3)), (8, (50,))):
        process.send(number, batch(*values))
        kind, back, body = process.receive()
        assert (kind, back) == (ANSWER, number)
        schema = pa.schema([pa.field("p_0", pa.float64()), pa.field("p_1", pa.float64())])
        assert pa.ipc.read_record_batch(pa.py_buffer(body), schema)["p_1"].to_pylist() == [v / 100 for v in values]


def test_what_the_model_raises_is_told_and_it_goes_on(process: Process) -> None:
    process.receive()
    process.send(1, batch(13))
    kind, number, said = process.receive()
    assert (kind, number) == (WRONG, 1)
    assert json.loads(said) == {"kind": "exception", "error": "ValueError", "message": "thirteen"}
    process.send(2, b"no batch")
    assert process.receive()[0] == WRONG
    process.send(3, batch(1))
    assert process.receive()[0] == ANSWER


def test_a_process_that_is_killed_ends_its_socket(process: Process) -> None:
    process.receive()
    process.send(1, batch(99))
    with pytest.raises((EOFError, ConnectionError)):
        process.receive()


def test_it_ends_when_control_does(root: Path) -> None:
    process = Process(root)
    process.receive()
    process.door.close()
    assert process.process.wait(20) == 0


@pytest.mark.parametrize(("content", "error"), [(b"no pickle", "UnpicklingError"), (pickle.dumps(sys.exit), "")])
def test_a_model_that_cannot_be_loaded_is_told(root: Path, content: bytes, error: str) -> None:
    (root / "model.pickle").write_bytes(content)
    process = Process(root)
    kind, _, said = process.receive()
    assert kind == (WRONG if error else READY)  # a function is a model that is called
    assert not error or json.loads(said)["error"] == error
    process.door.close()
    process.process.wait(20)


def test_other_outputs_than_in_the_run_are_told(root: Path) -> None:
    process = Process(root, outputs=["p_yes", "p_no"])
    process.receive()
    process.send(1, batch(1))
    kind, _, said = process.receive()
    assert kind == WRONG
    assert "where it answered p_yes, p_no" in json.loads(said)["message"]
    process.door.close()
    process.process.wait(20)
