"""A base image for tests, made in a second of what this machine runs: its Python, the libraries that it loads, and nothing else."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from payoff.base.hashing import Sha256
from payoff.records.release.image import LAYER, MANIFEST, Base, Blob, Layer, Member, Start
from payoff.release import image as images
from payoff.release import layer as layers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.ports.releasing.registry import Registry

PYTHON = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
_LEFT_OUT = {
    "test",
    "tests",
    "site-packages",
    "dist-packages",
    "idlelib",
    "lib2to3",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "__pycache__",
}
_EXPECTED = {
    "libstdc++.so.6", "libgcc_s.so.1", "librt.so.1", "libdl.so.2", "libpthread.so.0", "libutil.so.1", "libresolv.so.2", "libm.so.6",
}  # fmt: skip
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def put_base(registry: Registry, tag: str = "base") -> tuple[Base, str]:
    """Put the base image into a registry; answers it and its manifest's digest."""
    members = list(_members())
    digest = Sha256()
    for piece in layers.pack(members, _content):
        digest.update(piece)
    blob = Blob(media_type=LAYER, digest=digest.digest, size=digest.size)
    registry.write(blob, layers.pack(members, _content))
    layer = Layer(blob=blob, diff_id=digest.digest, says="Python and its libraries")
    nothing = Base(
        digest="sha256:" + "0" * 64,
        architecture=_MACHINES.get(platform.machine(), platform.machine()),
        os="linux",
        environment=("PATH=/usr/bin:/bin", "PYTHONHOME=/usr"),
    )
    made = images.image(nothing, [layer], Start(command=(PYTHON,)))
    registry.write(images.config_blob(made), [made.config])
    registry.put(made.manifest, MANIFEST, tag)
    base = Base(
        digest=made.digest,
        architecture=nothing.architecture,
        os="linux",
        layers=(layer,),
        environment=nothing.environment,
    )
    return base, made.digest


def _members() -> Iterator[Member]:
    binary = Path(sys.base_prefix, "bin", Path(PYTHON).name).resolve()
    library = Path(os.__file__).parent
    yield _file(binary, PYTHON[1:])
    for folder, folders, files in os.walk(library):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT and not name.startswith("config-"))
        for name in sorted(files):
            path = Path(folder, name)
            if path.suffix != ".a":
                yield _file(path, f"usr/lib/{library.name}/{path.relative_to(library).as_posix()}")
    for path in sorted(_libraries([binary, *(library / "lib-dynload").glob("*.so")])):
        yield _file(path, path.as_posix()[1:])
    yield Member(path="etc/passwd", data=b"root:x:0:0::/:/bin/false\n")


def _libraries(files: list[Path]) -> set[Path]:
    """What Python loads, and what compiled packages expect of every system (PEP 600)."""
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    kept = [line.rpartition(" => ")[2] for line in known.splitlines() if line.split() and line.split()[0] in _EXPECTED]
    expected = {Path(each) for each in kept if Path(each).parent.name == f"{platform.machine()}-linux-gnu"}
    asked = ["ldd", *map(os.fspath, [*files, *expected])]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    words = (word for line in said.splitlines() for word in line.split() if word.startswith("/"))
    return expected | {Path(word) for word in words if not word.endswith(":")}


def _file(path: Path, name: str) -> Member:
    state = path.stat()
    return Member(path=name, source=os.fspath(path), size=state.st_size, executable=bool(state.st_mode & 0o100))


def _content(member: Member) -> Iterator[bytes]:
    with open(member.source, "rb") as stream:
        while piece := stream.read(1 << 20):
            yield piece
