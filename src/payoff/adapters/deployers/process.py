"""A process on this machine: the parts of the release's image that are above its base, unpacked, with this machine's interpreter. For laptops and tests."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import msgspec

from payoff.base import lazy
from payoff.base.errors import OutsideError, UserError
from payoff.base.files import write_atomically
from payoff.base.hashing import sha256
from payoff.ports.releasing.deployer import Running, Wanted, nowhere
from payoff.records.release.image import LAYER, Blob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import urllib3

    from payoff.ports.releasing.registry import Registry
else:
    urllib3 = lazy.Module("urllib3")

CAPABILITIES: dict[str, Any] = {"remote": False}
_BASE = {"PATH", "HOME", "PYTHONHOME", "LD_LIBRARY_PATH"}  # where things are in the base, which is not here
_HOME, _VERSION = (
    re.compile(rb"^home *=.*$", re.MULTILINE),
    re.compile(rb"^version(?:_info)? *= *(\d+\.\d+)", re.MULTILINE),
)
_OURS = ("opt", "srv")  # folders of an image that a release fills
_WORDS = 2000  # bytes of a process's own words, when it does not get ready


@dataclasses.dataclass(frozen=True)
class Options:
    """`python`: the interpreter, of the image's version (default: one of the name that it has in the image, looked up on the PATH). `token`: what clients must bring,
    as `${TOKEN}`. `folder`: where images are unpacked. `wait`: seconds for a release to get ready; `drain`: seconds for the one before to finish.
    """

    python: str = ""
    token: str = ""
    folder: str = ".payoff/deployments"
    wait: float = 60.0
    drain: float = 30.0


def connect(root: Path, options: Options) -> Process:
    """Processes of this machine; nothing is started."""
    return Process(root, options)


class Started(msgspec.Struct, frozen=True):
    """What is written down of a process. `since`: when it started, as the kernel counts; of another process with the same number it is another."""

    pid: int
    since: str
    address: str
    image: str
    release: int
    settings: str


class Process:
    """A deployment is a file that says which process it is."""

    def __init__(self, root: Path, options: Options) -> None:
        self._folder = root / options.folder
        self._options = options

    def state(self, name: str) -> Running | None:
        """What the file says, if that process is still there."""
        found = self._started(name)
        return None if found is None else _running(found)

    def apply(self, wanted: Wanted, images: Registry, switch: Callable[[str], None] = nowhere) -> Running:
        """Unpack (what was unpacked before is compared), start beside, wait, switch, end the other."""
        before = self._started(wanted.name)
        if before is not None and (before.image, before.settings) == (wanted.image, self._settings(wanted)):
            runs = _running(before)
            if runs.ready:
                switch(runs.address)
                return runs
        config = self._unpacked(wanted, images)
        started, process, words = self._start(wanted, config)
        try:
            running = self._ready(started, process, words, wanted)
        except OutsideError:
            _end(started, 0)
            raise
        write_atomically(self._file(wanted.name), msgspec.json.encode(started))
        switch(running.address)
        if before is not None:
            _end(before, self._options.drain)
        return running

    def shown(self, wanted: Wanted, images: Registry) -> str:
        """The command, where the image would be unpacked."""
        config = self._config(wanted, images)[0]
        command, _ = self._command(wanted, config, "PORT")
        return f"unpack {images.address}@{wanted.image} to {self._place(wanted)}\n{' '.join(command)}"

    def stop(self, name: str) -> None:
        """End it, and forget it."""
        found = self._started(name)
        if found is not None:
            _end(found, self._options.drain)
        self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.process"

    def _place(self, wanted: Wanted) -> Path:
        return self._folder / "images" / wanted.image.partition(":")[2][:16]

    def _settings(self, wanted: Wanted) -> str:
        said = {**dataclasses.asdict(self._options), "token": sha256(self._options.token.encode())}
        return sha256(json.dumps([said, wanted.variables], sort_keys=True).encode())

    def _started(self, name: str) -> Started | None:
        try:
            found = msgspec.json.decode(self._file(name).read_bytes(), type=Started)
        except (OSError, msgspec.DecodeError):
            return None
        return found if _since(found.pid) == found.since else None

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

    def _unpacked(self, wanted: Wanted, images: Registry) -> dict[str, Any]:
        """Every file of ours is as its layer, whose digest was checked, has it; nothing else is there, and no folder leads elsewhere."""
        config, layers = self._config(wanted, images)
        tree = _Tree(self._place(wanted))
        try:
            for layer in layers:
                if layer.media_type == LAYER:  # ours are not compressed: what is, is of the base
                    self._unpack(images.read(layer), tree)
        except BaseException:
            tree.take_back()  # bytes that turned out to be others
            raise
        tree.remove_others()
        return config

    def _unpack(self, pieces: Iterator[bytes], tree: _Tree) -> None:
        with tarfile.open(fileobj=cast("IO[bytes]", _Stream(pieces)), mode="r|") as archive:
            for member in archive:
                parts = member.name.split("/")
                if parts[0] not in _OURS or ".." in parts or member.isdir():
                    continue
                if member.issym():
                    # The one link of an environment leads to an interpreter of the base, whose place ours takes.
                    tree.link(member.name, self._python(member.linkname))
                elif member.isfile():
                    content = cast("IO[bytes]", archive.extractfile(member)).read()
                    if parts[-1] == "pyvenv.cfg":
                        python = self._python(f"python{_VERSION.findall(content)[0].decode()}")
                        content = _HOME.sub(os.fsencode(f"home = {os.path.dirname(python)}"), content)
                    tree.put(member.name, content, member.mode & 0o755)
        # An archive may end before its blob does, and the digest is of the whole: only who reads to the end knows that it is right.
        for _ in pieces:
            pass

    def _command(self, wanted: Wanted, config: dict[str, Any], port: str) -> tuple[list[str], dict[str, str]]:
        place = os.fspath(self._place(wanted).absolute())

        def moved(said: str) -> str:
            """A path inside the image, or several, as they are here."""
            parts = said.split(":")
            return ":".join(
                place + each if each.split("/")[1:2] and each.split("/")[1] in _OURS else each for each in parts
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
        variables["PAYOFF_HOME"] = os.fspath(self._folder.absolute() / f"{wanted.name}.home")
        # Without a token it answers whoever reaches it: those on this machine.
        variables |= {"PAYOFF_TOKEN": self._options.token} if self._options.token else {"PAYOFF_OPEN": "1"}
        for each in ("HOME", "TMPDIR", "LANG"):
            if each in os.environ:
                variables.setdefault(each, os.environ[each])
        return [moved(words[0]) if "/" in words[0] else self._python(words[0]), *map(moved, words[1:])], variables

    def _python(self, named: str) -> str:
        """The interpreter of this machine that takes the place of one of the base."""
        python = self._options.python or os.path.basename(named)
        found = shutil.which(python)
        if found is None:
            raise UserError(
                f"there is no {python} here to run the release with",
                code="PO-A116",
                expected="the interpreter that the image names, or python in the deployment's section",
                remedy=f"install {os.path.basename(named)}, or use a deployment of kind container, which brings its own",
            )
        return os.path.realpath(found)  # of a virtual environment's, the one below: it must not bring packages along

    def _start(self, wanted: Wanted, config: dict[str, Any]) -> tuple[Started, subprocess.Popen[bytes], Path]:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            port = int(listening.getsockname()[1])
        command, variables = self._command(wanted, config, str(port))
        words = self._folder / f"{wanted.name}.log"
        with words.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=self._place(wanted),
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        started = Started(
            pid=process.pid,
            since=_since(process.pid) or "",
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


class _Stream:
    """An iterator of pieces, read like a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


