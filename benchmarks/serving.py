"""`payoff serve` against a bare ASGI application and other servers, the same model behind each: `python benchmarks/serving.py [PEER ...]`.

One scikit-learn gradient-boosting model on the starter project's data, servers on one processor, wrk (`apt install wrk`) on another. Each cell is measured in turns, ours
and the peer's, and the median of the pairs' ratios is printed: more than 1 means that ours answers more requests a second. Ours checks the input against the
contract and writes every prediction to the log; the others do neither. A peer that speaks the Open Inference Protocol is asked by it, and so is ours, the same tensor. Memory is that of all processes of a server after the cell (pages that they share
count once). The last peer is ours with `--onnx`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import measure

PAYOFF = str(Path(sys.executable).with_name("payoff"))
UV = str(Path(sys.executable).with_name("uv"))
ROW = {"tenure": 10, "calls_to_support": 3, "late_payments": 1, "lifetime_value": 200.0}
CELLS = [(1, 1), (16, 1), (64, 1), (1, 1000), (16, 1000), (64, 1000)]
CPUS = sorted(os.sched_getaffinity(0))
SERVER, CLIENT = str(CPUS[0]), str(CPUS[-1])

BARE = """
import json, pickle, sys
import pandas as pd, uvicorn
model = pickle.load(open(sys.argv[1], "rb"))
async def app(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    frame = pd.DataFrame(json.loads(body)["dataframe_records"])
    answer = json.dumps({"predictions": model.predict_proba(frame).tolist()}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
uvicorn.run(app, port=int(sys.argv[2]), http="httptools", loop="uvloop", access_log=False, log_level="error", lifespan="off")
"""
MLFLOW = """
import os, pickle, sys
import mlflow.sklearn, pandas as pd
model = pickle.load(open(sys.argv[1], "rb"))
mlflow.sklearn.save_model(model, "mlflow_model", pyfunc_predict_fn="predict_proba", serialization_format="pickle")
os.execvp("mlflow", ["mlflow", "models", "serve", "-m", "mlflow_model", "--env-manager", "local", "-p", sys.argv[2], "-w", "1"])
"""
LITSERVE = """
import pickle, sys
import litserve, pandas as pd
class Api(litserve.LitAPI):
    def setup(self, device):
        self.model = pickle.load(open(sys.argv[1], "rb"))
    def decode_request(self, request):
        return pd.DataFrame(request["dataframe_records"])
    def predict(self, frame):
        return self.model.predict_proba(frame)
    def encode_response(self, output):
        return {"predictions": output.tolist()}
if __name__ == "__main__":
    litserve.LitServer(Api(), accelerator="cpu").run(port=int(sys.argv[2]), generate_client_file=False, log_level="error")
"""
BENTO = """
import os, sys
open("service.py", "w").write('''
import pickle
import bentoml, pandas as pd
@bentoml.service(workers=1)
class Scorer:
    def __init__(self):
        self.model = pickle.load(open(%r, "rb"))
    @bentoml.api
    def predict(self, dataframe_records: list) -> list:
        return self.model.predict_proba(pd.DataFrame(dataframe_records)).tolist()
''' % sys.argv[1])
os.execvp("bentoml", ["bentoml", "serve", "service:Scorer", "--port", sys.argv[2]])
"""
MLSERVER = """
import json, os, pickle, sys
import joblib
joblib.dump(pickle.load(open(sys.argv[1], "rb")), "model.joblib")
port = int(sys.argv[2])
json.dump({"name": "m", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "model.joblib"}}, open("model-settings.json", "w"))
json.dump({"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2, "parallel_workers": 0}, open("settings.json", "w"))
os.execvp("mlserver", ["mlserver", "start", "."])
"""
ONNX = """
import os, sys
payoff, project = os.environ["PAYOFF_COMMAND"], sys.argv[1].partition("/.payoff/")[0]
os.execv(payoff, [payoff, "serve", "--onnx", "--anyway", "--port", sys.argv[2], "--project", project])
"""
STEP = """
import pandas as pd
from payoff import step

@step(seed=7, threads=1)
def model(train: pd.DataFrame):
    from sklearn.ensemble import HistGradientBoostingClassifier
    return HistGradientBoostingClassifier(max_iter=100).fit(train.drop(columns=["customer_id", "churned"]), train["churned"])
"""


class Peer(NamedTuple):
    """A server of others: its script, what it needs besides the model's own packages, where it is asked."""

    script: str
    needs: tuple[str, ...]
    path: str
    tensor: str = ""  # the output that it is asked for by the Open Inference Protocol; empty: it gets records


PEERS = {
    "bare ASGI": Peer(BARE, ("uvicorn", "httptools", "uvloop"), "/"),
    "MLflow": Peer(MLFLOW, ("mlflow", "setuptools<81"), "/invocations"),
    "LitServe": Peer(LITSERVE, ("litserve",), "/predict"),
    "BentoML": Peer(BENTO, ("bentoml",), "/predict"),
    "MLServer": Peer(MLSERVER, ("mlserver", "mlserver-sklearn"), "/v2/models/m/infer", tensor="predict_proba"),
    "with --onnx": Peer(ONNX, (), "/invocations"),
}


class Running(NamedTuple):
    """A server that answers, and the process group that it is."""

    address: str
    group: int
    tensor: str = ""


def body(rows: int, tensor: str) -> str:
    if not tensor:
        return json.dumps({"dataframe_records": [ROW] * rows})
    data = list(ROW.values()) * rows
    wanted = [{"name": each} for each in tensor.split(",")]
    return json.dumps(
        {"inputs": [{"name": "x", "shape": [rows, len(ROW)], "datatype": "FP64", "data": data}], "outputs": wanted}
    )


def load(running: Running, connections: int, rows: int, seconds: int, folder: Path) -> tuple[float, float]:
    """Requests a second, and the 99th percentile of their time in ms."""
    script = folder / f"{rows}-{running.tensor or 'records'}.lua"
    content = body(rows, running.tensor)
    script.write_text(
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [==[{content}]==]\n'
    )
    words = [
        "taskset",
        "-c",
        CLIENT,
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}",
        "--latency",
        "-s",
        str(script),
        running.address,
    ]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said:
        sys.exit(f"{running.address} refused:\n{said}")
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", said).groups()  # type: ignore[union-attr]
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]), float(number) * scale  # type: ignore[index]


