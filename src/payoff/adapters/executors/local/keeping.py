"""The sandboxes that are there: how large, when used, in use or not; and their end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.adapters.executors.local import sandbox
from payoff.base.clock import as_text
from payoff.records.hybrids.environment import Inspection, Kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from payoff.records.project import Environment

_STALE = ("needs to be updated", "outdated")


def kept(folder: Path) -> list[Kept]:
    """All of them, the one used last first."""
    try:
        places = [folder / entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    found = [(_one(place), dict(_files(place))) for place in places]
    known = [(each, files) for each, files in found if each is not None]
    known.sort(key=lambda pair: pair[0].used, reverse=True)
    counted: set[tuple[int, int]] = set()
    answer = []
    for each, files in known:
        own = sum(size for inode, size in files.items() if inode not in counted)
        counted |= files.keys()
        answer.append(msgspec.structs.replace(each, bytes=sum(files.values()), own_bytes=own))
    return answer


def discard(folder: Path, digest: str) -> bool:
    """Remove it while nobody else can begin to use it; False where somebody does already.

    The mark goes first, so that a kill leaves something that is known to be half. The lock's file stays: who waits for it must not wait for another one.
    """
    place = folder / digest
    with _alone(folder, digest) as alone:
        if not alone:
            return False
        (place / sandbox.READY).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        return not place.exists()


def inspect(environment: Environment, root: Path, folder: Path) -> Inspection:
    """What uv says of the lock and of what is installed."""
    lock, said = _lock_state(environment, root)
    if not sandbox.is_ready(environment, folder):
        return Inspection(lock=lock, installed="absent", said=said)
    words = [*sandbox.sync_words(environment, root), "--check", "--offline"]
    done = sandbox.run_uv(words, root, {"UV_PROJECT_ENVIRONMENT": str(folder / environment.digest)})
    if done.returncode == 0:
        return Inspection(lock=lock, installed="whole", said=said)
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip().startswith(("+ ", "- ", "~ "))]
    signs = {"+": "lacks", "-": "has besides", "~": "has another"}
    plain = [f"{signs[line[0]]} {line[2:]}" for line in lines]
    why = "; ".join(plain[:5]) or " ".join(done.stderr.split())[-300:]
    return Inspection(lock=lock, installed="changed", said="; ".join(each for each in (said, why) if each))


def _lock_state(environment: Environment, root: Path) -> tuple[Any, str]:
    words = ["lock", "--check", "--project", str(root / environment.folder)]
    for more in (["--offline"], []):
        done = sandbox.run_uv([*words, *more], root, {})
        if done.returncode == 0:
            return "current", ""
        if any(each in done.stderr for each in _STALE):
            return "stale", ""
    return "unknown", " ".join(done.stderr.split())[-300:]


def _one(place: Path) -> Kept | None:
    facts: dict[str, Any] = {}
    used = whole = None
    try:
        text = (place / sandbox.READY).read_bytes()
        used, whole = (place / sandbox.READY).stat().st_mtime, True
        # Earlier versions of Payoff wrote the name alone.
        facts = msgspec.json.decode(text) if text.startswith(b"{") else {"name": text.decode(errors="replace")}
    except (OSError, msgspec.DecodeError):
        whole = used is not None
    try:
        made = (place / "pyvenv.cfg").stat().st_mtime
    except OSError:
        try:
            made = place.stat().st_mtime
        except OSError:  # removed meanwhile
            return None
    with _alone(place.parent, place.name) as alone:
        in_use = not alone
    return Kept(
        digest=place.name,
        name=facts.get("name", ""),
        folder=facts.get("folder", ""),
        python=facts.get("python", ""),
        packages=facts.get("packages"),
        made=as_text(made),
        used=as_text(used if used is not None else made),
        in_use=in_use,
        whole=whole,
    )


def _files(folder: Path) -> Iterator[tuple[tuple[int, int], int]]:
    """Each file once, by what it is on the disk, and the bytes that it takes there."""
    todo = [os.fspath(folder)]
    while todo:
        with contextlib.suppress(FileNotFoundError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                        continue
                    facts = entry.stat(follow_symlinks=False)
                    yield (facts.st_dev, facts.st_ino), facts.st_blocks * 512


@contextlib.contextmanager
def _alone(folder: Path, digest: str) -> Iterator[bool]:
    """Whether nobody has it open; while this lasts, nobody can."""
    door = os.open(folder / f"{digest}{sandbox.LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(door)
