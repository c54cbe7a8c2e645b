"""Projects that can be released, base images, and images looked into: for the tests of releases."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.base.hashing import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
WHO = "ann@example.org"
STATUS = """\
Package: python3
Status: install ok installed
Architecture: amd64
Version: 3.11.2-1+b1

Package: removed
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
"""


def git(root: Path, *words: str, code: int | None = 0) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    assert code is None or done.returncode == code, done.stderr
    return done.stdout.strip()


def commit(root: Path, says: str) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", says)


def tar(files: Mapping[str, bytes | str]) -> bytes:
    """An archive: a file's content in bytes, or where a link leads."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def small(python: str = PYTHON, *, libc: str = "ld-linux-x86-64.so.2") -> dict[str, bytes | str]:
    """The files of the smallest base that an environment can stand on: nothing in it runs."""
    return {
        "bin": "usr/bin",
        "usr/bin/python3": f"python{python}",
        f"usr/bin/python{python}": b"\x7fELF",
        f"lib64/{libc}": b"\x7fELF",
        "etc/os-release": "../usr/lib/os-release",
        "usr/lib/os-release": b'ID=debian\nVERSION_CODENAME="bookworm"\n',
        "var/lib/dpkg/status": STATUS.encode(),
    }


def base(folder: Path, files: Mapping[str, bytes | str] | None = None, *, architecture: str = "amd64") -> str:
    """An OCI layout with one image of one layer; answers its digest."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def keep(content: bytes, kind: str) -> dict[str, Any]:
        digest = sha256(content)
        (blobs / digest.partition(":")[2]).write_bytes(content)
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    layer = tar(small() if files is None else files)
    config = {"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": keep(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [keep(layer, "application/vnd.oci.image.layer.v1.tar")],
    }
    kept = keep(json.dumps(manifest).encode(), MANIFEST)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [kept]}))
    return str(kept["digest"])


def settings(digest: str, *, registry: str = 'path = "../images"', base: str = 'path = "../base"') -> str:
    return f'\n[release]\n{registry}\n\n[release.base]\n{base}\ndigest = "{digest}"\n\n[signing]\nreleasers = ["{WHO}"]\n'


def key(folder: Path, name: str) -> Path:
    """A key pair; answers the private one's file."""
    file = folder / name
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(file)], check=True)
    return file


def releasable(root: Path, digest: str, **more: str) -> None:
    """Let a project's releases go to a folder beside it, signed by Ann, and commit that."""
    held = key(root / ".payoff" / "keys", "ann")
    (root / "deploy").mkdir(exist_ok=True)
    (root / "deploy/allowed_signers").write_text(f"{WHO} {held.with_suffix('.pub').read_text()}")
    with open(root / "payoff.toml", "a", encoding="utf-8") as stream:
        stream.write(settings(digest, **more))
    for name, value in {"user.name": "Ann", "user.email": WHO, "user.signingkey": str(held)}.items():
        git(root, "config", name, value)
    commit(root, "who releases, and where to")


class Image:
    """An image of an OCI layout, by its manifest's digest."""

    def __init__(self, layout: Path, digest: str) -> None:
        self._blobs = layout / "blobs" / "sha256"
        self.manifest = json.loads(self.blob(digest))
        self.config = json.loads(self.blob(self.manifest["config"]["digest"]))
        self.layers = [each["digest"] for each in self.manifest["layers"]]

    def blob(self, digest: str) -> bytes:
        content = (self._blobs / digest.partition(":")[2]).read_bytes()
        assert sha256(content) == digest
        return content

    def files(self, *, ours: bool = True) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        """Every entry of every layer (`ours`: the base's apart), and its content."""
        for digest in self.layers[1 if ours else 0 :]:
            with tarfile.open(self._blobs / digest.partition(":")[2], mode="r:") as archive:
                for entry in archive:
                    content = archive.extractfile(entry) if entry.isreg() else None
                    yield entry, content.read() if content else b""

    def __getitem__(self, path: str) -> bytes:
        return next(content for entry, content in self.files() if entry.name == path)


def attached(layout: Path, digest: str) -> dict[str, bytes]:
    """What is attached to an image: kind -> the document."""
    index = json.loads((layout / "index.json").read_bytes())
    blobs = layout / "blobs" / "sha256"
    tag = digest.replace(":", "-")
    listed = next(each["digest"] for each in index["manifests"] if each.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag)
    found = {}
    for each in json.loads((blobs / listed.partition(":")[2]).read_bytes())["manifests"]:
        manifest = json.loads((blobs / each["digest"].partition(":")[2]).read_bytes())
        assert manifest["subject"]["digest"] == digest
        found[manifest["artifactType"]] = (blobs / manifest["layers"][0]["digest"].partition(":")[2]).read_bytes()
    return found


def predicate(envelope: bytes) -> dict[str, Any]:
    """The statement in an envelope, unverified."""
    return dict(json.loads(base64.b64decode(json.loads(envelope)["payload"])))


@contextlib.contextmanager
def registry(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Debian's registry server, ended by its process id."""
    program = shutil.which("docker-registry")
    assert program
    folder.mkdir(exist_ok=True)
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder / 'kept'}}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\nlog: {{level: error}}\n"
    )
    with open(folder / "log", "ab") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log, env={**os.environ, "OTEL_TRACES_EXPORTER": "none"})
    try:
        yield process
    finally:
        process.kill()
        process.wait()
