"""A released model inside its image, standard library apart from the model's own: opens it when its bytes are the ones released, answers over HTTP.

GET /v2/health/live, /v2/health/ready, /v2/models/NAME; POST /invocations with rows as {"dataframe_split": {"columns", "data"}} or
{"dataframe_records": [...]}. Started by path with a JSON file that says what it serves; `host` and `port` come from the environment.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import pickle
import signal
import site
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGEST = 16 << 20  # bytes of a request
OURS = os.path.dirname(os.path.abspath(__file__))


def main(file):
    """Load what the file names, then serve until SIGTERM."""
    with open(file, encoding="utf-8") as stream:
        said = json.load(stream)
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(file))))
    site.addsitedir(os.path.join(top, "opt", "environment"))
    spec = importlib.util.spec_from_file_location(
        "_payoff_worker", os.path.join(OURS, "__init__.py"), submodule_search_locations=[OURS]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["_payoff_worker"] = package
    spec.loader.exec_module(package)
    from _payoff_worker import tasks

    said["root"] = os.path.join(top, "srv")
    model = opened(said, os.path.join(top, said["model"]), tasks)
    serve(said, model)


def opened(said, path, tasks):
    """The model; its bytes are compared before anything of it is run."""
    with open(path, "rb") as stream:
        content = stream.read()
    found = "sha256:" + hashlib.sha256(content).hexdigest()
    if found != said["sha256"]:
        sys.exit(f"the model in this image is not the one that was released: {found}, not {said['sha256']}")
    sys.dont_write_bytecode = True
    tasks.prepare(said)
    return pickle.loads(content)


def serve(said, model):
    """Answer until SIGTERM; what is under way is finished."""
    address = (os.environ.get("PAYOFF_HOST", "127.0.0.1"), int(os.environ.get("PAYOFF_PORT", "8080")))
    lock = threading.Lock()  # models are asked by one thread at a time: few promise more

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            facts = {"name": said["name"], "versions": [said["run"]], "platform": "payoff", "model": said["sha256"],
                     "image": os.environ.get("PAYOFF_IMAGE", "")}  # fmt: skip
            known = {
                "/v2/health/live": {"live": True},
                "/v2/health/ready": {"ready": True} | facts,
                "/v2/models/" + said["name"]: facts | {"inputs": said["inputs"], "outputs": said["outputs"]},
            }
            answer = known.get(self.path)
            self.reply(404 if answer is None else 200, answer or {"error": "no such path"})

        def do_POST(self):
            size = int(self.headers.get("Content-Length") or -1)
            if self.path != "/invocations":
                return self.reply(404, {"error": "no such path"})
            if not 0 <= size <= LARGEST:
                self.close_connection = True
                return self.reply(413, {"error": f"a body has a Content-Length of at most {LARGEST} bytes"})
            try:
                rows = table(json.loads(self.rfile.read(size)), said)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                return self.reply(400, {"error": f"the rows cannot be read ({type(error).__name__})"})
            try:
                with lock:
                    columns = predict(said, model, rows)
            except Exception as error:  # the model's own failure is one request's, not the end
                return self.reply(500, {"error": f"the model failed ({type(error).__name__})"})
            names = list(columns)
            listed = [dict(zip(names, row)) for row in zip(*(columns[name].to_pylist() for name in names))]
            return self.reply(200, {"predictions": listed})

        def reply(self, status, document):
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = False

    server = Server(address, Handler)
    # Told to stop by a signal, in another thread: shutdown() waits for the loop that this one runs.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    sys.stdout.write(f"serving {said['name']} on {server.server_address[0]}:{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
    server.server_close()


def table(said, task):
    """The rows of a request as a table of the columns that the model takes, in its types."""
    import pyarrow as pa

    split = said.get("dataframe_split")
    if split is not None:
        columns = {str(name): [row[at] for row in split["data"]] for at, name in enumerate(split["columns"])}
    else:
        records = said["dataframe_records"]
        columns = {each["name"]: [row[each["name"]] for row in records] for each in task["inputs"]}
    return pa.table({each["name"]: pa.array(columns[each["name"]], type_of(each["type"])) for each in task["inputs"]})


def type_of(name):
    """An Arrow type by the name that a run's record has; any other is what the values are."""
    import pyarrow as pa

    try:
        return pa.type_for_alias(name)
    except ValueError:
        return None


def predict(said, model, rows):
    """The model's columns for the rows."""
    from _payoff_worker import forms, scoring

    frame = forms.shaped(rows, said["form"], "train", os.path.join("/tmp", f"payoff-{os.getpid()}"))
    _, columns = scoring.predict(model, frame, rows)
    import pyarrow as pa

    return {name: pa.array(values) if not isinstance(values, (pa.Array, pa.ChunkedArray)) else values
            for name, values in columns.items()}  # fmt: skip


if __name__ == "__main__":
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != OURS]
    main(sys.argv[1])