@contextlib.contextmanager
def started(
    words: list[str], folder: Path, address: str, *, tensor: str = "", wait: float = 500.0
) -> Iterator[Running]:
    """A server on its processor, once it answers a row as asked."""
    said = open(folder / "server.log", "w", encoding="utf-8")
    process = subprocess.Popen(
        ["taskset", "-c", SERVER, *words], cwd=folder, stdout=said, stderr=said, start_new_session=True
    )
    try:
        last = time.monotonic() + wait
        content = body(1, tensor).encode()
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                request = urllib.request.Request(address, content, {"Content-Type": "application/json"})
                with urllib.request.urlopen(request, timeout=5) as answer:
                    json.load(answer)
                    break
            if process.poll() is not None or time.monotonic() > last:
                raise RuntimeError((folder / "server.log").read_text()[-1500:])
            time.sleep(0.2)
        yield Running(address, process.pid, tensor)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        said.close()


def memory(running: Running) -> float:
    """MB of the server's processes: of a page that several have, each its share."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if os.getpgid(int(folder.name)) == running.group:
                said = (folder / "smaps_rollup").read_text()
                total += int(re.search(r"^Pss:\s+(\d+) kB", said, re.MULTILINE)[1])  # type: ignore[index]
    return total / 2**10


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def project(folder: Path) -> tuple[Path, Path, Path]:
    """The starter project with gradient boosting, run once; its model's file and its environment's interpreter."""
    made = folder / "demo"
    subprocess.run([PAYOFF, "init", str(made)], check=True, capture_output=True)
    (made / "pipeline.py").write_text(STEP)
    subprocess.run(["git", "commit", "--quiet", "--all", "--message", "trees"], cwd=made, check=True)
    subprocess.run(
        [PAYOFF, "run"], cwd=made, check=False, capture_output=True
    )  # whether it is worth it is not asked here
    store = made / ".payoff" / "store" / "objects"
    model = max(store.rglob("*.pickle"), key=lambda path: path.stat().st_size)
    return made, model, next(made.glob(".payoff/environments/*/bin/python"))


def compare(name: str, made: tuple[Path, Path, Path], folder: Path, options: argparse.Namespace) -> None:
    peer, (project, model, python) = PEERS[name], made
    versions = subprocess.run(
        [str(python), "-c", "import sklearn, pandas; print(f'scikit-learn=={sklearn.__version__} pandas=={pandas.__version__}')"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    work = folder / re.sub(r"\W", "-", name)
    work.mkdir()
    (work / "serve.py").write_text(peer.script)
    theirs, ours = port(), port()
    needs = [word for each in (*versions, *peer.needs) for word in ("--with", each)]
    words = [
        UV,
        "run",
        "--no-project",
        "--isolated",
        "--python",
        str(python),
        *needs,
        "python",
        "serve.py",
        str(model),
        str(theirs),
    ]
    at = f"http://127.0.0.1:{ours}" + (f"/v2/models/{project.name}/infer" if peer.tensor else "/invocations")
    both = "p_False,p_True" if peer.tensor else ""
    with (
        started([PAYOFF, "serve", "--anyway", "--port", str(ours)], project, at, tensor=both) as here,
        started(words, work, f"http://127.0.0.1:{theirs}{peer.path}", tensor=peer.tensor) as there,
    ):
        for connections, rows in CELLS:
            pairs = [
                tuple(load(each, connections, rows, options.seconds, folder) for each in (here, there))
                for _ in range(options.pairs)
            ]
            ratio = statistics.median(a[0] / b[0] for a, b in pairs)
            (a, a99), (b, b99) = (
                tuple(statistics.median(each[n] for each in side) for n in (0, 1)) for side in zip(*pairs, strict=True)
            )
            print(
                f"{name:<10} {connections:>3} connections {rows:>5} rows: {ratio:6.2f}x   {a:8.1f} against {b:8.1f} requests/s,"
                f" p99 {a99:7.1f} against {b99:7.1f} ms, memory {memory(here):4.0f} against {memory(there):4.0f} MB",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of: {', '.join(PEERS)} (default: all)")
    parser.add_argument("--pairs", type=int, default=3, help="measurements of each side in a cell (default: 3)")
    parser.add_argument("--seconds", type=int, default=3, help="seconds of each (default: 3)")
    options = parser.parse_args()
    os.environ["PAYOFF_COMMAND"] = PAYOFF
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: apt install wrk")
    print(measure.machine())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made = project(folder)
        for name in options.peers or PEERS:
            try:
                compare(name, made, folder, options)
            except RuntimeError as error:
                print(f"{name:<10} did not start here: {str(error).strip().splitlines()[-1:]}", flush=True)


if __name__ == "__main__":
    main()
