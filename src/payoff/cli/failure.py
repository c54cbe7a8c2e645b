"""What an exception means to the user: a message, an exit code, and for our own bugs a file to send."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

from payoff import __version__
from payoff.base import ids
from payoff.base.errors import Bug, OutsideError, PayoffError, UserError
from payoff.base.text import did_you_mean, nearest
from payoff.cli.render import screen

if TYPE_CHECKING:
    from collections.abc import Iterable

_INTERRUPTED, _UNHEARD = 130, 141
_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


def tell(error: BaseException, argv: list[str]) -> int:
    """Say what went wrong, on standard error or with `--json` as a document; answers the exit code."""
    if isinstance(error, BrokenPipeError):
        return _UNHEARD
    if isinstance(error, KeyboardInterrupt):
        if "--json" in argv:
            from payoff.cli.render import document

            screen.document(document.failure(_stopped(argv)))
        screen.err(
            "stopped; no project was made"
            if _making(argv)
            else "stopped; nothing finished is lost: payoff run goes on from here"
        )
        return _INTERRUPTED
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    known = as_ours(error, argv)
    if "--json" in argv:
        from payoff.cli.render import document

        screen.document(document.failure(known))
    else:
        screen.err(str(known))
    return known.exit_code


def as_ours(error: BaseException, argv: list[str]) -> PayoffError:
    """An error as it is told: our own as it is, what the machine did, or a bug of ours, of which a file is kept."""
    return error if isinstance(error, PayoffError) else _outside(error) or _bug(error, argv)


def unknown_verb(verb: str, verbs: Iterable[str]) -> NoReturn:
    """There is no such verb: name the nearest."""
    names = list(verbs)
    if verb.startswith("-"):
        raise UserError(
            f"the option {verb} stands before the verb",
            code="PO-U002",
            expected="payoff VERB [options]",
            remedy=f"payoff --help, or write {verb} after the verb",
        )
    raise UserError(
        f"there is no verb {verb!r}",
        code="PO-U001",
        expected=did_you_mean(verb, names),
        remedy=f"payoff {nearest(verb, names) or '--help'}",
    )


class _Stopped(OutsideError):
    exit_code = _INTERRUPTED


def _making(argv: list[str]) -> bool:
    """A project that is only being made: there is nothing yet that a run could go on from."""
    return argv[:1] == ["init"]


def _stopped(argv: list[str]) -> OutsideError:
    return _Stopped(
        "it was stopped, by ctrl-C or a signal",
        code="PO-U008",
        expected="a command that may go on to its end",
        remedy="the same command again" + ("" if _making(argv) else ": nothing finished is lost"),
    )


def _outside(error: BaseException) -> OutsideError | None:
    """What the machine did to us: a full disk, a missing permission, no memory."""
    if isinstance(error, MemoryError):
        return OutsideError(
            "there was no memory left",
            code="PO-U006",
            expected="a machine with free memory",
            remedy="close other programs, or payoff run --workers 1; finished steps are not repeated",
        )
    if not isinstance(error, OSError):
        return None
    place = f" ({os.fspath(error.filename)!s})" if isinstance(error.filename, str) else ""
    if error.errno in _FULL:
        return OutsideError(
            f"the disk is full{place}",
            code="PO-U004",
            expected="free space for the project's .payoff folder",
            remedy="free some space, then payoff run: finished steps are not repeated",
        )
    if error.errno in _DENIED:
        return OutsideError(
            f"the system did not let Payoff read or write a file{place}",
            code="PO-U005",
            expected="a file this user may use",
            remedy="correct its permissions (ls -l shows them), then the same command again",
        )
    return None


def _bug(error: BaseException, argv: list[str]) -> Bug:
    path = _crash_file(error, argv)
    frame = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" in {os.path.basename(frame[0].filename)}:{frame[0].lineno}" if frame else ""
    return Bug(
        f"this is a bug in Payoff: {type(error).__name__}{place}",
        code="PO-U007",
        expected=f"the traceback is in {path}" if path else "the traceback could not be saved",
        remedy="report it with that file; nothing finished is lost, and payoff run goes on from there",
    )


def _crash_file(error: BaseException, argv: list[str]) -> str:
    """Save the traceback without values of variables; answers the path, or nothing when that fails too."""
    lines = [
        f"payoff {__version__}, python {sys.version.split()[0]}, {sys.platform}",
        f"verb: {argv[0] if argv else ''}",
        "",
        *traceback.TracebackException.from_exception(error, capture_locals=False).format(),
    ]
    name = f"crash-{ids.new_run_id()}.txt"
    folder = _folder(argv)
    path = os.path.join(folder, name)
    try:
        os.makedirs(folder, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write("\n".join(line.rstrip("\n") for line in lines) + "\n")
    except OSError:
        return ""
    return path


def _folder(argv: list[str]) -> str:
    """The project's `.payoff` folder as far as can be seen, else the folder for temporary files."""
    given = argv[argv.index("--project") + 1] if "--project" in argv[:-1] else None
    folder = os.path.abspath(given or ".")
    while not os.path.exists(os.path.join(folder, "payoff.toml")):
        parent = os.path.dirname(folder)
        if parent == folder or given:
            import tempfile

            return tempfile.gettempdir()
        folder = parent
    return os.path.join(folder, ".payoff")
