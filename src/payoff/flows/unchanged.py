"""The short way of an unchanged project: nothing is loaded, planned or asked; the answer of the last run is given again.

After a run, the files it depended on (the project's own, and those its sources read) are remembered by size, time of change and inode,
as git's index does. When all of them are the same at the next run, so is its answer. Nothing slow is imported here.
"""

from __future__ import annotations

import json
import os
import sys
import time

from payoff.base import switches

_FILE = os.path.join(".payoff", "cache", "unchanged.json")
_STAMPS = os.path.join(".payoff", "cache", "stamps.json")
_VERSION = 2
# A file changed this shortly before it was looked at could change again without a trace in its time.
_RACY_NS = 50_000_000

Stamps = dict[str, list[int] | None]


def answer(project: str | None, request_key: str) -> tuple[str, str, int] | None:
    """The text, the JSON document and the exit code of the last run, when nothing has changed since; else None."""
    root = _root(project)
    if root is None:
        return None
    try:
        with open(os.path.join(root, _FILE), encoding="utf-8") as stream:
            kept = json.load(stream)
        if kept["version"] != _VERSION or kept["request"] != request_key or kept["system"] != system():
            return None
        if kept["root"] != root:  # a copy of the project, whose stamps are those of the other's files
            return None
        if stamp(kept["stamps"]) != kept["stamps"]:
            return None
        return kept["text"], kept["document"], kept["exit_code"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(root: str, request_key: str, text: str, document: str, exit_code: int) -> None:
    """Remember an answer for the files as they were when its run began (written down by `began`)."""
    try:
        with open(os.path.join(root, _STAMPS), encoding="utf-8") as stream:
            began_with = json.load(stream)
        os.unlink(os.path.join(root, _STAMPS))
    except (OSError, ValueError):
        return
    # What the run itself makes is taken as it is now: without the ledger of then, there is no answer of then.
    made = stamp([path for path in began_with["stamps"] if path.startswith("!")])
    kept = {
        "version": _VERSION,
        "root": os.path.abspath(root),
        "request": request_key,
        "system": system(),
        "stamps": began_with["stamps"] | made,
        "text": text,
        "document": document,
        "exit_code": exit_code,
    }
    _write(os.path.join(root, _FILE), kept)


def began(root: str, stamps: Stamps) -> None:
    """Write down how the files were when a run began."""
    now = time.time_ns()
    racy = any(each is not None and now - each[0] < _RACY_NS for each in stamps.values())
    if stamps and not racy:
        _write(os.path.join(root, _STAMPS), {"stamps": stamps})


def forget(root: str) -> None:
    """The answer kept is no longer to be given."""
    for name in (_FILE, _STAMPS):
        _remove(os.path.join(root, name))


def stamp(paths: list[str] | Stamps) -> Stamps:
    """Time of change (ns), size and inode of each path; None where there is nothing. A folder's stamp changes with its listing.

    Of a path written as `!path` only the inode counts: that it is still the same file or folder.
    """
    stamps: Stamps = {}
    for path in paths:
        try:
            found = os.stat(path.removeprefix("!"))
        except OSError:
            stamps[path] = None
        else:
            inode = found.st_ino
            stamps[path] = [0, 0, inode] if path.startswith("!") else [found.st_mtime_ns, found.st_size, inode]
    return stamps


def system() -> list[str]:
    """What of this machine and of Payoff itself an answer depends on."""
    facts = os.uname()
    set_ = [f"{name}={value}" for name, value in switches.said(os.environ).items()]
    return [facts.sysname, facts.machine, sys.version, os.path.dirname(os.path.abspath(__file__)), *set_]


def _root(project: str | None) -> str | None:
    folder = os.path.abspath(project or ".")
    while True:
        if os.path.exists(os.path.join(folder, "payoff.toml")):
            return folder
        parent = os.path.dirname(folder)
        if project is not None or parent == folder:
            return None
        folder = parent


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


def _write(path: str, value: object) -> None:
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump(value, stream)
        os.replace(temporary, path)
    except OSError:
        _remove(temporary)
