"""`payoff` as a user types it, but forked from a process that has imported what most commands import.

A fresh interpreter needs most of a second of the processor for its imports, a thousand times in a run of all tests. What differs from
one: nothing is imported lazily that is here already, and the order of Python's sets is that of the process forked from. Therefore the
first run of each made project, what is killed or interrupted, and every test outside of this folder is a fresh interpreter.
"""

from __future__ import annotations

import array
import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

IMPORTED = (
    "payoff.cli.main", "payoff.cli.run", "payoff.cli.show", "payoff.cli.runs", "payoff.flows.run", "payoff.flows.worth", "payoff.flows.budget", "payoff.flows.recording",
    "payoff.execute.run", "payoff.execute.verdict", "payoff.execute.money", "payoff.execute.governing", "payoff.data.leaks", "payoff.data.as_of",
    "payoff.project.load", "payoff.wiring.assemble", "payoff.cli.render.html", "payoff.cli.render.document",
    "payoff.flows.comparing.why", "payoff.flows.comparing.diff", "payoff.cli.worth", "payoff.cli.render.worth", "payoff.cli.render.worth_page", "payoff.cli.check",
    "payoff.adapters.engines.duckdb.engine", "payoff.adapters.ledgers.sqlite.ledger", "numpy", "duckdb", "pyarrow.parquet", "pyarrow.compute", "sqlglot", "rich.console",
    "payoff.cli.render.progress", "payoff.cli.render.findings", "payoff.cli.outcome", "payoff.cli.failure", "payoff.flows.runs", "payoff.flows.check", "payoff.data.checks",
    "payoff.data.order", "payoff.data.aside", "payoff.data.sealed.nearness", "payoff.data.sealed.tables", "payoff.execute.pushdown.locate", "payoff.project.assemble",
    "payoff.value.calibration", "payoff.value.correction", "payoff.wiring.releasing", "payoff.adapters.executors.local.executor", "payoff.adapters.stores.local",
    "payoff.adapters.sources.files.source", "payoff.adapters.sources.files.broken", "payoff.adapters.registries.layout", "payoff.adapters.signers.ssh",
    "payoff.adapters.deployers.process", "payoff.gates.contract", "payoff.gates.beats_baseline", "payoff.gates.groups", "payoff.gates.holdout_size", "payoff.gates.leaks",
    "payoff.cli.comparing.why", "payoff.cli.comparing.diff", "payoff.cli.comparing.reproduce", "payoff.cli.render.comparing.reproduce", "payoff.flows.comparing.reproduce",
    "payoff.cli.releasing.release", "payoff.cli.releasing.promote", "payoff.cli.releasing.approve", "payoff.cli.releasing.deploy", "payoff.cli.render.releasing.release",
    "payoff.flows.releasing.release", "payoff.flows.releasing.promote", "payoff.flows.releasing.approve", "payoff.flows.releasing.deploy", "payoff.flows.releasing.trying",
    "payoff.flows.converting.onnx", "payoff.flows.serve.offer", "numpy.random", "pyarrow.dataset", "pyarrow.csv", "sqlglot.dialects.duckdb", "urllib3", "yaml", "tarfile",
)  # fmt: skip


def serve(fd: int) -> None:
    """Fork for each request; the child is the command."""
    door = socket.socket(fileno=fd)
    from payoff.base import lazy

    lazy.keep_out("pandas", ("payoff", "pyarrow"))
    import importlib

    for name in IMPORTED:
        importlib.import_module(name)
    while True:
        message, files, _, _ = socket.recv_fds(door, 1 << 22, 2)
        if not message:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            door.close()
            request = json.loads(message)
            os.chdir(request["cwd"])
            os.environ.clear()
            os.environ.update(request["environ"])
            nothing = os.open(os.devnull, os.O_RDONLY)
            for number, file in enumerate((nothing, *files)):
                os.dup2(file, number)
            for file in (nothing, *files):
                os.close(file)
            sys.argv[:] = request["argv"]
            command()
        for file in files:
            os.close(file)
        _, status = os.waitpid(pid, 0)
        door.send(str(os.waitstatus_to_exitcode(status)).encode())


def command() -> None:
    """Do it, and end as Python would but for what C++ libraries destroy at exit: Arrow's pool of threads does not survive a fork to be destroyed."""
    from payoff.cli.main import main

    code: object = 1
    try:
        code = main()
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


class Warm:
    """The process that is forked from, started when it is first needed."""

    def __init__(self) -> None:
        self._alone = threading.Lock()
        self._door: socket.socket | None = None

    def __call__(self, words: list[str], cwd: Path, timeout: float, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        with self._alone, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            door = self._door = self._door or self._start()
            door.settimeout(timeout)
            request = json.dumps({"argv": words, "cwd": str(cwd), "environ": {**os.environ, **(environ or {})}}).encode()
            door.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [out.fileno(), err.fileno()]))])
            code = int(door.recv(64))
            texts = []
            for each in (out, err):
                each.seek(0)
                texts.append(each.read().decode())
        return subprocess.CompletedProcess(words, code, *texts)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import warm; del sys.path[0]; warm.serve({theirs.fileno()})"
        process = subprocess.Popen([sys.executable, "-P", "-c", code], pass_fds=(theirs.fileno(),), cwd="/")
        theirs.close()
        atexit.register(lambda: (ours.close(), process.wait(10)))
        return ours


payoff = Warm()
