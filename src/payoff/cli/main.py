"""`payoff VERB`: only the verb that is called gets imported; `payoff --version` imports nothing further."""

from __future__ import annotations

import sys

from payoff import __version__
from payoff.cli.render import screen

TYPE_CHECKING = False  # `typing` takes as long to import as Python itself to start
if TYPE_CHECKING:
    from types import ModuleType

VERBS = {
    "init": "make a new project: a git repository whose first run succeeds",
    "check": "everything that can be known without running a step, all findings at once",
    "run": "run what is stale, judge the model in money, write the record and the report",
    "runs": "the project's runs, newest first",
    "show": "one run: its money, verdicts, steps and where to look",
    "data": "the project's tables: labels, versions, where columns come from and go, who read them, samples",
    "serve": "answer questions about rows with a run's model: predictions, and actions with what they should bring",
    "score": "predictions and decisions for a whole file of rows, on all processors",
    "gateway": "serve tables to readers in other zones, as far as labels permit",
    "ingest": "land what streams have in the project's tables, once or until it is stopped",
    "reproduce": "rebuild a run, execute all of it again, and say whether the same comes out",
    "diff": "what differs between two runs, in their results and in what they were made of",
    "why": "which of all that differs between two runs made the difference, executed and measured",
    "environments": "the environments that uv locks: what is installed, whether it is what the locks say, what may go",
    "sandbox": "Python, Jupyter or any command in a locked environment, with the project's tables, nothing written outside",
    "release": "a run that passed as a signed image: code, locked environment, model, and the record of what they are",
    "approve": "sign, in a role, that a release may be deployed",
    "promote": "commit that a deployment should run a release: verified before, approved, its gates as they are now",
    "deploy": "make a deployment run what git says, and sign that it does; --follow goes on",
    "rollback": "what a deployment ran before, by a commit that reverts its promotion, and deployed",
    "export": "a run that passed, or a release, for other platforms: a Containerfile, KServe, MLflow, Kubeflow Pipelines",
    "worth": "what a model could be worth before there is one, or what a run's worth hangs on",
}

# Verbs whose file is in a folder of this room.
_FOLDERS = {
    "diff": "comparing",
    "reproduce": "comparing",
    "why": "comparing",
    "environments": "environments",
    "serve": "serving",
    "score": "serving",
    "sandbox": "environments",
    "release": "releasing",
    "export": "releasing",
    "approve": "releasing",
    "promote": "releasing",
    "deploy": "releasing",
    "rollback": "releasing",
}

_HELP = """\
Payoff tells you what a model is worth before you build it, proves it before you ship it, and checks it while it runs.

usage: payoff VERB [options]        payoff VERB --help says more

{verbs}

  --version      the version
  --help         this text

Every verb takes --json (one JSON document on standard output) and --project DIR (default: the project we are in).
Exit codes: 0 passed, 1 refused by a gate, 2 the input is wrong, 3 a bug in Payoff, 4 the outside world failed.
"""


def main() -> int:
    """Do what the command line says; answers the exit code."""
    argv = sys.argv[1:]
    if argv in (["--version"], ["-V"]):
        screen.out(f"payoff {__version__}")
        return 0
    if argv in (["--help"], ["-h"], ["help"]):
        screen.out(help_text())
        return 0
    try:
        return _dispatch(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except BaseException as error:
        code: int = _module("failure").tell(error, argv)
        return code
    finally:
        screen.close()


def help_text() -> str:
    """The verbs and what they do."""
    return _HELP.format(verbs="\n".join(f"  {verb:<14}{says}" for verb, says in VERBS.items()))


def _dispatch(argv: list[str]) -> int:
    if not argv:
        screen.err(help_text())
        return 2
    verb, rest = argv[0], argv[1:]
    if verb not in VERBS:
        _module("failure").unknown_verb(verb, VERBS)
    if verb == "run":
        replayed: int | None = _module("replay").replay(rest)
        if replayed is not None:
            return replayed
    from payoff.base import lazy  # not for an unchanged run, which is over by now

    lazy.keep_out("pandas", ("payoff", "pyarrow"))
    code: int = _module(verb).main(rest)
    return code


def _module(name: str) -> ModuleType:
    folder = f"{_FOLDERS[name]}." if name in _FOLDERS else ""
    return __import__(f"payoff.cli.{folder}{name}", fromlist=["main"])
