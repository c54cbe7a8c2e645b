"""A model that answers batch after batch: started by path with the interpreter of its environment, over a socket that control hands it.

Frames: kind (4 bytes), number (4), length (8), all little-endian, then the body. Asked is an Arrow record batch without its schema, which was told
at the start; answered is one of float64 columns, or JSON that says what went wrong. The pickle is opened here and nowhere else. When the
socket ends, because control ended or was killed, so does this process.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import struct
import sys
import time

ASK, ANSWER, WRONG, READY = 1, 2, 3, 4
HEADER = struct.Struct("<IIQ")
_PR_SET_PDEATHSIG = 1


def main(said):
    """Load the model that `said` (JSON) describes, and answer until the socket ends."""
    task = json.loads(said)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C reaches control, which lets this end when all is answered
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    door = socket.socket(fileno=task["socket"])
    from . import tasks

    try:
        tasks.prepare(task)
        model, schema, facts = load(task)
    except BaseException as error:  # whatever the user's code raises is reported
        said = error if isinstance(error, tasks.Unfit) else None
        kind = said.kind if said else "environment" if isinstance(error, ModuleNotFoundError) else "exception"
        told = {"kind": kind, "error": type(error).__name__, "message": tasks.said(error)}
        send(door, WRONG, 0, json.dumps(told).encode())
        return
    send(door, READY, 0, json.dumps(facts).encode())
    serve(door, task, model, schema)


def load(task):
    """The model, the schema of what will be asked, and what is known of it."""
    from . import fingerprints, forms, runtimes
    from .tasks import name_of

    pa = forms.need("pyarrow", "serving a model")
    began = time.perf_counter()
    model = runtimes.opened(task["model"])
    with pa.ipc.open_stream(pa.py_buffer(bytes.fromhex(task["schema"]))) as reader:
        schema = pa.schema([reader.schema.field(place) for place in range(task["features"])])
    facts = {
        "model_class": name_of(model),
        "seconds": time.perf_counter() - began,
        "pid": os.getpid(),
        "fingerprint": fingerprints.fingerprint(task),
    }
    return model, schema, facts


def serve(door, task, model, schema):
    """Answer until the socket ends."""
    from . import forms, tasks

    pa = forms.need("pyarrow", "serving a model")
    while True:
        header = receive(door, HEADER.size)
        if header is None:
            return
        _, number, size = HEADER.unpack(header)
        body = receive(door, size)
        if body is None:
            return
        try:
            batch = pa.ipc.read_record_batch(pa.py_buffer(body), schema)
            answer = predict(task, model, batch)
        except BaseException as error:  # the model's own failure is one batch's, not the end
            kind = error.kind if isinstance(error, tasks.Unfit) else "exception"
            if isinstance(error, MemoryError):
                kind = "memory"
            told = {"kind": kind, "error": type(error).__name__, "message": tasks.said(error)}
            send(door, WRONG, number, json.dumps(told).encode())
            continue
        send(door, ANSWER, number, answer)


def predict(task, model, batch):
    """The model's columns for a batch, as a record batch without its schema."""
    from . import forms, scoring
    from .tasks import Unfit

    pa = sys.modules["pyarrow"]
    rows = pa.Table.from_batches([batch])
    frame = forms.shaped(rows, task["form"], "train", task["beside"])
    _, columns = scoring.predict(model, frame, rows)
    if list(columns) != task["outputs"]:
        raise Unfit("type", f"its model answers {', '.join(columns)}, where it answered {', '.join(task['outputs'])}")
    answer = pa.record_batch(columns)
    if answer.num_rows != batch.num_rows:
        raise Unfit("type", f"its model predicted {answer.num_rows} rows for {batch.num_rows}")
    return answer.serialize()


def send(door, kind, number, body):
    """One frame, in one call where it can be: control is woken once."""
    body = memoryview(body)
    header = HEADER.pack(kind, number, body.nbytes)
    sent = door.sendmsg([header, body])
    if sent < len(header):
        door.sendall(header[sent:])
    rest = body[max(0, sent - len(header)) :]
    if rest.nbytes:  # control may be gone by now, which has all it was waiting for
        door.sendall(rest)


def receive(door, size):
    """So many bytes; None when the socket ended."""
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        try:
            got = door.recv_into(view[at:])
        except ConnectionError:
            return None
        if not got:
            return None
        at += got
    return data