class _Tree:
    """What is unpacked in a folder. Files that are right already stay as they are."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._kept: set[str] = set()
        self._written: list[Path] = []
        self._folders: set[Path] = set()

    def link(self, name: str, to: str) -> None:
        """A link."""
        path = self._path(name)
        if path.is_symlink() and os.readlink(path) == to:
            return
        _remove(path)
        path.symlink_to(to)
        self._written.append(path)

    def put(self, name: str, data: bytes, mode: int) -> None:
        """A file."""
        path = self._path(name)
        with contextlib.suppress(OSError):
            if not path.is_symlink() and path.stat().st_mode & 0o777 == mode and path.read_bytes() == data:
                return
        _remove(path)
        self._written.append(path)
        # Not forced to the disk: what a crash leaves half-written is found by the comparison above.
        path.write_bytes(data)
        path.chmod(mode)

    def take_back(self) -> None:
        """Remove what was written."""
        for each in self._written:
            _remove(each)

    def remove_others(self) -> None:
        """Remove what was not put here."""
        for folder, folders, files in os.walk(self._place, topdown=False):
            for each in (*files, *folders):
                path = Path(folder, each)
                if path.is_symlink() or each in files:
                    if path.relative_to(self._place).as_posix() not in self._kept:
                        path.unlink()
                else:
                    with contextlib.suppress(OSError):  # one that is not empty stays
                        path.rmdir()

    def _path(self, name: str) -> Path:
        """Where it goes; the folders above it are folders, and not links to others."""
        self._kept.add(name)
        path = self._place / name
        if path.parent not in self._folders:
            above = [self._place, *(self._place / each for each in reversed(Path(name).parents[:-1]))]
            for each in above:
                if each.is_symlink() or each.is_file():
                    each.unlink()
                each.mkdir(parents=True, exist_ok=True)
            self._folders.update(above)
        return path


def _remove(path: Path) -> None:
    """A file, a link, or a folder that is where a file should be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _running(started: Started) -> Running:
    ready = False
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        answer = urllib3.request("GET", f"{started.address}/v2/health/ready", timeout=2.0, retries=False)
        ready = answer.status == 200
    why = "" if ready else "its process runs, and does not answer"
    return Running(image=started.image, address=started.address, ready=ready, release=started.release, why=why)


def _since(pid: int) -> str | None:
    """When a process started; None when there is none, or only what is left of one."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self").exists():
            return None
        with contextlib.suppress(OSError):
            os.kill(pid, 0)
            return "unknown"
        return None
    return None if said[0] in "ZX" else said[19]


def _end(started: Started, seconds: float) -> None:
    """Ask it to end, wait, and end it."""
    until = time.monotonic() + seconds
    with contextlib.suppress(ProcessLookupError):
        os.kill(started.pid, signal.SIGTERM)
        while _since(started.pid) == started.since and time.monotonic() < until:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(started.pid, os.WNOHANG)
            time.sleep(0.02)
        if _since(started.pid) == started.since:
            os.kill(started.pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(started.pid, 0)
