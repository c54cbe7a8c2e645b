"""One task, inside a forked child: import the user's function, hand it its inputs, write what it returns."""

from __future__ import annotations

import importlib
import importlib.util
import json
import mmap
import os
import sys
import time

UNWRITTEN = 74  # EX_IOERR of sysexits.h
OURS = os.path.dirname(os.path.abspath(__file__))


class Unfit(Exception):
    """The task cannot be done for a reason that is the user's to mend; `kind` is a Failure's kind."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def run(task):
    """Do a task and write its result beside its output; the exit code is 0, or UNWRITTEN when not even that could be done."""
    began = time.perf_counter()
    try:
        prepare(task)
        result = KINDS[task["kind"]](task)
        result["ok"] = True
    except Unfit as error:
        result = failure(error.kind, type(error).__name__, str(error), task)
    except ModuleNotFoundError as error:
        result = failure(*missing(error), task)
    except MemoryError as error:
        result = failure("memory", "MemoryError", said(error), task)
    except SystemExit as error:
        result = failure("exit", "SystemExit", exit_code(error), task)
    except BaseException as error:  # whatever the user's code raises is reported
        result = failure("exception", type(error).__name__, said(error), task)
    result["seconds"] = time.perf_counter() - began
    result["metrics"] = dict(sys.modules["payoff"]._metrics) if "payoff" in sys.modules else {}
    from . import fingerprints

    try:
        result["fingerprint"] = fingerprints.fingerprint(task)
    except Exception:  # a module with a strange __file__, a folder that is gone: what the step made is not lost for it
        result["fingerprint"] = {}
    temporary = task["output"] + ".result.part"
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump(result, stream, default=str)
        os.replace(temporary, task["output"] + ".result")
    except OSError:
        return UNWRITTEN
    return 0


def missing(error):
    """Kind, error and message of an import that found nothing."""
    name = error.name or ""
    top = name.partition(".")[0]
    if not top or top in sys.modules or importlib.util.find_spec(top):
        return "exception", type(error).__name__, said(error)  # the package is there, but has no such module
    return "environment", type(error).__name__, f"it imports {name}, which its environment does not have"


def get_ready(task):
    """What can be done for a task before it comes: its surroundings and, where its step is known, the imports of the last one of its kind."""
    prepare(task)
    from . import imports

    if "step" in task:
        imports.ahead(task["step"])


def load_payoff():
    """Our one public module."""
    path = os.path.join(os.path.dirname(OURS), "__init__.py")
    spec = importlib.util.spec_from_file_location("payoff", path)
    module = importlib.util.module_from_spec(spec)
    module.__path__ = []  # a package without modules: nothing else of ours can be imported
    sys.modules["payoff"] = module
    spec.loader.exec_module(module)


def prepare(task):
    """The child's surroundings: folder, path, limits, seeds, our one public module."""
    limit = task["environment"].get("memory_bytes")
    if limit:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    threads = task.get("threads") or task["environment"].get("threads")
    os.chdir(task["root"])
    from . import imports

    imports.install(task["root"])
    load_payoff()
    from . import determinism

    determinism.install(task.get("seed"), deterministic=task.get("deterministic", True), threads=threads)


def call(task):
    """`call`: the step's function with its inputs in their forms."""
    from . import forms, objects

    function = getattr(importlib.import_module(task["module"]), task["function"])
    inputs = {each["name"]: forms.arrive(each, task["output"]) for each in task["inputs"]}
    value = function(**inputs, **task["parameters"])
    wanted = task["options"].get("output_form", "object")
    table = forms.as_table(value, wanted)
    if table is not None:
        return {"kind": "table", "file": forms.write(table, task["output"] + ".arrow")}
    if wanted not in ("object", None):
        raise Unfit("type", f"its annotation promises {forms.TITLES[wanted]}, it returned {type(value).__name__}")
    file = objects.write(value, task["output"] + ".pickle")
    extra = {"own_classes": True} if names_own_modules(file, task["root"]) else {}
    return {"kind": "object", "file": file, "python_type": name_of(value), "extra": extra}


