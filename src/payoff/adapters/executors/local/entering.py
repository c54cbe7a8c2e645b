"""A command in a sandbox, on the terminal of whoever asked for it, that can write to one folder only."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.base.errors import OutsideError, UserError
from payoff.base.telemetry import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from payoff.records.hybrids.environment import Limits

_WORKER = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "worker"))
_JAIL = os.path.join(_WORKER, "jail.py")
_PASSED = (*SILENT, "TERM", "COLORTERM", "LANG", "LANGUAGE", "TZ", "COLUMNS", "LINES", "NO_COLOR")
# Hidden: sockets of services, which can be written to on a read-only disk, and files of other programs.
_PLACES = tuple(f"/{name}" for name in ("run", "tmp", "var/tmp"))
_SYSTEM = ("/usr/local/bin", "/usr/bin", "/bin")
# The module that has the tables: our files in the sandbox are the package `_payoff_worker`, in the way of no module of the user's.
_TABLES = """\
import importlib.util
import sys

spec = importlib.util.spec_from_file_location("_payoff_worker", {init!r}, submodule_search_locations=[{worker!r}])
package = importlib.util.module_from_spec(spec)
sys.modules["_payoff_worker"] = package
spec.loader.exec_module(package)
from _payoff_worker import explore

sys.modules[__name__] = explore.module({tables!r})
"""
_PROMPT = "import payoff_tables, sys; sys.exit(sys.modules['_payoff_worker.explore'].main({tables!r}, {root!r}))"
_CELLS = "import payoff_tables, sys; sys.modules['_payoff_worker.explore'].ipython({tables!r}, {root!r})\n"


def enter(place: Path, root: Path, command: Sequence[str], limits: Limits, tell: Callable[[str], None]) -> int:
    """Run it; answers its exit code (128 and more: a signal ended it)."""
    place, folder = Path(os.path.realpath(place)), Path(os.path.realpath(limits.folder))
    home = folder / "work"
    names = {"tables": os.fspath(folder / "tables"), "root": os.fspath(root)}
    environ = _environ(place, home, folder / "lib")
    _write(folder / "lib" / "payoff_tables.py", _TABLES.format(init=f"{_WORKER}/__init__.py", worker=_WORKER, **names))
    _write(home / ".ipython/profile_default/startup/00-tables.py", _CELLS.format(**names))
    order: dict[str, Any] = {
        "parent": os.getpid(),
        "argv": _argv(place, command, environ, _PROMPT.format(**names)),
        "environ": environ,
        "home": os.fspath(home),
        "hidden": [os.path.realpath(each) for each in (*limits.hidden, *_PLACES)],
        "shown": [
            *_interpreter(place),
            *_names(),
            *(
                os.path.realpath(each)
                for each in (*limits.visible, os.fspath(folder), os.fspath(place), os.path.dirname(_WORKER))
            ),
        ],
        "network": limits.network,
        "enclose": _encloses(folder, network=limits.network),
        "remove": [os.fspath(folder / name) for name in ("tables", "lib", "order.json")],
    }
    if not order["enclose"]:
        if not limits.network:
            raise OutsideError(
                "this machine allows no user namespaces, so that no command can be kept from the network",
                code="PO-X027",
                expected="user namespaces (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces)",
                remedy="allow them, or payoff sandbox without --no-network",
            )
        tell(
            "this machine allows no user namespaces: nothing keeps the command from writing elsewhere, or from reading the project's own files and store; "
            "its home, its temporary folder and its variables are apart all the same"
        )
    return _run(order, folder)


def _run(order: dict[str, Any], folder: Path) -> int:
    file = folder / "order.json"
    file.write_text(json.dumps(order), encoding="utf-8")
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        done = subprocess.run([sys.executable, "-I", _JAIL, os.fspath(file)], check=False)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def _encloses(folder: Path, *, network: bool) -> bool:
    """Whether this machine lets a command be enclosed: tried with one that does nothing."""
    order: dict[str, Any] = {
        "argv": ["/bin/sh", "-c", "exit 77"],
        "environ": {},
        "home": os.fspath(folder),
        "enclose": True,
    }
    order |= {"hidden": [], "shown": [], "remove": [], "network": network, "parent": os.getpid()}
    file = folder / "order.json"
    file.write_text(json.dumps(order), encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", _JAIL, os.fspath(file)], check=False, capture_output=True)
    return done.returncode == 77


def _argv(place: Path, command: Sequence[str], environ: dict[str, str], prompt: str) -> list[str]:
    if not command:
        cells = place / "bin" / "ipython"
        typed = sys.stdin is not None and sys.stdin.isatty()
        return (
            [os.fspath(cells)]
            if typed and cells.exists()
            else [os.fspath(place / "bin" / "python"), "-s", "-c", prompt]
        )
    found = shutil.which(command[0], path=environ["PATH"])
    if found is None:
        raise UserError(
            f"the environment has no command {command[0]!r}",
            code="PO-X026",
            expected="a command of the environment's packages, or of the system",
            remedy=f"uv add --group explore {command[0]}, name the group in [environments], payoff environments lock; or name another command",
        )
    return [found, *command[1:]]


def _environ(place: Path, home: Path, lib: Path) -> dict[str, str]:
    """What a terminal needs, what the sandbox is, and nothing else of ours: a secret may be in any variable."""
    passed = {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith("LC_")}
    (home / ".tmp").mkdir(parents=True, exist_ok=True)
    return {
        **SILENT,
        **passed,
        "PATH": os.pathsep.join([os.fspath(place / "bin"), *_SYSTEM]),
        "VIRTUAL_ENV": os.fspath(place),
        "HOME": os.fspath(home),
        "TMPDIR": os.fspath(home / ".tmp"),
        "IPYTHONDIR": os.fspath(home / ".ipython"),
        "PYTHONPATH": os.fspath(lib),
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
    }


def _names() -> list[str]:
    """The folder that says which server knows the names of machines, where it is one that is hidden."""
    folder = os.path.dirname(os.path.realpath("/etc/resolv.conf"))
    return [folder] if folder.startswith("/run/") else []


def _interpreter(place: Path) -> list[str]:
    """Where the sandbox's Python itself is, and each folder on the way of links there: one of them may be in a folder that is hidden."""
    found: list[str] = []
    binary = os.fspath(place / "bin" / "python")
    while os.path.islink(binary):
        binary = os.path.normpath(os.path.join(os.path.dirname(binary), os.readlink(binary)))
        found.append(os.path.dirname(os.path.dirname(binary)))
    return [*found, os.path.dirname(os.path.dirname(os.path.realpath(binary)))]


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
