"""What an executor is asked to do in a sandbox, and what it answers."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from payoff.records.artifact import Field
from payoff.records.project import Environment, Form


class TaskInput(msgspec.Struct, frozen=True, kw_only=True):
    """`path` is absolute: an Arrow IPC file for a table, a pickle for an object. For `compile`, only `fields` count."""

    name: str
    form: Form
    path: str = ""
    fields: tuple[Field, ...] = ()
    columns: tuple[str, ...] | None = None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One call inside a sandbox.

    `call`: run the step's function; its result goes to `output` (no suffix: the worker adds `.arrow` or `.pickle`).
    `compile`: call a lazy step with unbound ibis tables made of `fields`; the result is SQL in the engine's dialect.
    `score`: open the object in the input named `model`, predict the rows of the input named `rows` (in the form `form` there),
    write an Arrow table to `output`: one float column `p_<class>` per class in the model's order where it gives probabilities,
    else one column `prediction`. A model in a file that ends in `.onnx` is opened by ONNX Runtime.
    `convert`: open the object in the input `model` and write it to `output` as ONNX, where that says of the input `rows` what the input `said` has,
    to `options["tolerance"]`; kind `none` where no way does. Extra `options` hold what a kind needs besides.
    """

    id: str
    kind: Literal["call", "compile", "score", "convert"]
    step: str
    environment: Environment
    root: str
    module: str = ""
    function: str = ""
    inputs: tuple[TaskInput, ...] = ()
    parameters: dict[str, Any] = {}
    output: str = ""
    seed: int | None = None
    deterministic: bool = True
    threads: int | None = None
    options: dict[str, Any] = {}


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task did not end well.

    `kind`: `exception` (the step raised), `killed` (a signal ended it; `signal` says which), `memory` (it ran out of memory),
    `exit` (it called exit), `type` (it returned something that no table or object can be made of), `cancelled`,
    `environment` (the sandbox could not be made or started).
    `trace` is the step's own traceback, the worker's frames left out.
    """

    kind: Literal["exception", "killed", "memory", "exit", "type", "cancelled", "environment"]
    error: str
    message: str
    trace: str = ""
    signal: int | None = None
    where: tuple[str, int] | None = None
    retryable: bool = False


class TaskResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a task.

    `file` is the absolute path of what was written, `kind` what it is; `sql` is the answer of a `compile`.
    `fingerprint` is what was really loaded: python, platform, packages imported, BLAS and threads.
    `log` is the absolute path of the bounded capture of standard output and error.
    """

    id: str
    ok: bool
    kind: Literal["table", "object", "sql", "none"] = "none"
    file: str = ""
    python_type: str = ""
    sql: str = ""
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    metrics: dict[str, float] = {}
    fingerprint: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    log: str = ""
    log_tail: str = ""
    failure: Failure | None = None