def names_own_modules(file, root):
    """Whether a pickle names a module of the project: it has not the code of such a class in it, so that it is less than the object.

    The names are searched for as a pickle writes a short text (a false alarm costs nothing but a result that is made again).
    """
    root = os.path.abspath(root) + os.sep
    own = []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None) or ""
        within = path[len(root) :] if path.startswith(root) else ""
        if within and ".payoff" not in within and "site-packages" not in within:
            own.append(name.encode())
    with open(file, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(b"\x8c" + bytes([len(name)]) + name) >= 0 for name in own if len(name) < 256)


def compile_query(task):
    """`compile`: the query that a lazy step makes of unbound tables."""
    from . import queries

    function = getattr(importlib.import_module(task["module"]), task["function"])
    return queries.compile_step(function, task)


def score(task):
    """`score`: the model's predictions for rows it never saw."""
    from . import imports, scoring

    if task["module"]:  # a model that was converted needs nothing of the project's
        importlib.import_module(task["module"])
    result = scoring.score(task)
    if task["module"]:
        imports.remember(task["step"])
    return result


def convert(task):
    """`convert`: the model in another form."""
    from .conversion import onnx

    importlib.import_module(task["module"])
    return onnx.convert(task)


KINDS = {"call": call, "compile": compile_query, "score": score, "convert": convert}


def name_of(value):
    """A value's class with its module."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def failure(kind, error, message, task):
    """What went wrong, with the traceback as the user would see it without us."""
    value = sys.exc_info()[1]
    try:
        text, where = story(value, task)
    except Exception:  # a project may have a traceback.py of its own: what went wrong is said all the same
        text, where = f"{error}: {message}", None
    told = {"kind": kind, "error": error, "message": message, "trace": text[-20000:], "where": where}
    return {"ok": False, "failure": {name: writable(each) for name, each in told.items()}}


def story(value, task):
    """The traceback as text, and the user's last line in it."""
    import traceback  # only when something went wrong: a sandbox starts the sooner

    told = traceback.TracebackException(type(value), value, value.__traceback__)
    frames = [frame for frame in told.stack if not_ours(frame)]
    root = os.path.abspath(task["root"])
    start = root + os.sep  # it may be in a folder .payoff itself, where an earlier run is executed again
    own = [
        f
        for f in frames
        if os.path.abspath(f.filename).startswith(start) and ".payoff" not in os.path.abspath(f.filename)[len(start) :]
    ]
    where = [os.path.relpath(own[-1].filename, root), own[-1].lineno] if own else None
    if isinstance(value, SyntaxError) and value.filename:
        where = [os.path.relpath(value.filename, root), value.lineno or 0]
    return "".join(without_ours(told).format()), where


def writable(text):
    """A text that every file and every terminal takes: half of a pair of surrogates is spelled out."""
    return text.encode("utf-8", "backslashreplace").decode() if isinstance(text, str) else text


def exit_code(error):
    """What a step that exits said; a text may hold anything, and the traceback has it."""
    code = error.code
    return f"exit code {code!r}" if code is None or isinstance(code, int) else "exit code 1, with a message"


def without_ours(told):
    """A traceback, and those of its causes, without the frames of this worker and of the import system."""
    waiting, seen = [told], set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.stack[:] = [frame for frame in each.stack if not_ours(frame)]
        waiting += [each.__cause__, each.__context__, *(getattr(each, "exceptions", None) or ())]
    return told


def not_ours(frame):
    """Whether a frame is the user's or a library's."""
    return not frame.filename.startswith((OURS, "<frozen"))


def said(error):
    """An exception's text; one that cannot say it is still reported."""
    try:
        return str(error)[:2000]
    except Exception:
        return ""
