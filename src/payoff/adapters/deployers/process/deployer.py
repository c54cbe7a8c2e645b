"""Processes by the marks that they were started with: what runs is asked of the kernel, and not of a file."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.adapters.deployers.process.unpacking import OURS, unpack
from payoff.base import lazy, processes
from payoff.base.errors import OutsideError, UserError
from payoff.base.files import write_atomically
from payoff.base.hashing import sha256
from payoff.base.locking import Taken, locked
from payoff.ports.releasing.deployer import Running, Wanted, nowhere
from payoff.ports.releasing.machine import alone, owner, refuse_short
from payoff.records.release.image import Blob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import urllib3

    from payoff.adapters.deployers.process.options import Options
    from payoff.ports.releasing.registry import Registry
else:
    urllib3 = lazy.Module("urllib3")

_BASE = {"PATH", "HOME", "PYTHONHOME", "LD_LIBRARY_PATH"}  # where things are in the base, which is not here
_MARK = "PAYOFF_DEPLOYED"  # the variable by which a process is found again
_WORDS = 2000  # bytes of a process's own words, when it does not get ready
_LOG, _KEPT = 8 << 20, 1 << 20  # bytes of words that are too many, and how many of them stay
_MARGIN = 30.0  # seconds that another deploy may take beyond what its release takes to get ready and the other to end
_BINARY = """
import os, sys
below = os.path.join(sys.base_prefix, "bin", "python%d.%d" % sys.version_info[:2])
print(os.path.realpath(below if os.path.exists(below) else sys.executable))
"""
_UNPACKED = re.compile("[0-9a-f]{16}")


def connect(root: Path, options: Options) -> Process:
    """Processes of this machine; nothing is started."""
    return Process(root, options)


class Started(msgspec.Struct, frozen=True):
    """A process. `since`: when it started, as the kernel counts; of another process with the same number it is another. `image` is empty where it is not at work in an
    unpacked image of ours.
    """

    pid: int
    since: str
    address: str
    image: str
    release: int
    settings: str


class _Mark(msgspec.Struct, frozen=True):
    """What a process is started with, so that it can be found and told from others."""

    owner: str
    name: str
    release: int
    settings: str


class Process:
    """A deployment is the processes that were started with its name and the project's folder as a mark: one, but for the moment in which one takes over from another.

    A file says which of them was taken into use last. It is believed in nothing else: image, address and release are those that the kernel says the process was
    started with, and an image is only what its folder says, whose files were compared with the layers before the start. Who may start processes as the same
    user can start one that looks like ours, and can change files of a running one: what runs as oneself proves nothing against oneself. Where there is no
    /proc, the file is all there is.
    """

    def __init__(self, root: Path, options: Options) -> None:
        self._folder = root / options.folder
        self._owner = owner(root)
        self._options = options
        self._wait = options.wait + options.drain + _MARGIN

    def state(self, name: str) -> Running | None:
        """What the kernel says of the process that is ready, or else of the one that was taken into use last."""
        return _best(self._found(name))[1]

    def apply(self, wanted: Wanted, images: Registry, switch: Callable[[str], None] = nowhere) -> Running:
        """Unpack (what was unpacked before is compared), start beside, wait, switch, end the others."""
        refuse_short(self._options.token)
        with alone(self._folder, wanted.name, self._wait):
            before = self._found(wanted.name)
            for ending in ("log", "log.1"):
                _shorten(self._folder / f"{wanted.name}.{ending}")
            right = [each for each in before if (each.image, each.settings) == (wanted.image, self._settings(wanted))]
            started, running = _best(right)
            new = False
            if started is None or running is None or not running.ready:
                best, _ = _best(before)
                for each in before:
                    if each != best and not _running(each).ready:  # left by one that was killed while it started it
                        processes.end(each.pid, each.since, self._options.drain)
                started, running = self._begin(wanted, images)
                new = True
            if started != self._recorded(wanted.name):
                write_atomically(self._file(wanted.name), msgspec.json.encode(started))
            switch(running.address)
            for each in before:
                if each.pid != started.pid:
                    processes.end(each.pid, each.since, self._options.drain)
            if new:
                self._remove_others(wanted)
            return running

    def shown(self, wanted: Wanted, images: Registry) -> str:
        """The command, where the image would be unpacked."""
        config = self._config(wanted, images)[0]
        command, _ = self._command(wanted, config, "PORT")
        return f"unpack {images.address}@{wanted.image} to {self._place(wanted.image)}\n{shlex.join(command)}"

    def stop(self, name: str) -> None:
        """End all of the name, and forget it."""
        with alone(self._folder, name, self._wait):
            for each in self._found(name):
                processes.end(each.pid, each.since, self._options.drain)
            self._file(name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def unpacked(self, wanted: Wanted, images: Registry) -> Iterator[Path]:
        """The folder of an image, as a process would be started in it (see `Unpacker`)."""
        with alone(self._folder, "images", self._wait, shared=True):
            _, layers = self._config(wanted, images)
            unpack(layers, images, self._place(wanted.image), self._python)
            yield self._place(wanted.image)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.process"

    def _place(self, image: str) -> Path:
        return (self._folder / "images" / image.partition(":")[2][:16]).absolute()

    def _settings(self, wanted: Wanted) -> str:
        said = {**dataclasses.asdict(self._options), "token": sha256(self._options.token.encode())}
        return sha256(json.dumps([said, wanted.variables], sort_keys=True).encode())

    def _recorded(self, name: str) -> Started | None:
        """The process that was taken into use last, if it is still there."""
        try:
            found = msgspec.json.decode(self._file(name).read_bytes(), type=Started)
        except (OSError, msgspec.DecodeError):
            return None
        processes.reap(found.pid)
        return found if processes.since(found.pid) == found.since else None

    def _found(self, name: str) -> list[Started]:
        """All processes of a name: the one that was taken into use last first, then the newest. What they started themselves is theirs."""
        recorded = self._recorded(name)
        if not processes.told():
            return [] if recorded is None else [recorded]
        found: dict[int, Started] = {}
        for pid in processes.numbers():
            each = self._seen(pid, name, recorded)
            if each is not None:
                found[pid] = each
        top = [each for pid, each in found.items() if not any(above in found for above in processes.above(pid))]
        return sorted(
            top, key=lambda each: (recorded is not None and each.pid == recorded.pid, int(each.since)), reverse=True
        )

    def _seen(self, pid: int, name: str, recorded: Started | None) -> Started | None:
        """A process as the kernel shows it, if it is one of the name."""
        environment = processes.environment(pid)
        began = processes.since(pid)
        if began is None:
            return None
        if _MARK in environment:
            try:
                mark = msgspec.json.decode(environment[_MARK], type=_Mark)
            except msgspec.DecodeError:
                return None
            if (mark.owner, mark.name) != (self._owner, name):
                return None
        elif (
            recorded is not None
            and (recorded.pid, recorded.since) == (pid, began)
            and processes.place(pid).startswith(os.path.realpath(self._folder) + "/")
        ):
            mark = _Mark(self._owner, name, recorded.release, "")  # of an earlier version: it is replaced
        else:
            return None
        image = environment.get("PAYOFF_IMAGE", "")
        place = self._place(image)
        if processes.place(pid) != os.path.realpath(place) or not any(
            f"{place}/" in each for each in processes.words(pid)
        ):
            image = ""
        address = f"http://127.0.0.1:{environment.get('PAYOFF_PORT', '')}"
        return Started(pid, began, address, image, mark.release, mark.settings)

    def _config(self, wanted: Wanted, images: Registry) -> tuple[dict[str, Any], list[Blob]]:
        """The image's configuration, and its layers."""
        found = images.manifest(wanted.image)
        if found is None:
            raise OutsideError(
                f"{images.address} has no image {wanted.image[:19]}...",
                code="PO-A108",
                expected=f"the image of release {wanted.release}",
                remedy="payoff release again: its bytes come out the same",
            )
        manifest = msgspec.json.decode(found[0])
        config = b"".join(images.read(msgspec.convert(manifest["config"], Blob)))
        return msgspec.json.decode(config)["config"], msgspec.convert(manifest["layers"], list[Blob])

    def _begin(self, wanted: Wanted, images: Registry) -> tuple[Started, Running]:
        """Unpack an image, start it, and wait until it is ready; one that does not get ready is ended."""
        # Nobody removes unpacked images meanwhile; others may unpack theirs.
        with alone(self._folder, "images", self._wait, shared=True):
            config, layers = self._config(wanted, images)
            unpack(layers, images, self._place(wanted.image), self._python)
            with socket.socket() as reserved:
                # Held until the server has it, without listening: nobody else is given it, and who says SO_REUSEADDR, as servers do, can take it.
                reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                reserved.bind(("127.0.0.1", 0))
                started, process, words = self._start(wanted, config, int(reserved.getsockname()[1]))
                try:
                    return started, self._ready(started, process, words, wanted)
                except BaseException:
                    processes.end(started.pid, started.since, 0)
                    raise

    def _command(self, wanted: Wanted, config: dict[str, Any], port: str) -> tuple[list[str], dict[str, str]]:
        place = os.fspath(self._place(wanted.image))

        def moved(said: str) -> str:
            """A path inside the image, or several, as they are here."""
            parts = said.split(":")
            return ":".join(
                place + each if each.split("/")[1:2] and each.split("/")[1] in OURS else each for each in parts
            )

        words = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
        said = [each.partition("=") for each in config.get("Env") or ()]
        variables = {key: moved(value) for key, _, value in said if key not in _BASE}
        variables |= {
            **wanted.variables,
            "PAYOFF_HOST": "127.0.0.1",
            "PAYOFF_PORT": port,
            "PATH": os.environ.get("PATH", ""),
        }
        mark = _Mark(self._owner, wanted.name, wanted.release, self._settings(wanted))
        variables |= {"PAYOFF_IMAGE": wanted.image, _MARK: msgspec.json.encode(mark).decode()}
        variables["PAYOFF_HOME"] = os.fspath(self._folder.absolute() / f"{wanted.name}.home")
        # Without a token it answers whoever reaches it: those on this machine.
        variables |= {"PAYOFF_TOKEN": self._options.token} if self._options.token else {"PAYOFF_OPEN": "1"}
        for each in ("HOME", "TMPDIR", "LANG"):
            if each in os.environ:
                variables.setdefault(each, os.environ[each])
        return [moved(words[0]) if "/" in words[0] else self._python(words[0]), *map(moved, words[1:])], variables

    def _python(self, named: str) -> str:
        """The interpreter of this machine that takes the place of one of the base."""
        own = "python{}.{}".format(*sys.version_info)
        python = self._options.python or os.path.basename(named)
        found = shutil.which(python) or (sys.executable if python == own else None)
        binary = _binary(found) if found else ""
        if not binary:
            raise UserError(
                f"there is no {python} here to run the release with",
                code="PO-A116",
                expected="the interpreter that the image names, or python in the deployment's section",
                remedy=f"install {os.path.basename(named)}, or use a deployment of kind container, which brings its own",
            )
        return binary

    def _start(
        self, wanted: Wanted, config: dict[str, Any], port: int
    ) -> tuple[Started, subprocess.Popen[bytes], Path]:
        command, variables = self._command(wanted, config, str(port))
        words = self._folder / f"{wanted.name}.log"
        with contextlib.suppress(FileNotFoundError):
            words.replace(words.with_name(f"{words.name}.1"))  # what runs writes on there
        with words.open("ab") as out:  # to its end, wherever that is by then
            process = subprocess.Popen(
                command,
                cwd=self._place(wanted.image),
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        started = Started(
            pid=process.pid,
            since=processes.since(process.pid) or "",
            address=f"http://127.0.0.1:{port}",
            image=wanted.image,
            release=wanted.release,
            settings=self._settings(wanted),
        )
        return started, process, words

    def _ready(self, started: Started, process: subprocess.Popen[bytes], words: Path, wanted: Wanted) -> Running:
        until = time.monotonic() + self._options.wait
        while process.poll() is None and time.monotonic() < until:
            running = _running(started)
            if running.ready:
                process.returncode = 0  # it outlives us, and nobody here is to wait for its end
                return running
            time.sleep(0.05)
        ended = f"it ended with {process.returncode}" if process.poll() is not None else "it still starts"
        said = words.read_bytes()[-_WORDS:].decode(errors="replace").strip()
        raise OutsideError(
            f"release {wanted.release} does not get ready within {self._options.wait:g} s: {ended}"
            + (f"\n{said}" if said else ""),
            code="PO-A111",
            expected="a model that answers /v2/health/ready",
            remedy="what ran before runs on; look at what it said, and release a run that starts",
        )

    def _remove_others(self, wanted: Wanted) -> None:
        """Remove unpacked images that nobody is to run any more, and that no process is at work in."""
        kept = {self._place(each).name for each in (*wanted.keep, wanted.image)}
        folder = Path(os.path.realpath(self._folder / "images"))
        if not wanted.keep or not folder.is_dir():
            return
        with contextlib.suppress(Taken, OSError), locked(self._folder / "images.lock", 0):
            for file in self._folder.glob("*.process"):
                recorded = self._recorded(file.stem)
                kept |= {self._place(recorded.image).name} if recorded else set()
            for pid in processes.numbers():
                place = Path(processes.place(pid))
                kept |= {place.relative_to(folder).parts[0]} if folder in place.parents else set()
            for each in folder.iterdir():
                if _UNPACKED.fullmatch(each.name) and each.name not in kept:
                    shutil.rmtree(each, ignore_errors=True)


@functools.cache
def _binary(python: str) -> str:
    """The program that an interpreter is, as it says itself: what is found may be a script that looks for one (pyenv's), or a virtual environment's, which would bring
    packages along. Empty where it does not run.
    """
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run([python, "-I", "-c", _BINARY], capture_output=True, check=False, timeout=30)
        return os.fsdecode(said.stdout).strip()
    return ""


def _best(found: list[Started]) -> tuple[Started | None, Running | None]:
    """The first that is ready, or else the first."""
    best: tuple[Started | None, Running | None] = (None, None)
    for each in found:
        running = _running(each)
        if running.ready or best[0] is None:
            best = each, running
        if running.ready:
            break
    return best


def _running(started: Started) -> Running:
    ready = False
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        answer = urllib3.request("GET", f"{started.address}/v2/health/ready", timeout=2.0, retries=False)
        ready = answer.status == 200
    why = "" if ready else "its process runs, and does not answer"
    return Running(image=started.image, address=started.address, ready=ready, release=started.release, why=why)


def _shorten(file: Path) -> None:
    """Keep the end of a file of words that has grown long. Who writes to it writes on at its end."""
    with contextlib.suppress(FileNotFoundError), file.open("r+b") as stream:
        if stream.seek(0, os.SEEK_END) > _LOG:
            stream.seek(-_KEPT, os.SEEK_END)
            last = stream.read()
            stream.seek(0)
            stream.write(last)
            stream.truncate()
