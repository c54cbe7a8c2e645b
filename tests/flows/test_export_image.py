"""`payoff export containerfile`: the files of a released image in a folder; a builder makes an image of them that serves the same."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("export_servers", Path(__file__).parents[1] / "contracts/servers.py")
assert _spec and _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules["export_servers"] = servers
_spec.loader.exec_module(servers)
CONFIG = """version: 0.1
storage:
  filesystem: {{rootdirectory: {folder}}}
http: {{addr: 127.0.0.1:{port}}}
log: {{level: error}}
"""
ROWS = {"dataframe_records": [{"tenure": 10, "calls_to_support": 3, "late_payments": 1, "lifetime_value": 200.0, "name": "name"}]}


def base_of(root: Path) -> str:
    return next(line.partition('"')[2].rstrip('"') for line in (root / "payoff.toml").read_text().splitlines() if line.startswith("digest ="))


@pytest.fixture
def exported(released: Any) -> Path:
    answer = released.answer("export", "containerfile", "1", "--image", f"registry.example.org/base@{base_of(released.root)}", "-o", "out")
    assert answer["release"] == 1
    assert {"Containerfile", "requirements.txt", "layers/model/opt/model/model.pickle", "layers/code/srv/pipeline.py"} <= set(answer["files"])
    return Path(released.root / "out")


def members(layout: Path, digest: str) -> Iterator[tuple[str, str, bytes]]:
    """What the layers of an image hold, but for those of its base: path, kind or mode, content or target."""
    blob = lambda digest: layout / "blobs/sha256" / digest.partition(":")[2]  # noqa: E731
    manifest = json.loads(blob(digest).read_bytes())
    for each in manifest["layers"][1:]:
        with tarfile.open(blob(each["digest"])) as archive:
            for entry in archive:
                if entry.issym():
                    yield entry.name, "link", entry.linkname.encode()
                elif entry.isfile():
                    yield entry.name, f"{entry.mode & 0o111:o}", archive.extractfile(entry).read()  # type: ignore[union-attr]


def test_its_files_are_those_of_the_released_image(released: Any, exported: Path) -> None:
    released_image = next(each for each in (exported / "Containerfile").read_text().split() if each.startswith("sha256:")).rstrip(".")
    assert released_image == json.loads(released.payoff("promote", "1", "dev", "--json"))["release"]["image"]
    wanted = sorted(members(released.root / ".payoff/images", released_image))
    found = []
    for path in (exported / "layers").rglob("*"):
        name = "/".join(path.relative_to(exported / "layers").parts[1:])
        if path.is_symlink():
            found.append((name, "link", os.readlink(path).encode()))
        elif path.is_file():
            found.append((name, f"{path.stat().st_mode & 0o111:o}", path.read_bytes()))
            assert path.stat().st_nlink == 1
    assert [each[:2] for each in sorted(found)] == [each[:2] for each in wanted]
    assert sorted(found) == wanted
    assert "--hash=sha256:" in (exported / "requirements.txt").read_text()
    text = (exported / "Containerfile").read_text()
    assert f"FROM registry.example.org/base@{base_of(released.root)}\n" in text
    assert "USER 65532:65532\n" in text


def test_a_folder_is_no_base(released: Any) -> None:
    assert released.refused("export", "containerfile", "1", code=2) == "PO-A135"
    assert released.refused("export", "containerfile", "1", "--image", "docker.io/library/python:3.11", code=2) == "PO-A135"
    assert not list(released.root.glob("*-containerfile"))
    assert not list(released.root.glob(".payoff-export-*"))


def config(folder: Path, port: int) -> list[str]:
    (folder / "config.yml").write_text(CONFIG.format(folder=folder / "kept", port=port))
    return ["serve", str(folder / "config.yml")]


def up(port: int) -> bool:
    try:
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=2).status == 200)
    except OSError:
        return False


def podman(*words: str) -> str:
    done = subprocess.run(["podman", "--runtime", "runc", *words], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def asked(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.loads(reply.read() or b"{}")


@pytest.mark.slow
@pytest.mark.skipif(
    any(shutil.which(each) is None for each in ("podman", "runc", "skopeo", "docker-registry")), reason="podman, runc, skopeo or docker-registry is not installed"
)
def test_it_is_built_and_serves(released: Any, tmp_path: Path) -> None:
    """By podman's own builder (buildah), from the base in a registry; then it answers as the run did."""
    with servers.running("docker-registry", config, up) as port:
        base = f"127.0.0.1:{port}/base"
        words = ["skopeo", "copy", "-q", "--preserve-digests", "--dest-tls-verify=false", f"oci:{released.root}/.payoff/base:base", f"docker://{base}:1"]
        link = tmp_path / "base"
        link.symlink_to(released.root / ".payoff/base")
        subprocess.run([each.replace(f"{released.root}/.payoff/base", str(link)) for each in words], check=True, timeout=120)
        released.answer("export", "containerfile", "1", "--image", f"{base}@{base_of(released.root)}", "-o", str(tmp_path / "out"))
        ids = tmp_path / "id"
        podman("build", "--quiet", "--isolation", "chroot", "--tls-verify=false", "--network", "host", "--iidfile", str(ids), str(tmp_path / "out"))
    image, listens = ids.read_text(), servers.free_port()
    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
    variables = ("--env", "PAYOFF_OPEN=1", "--env", f"PAYOFF_PORT={listens}", "--env", "PAYOFF_HOST=127.0.0.1")
    container = podman("run", "--detach", "--network", "host", "--read-only", "--tmpfs", "/tmp:rw,mode=1777", "--cap-drop=all", *limits, *variables, image)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                asked(f"http://127.0.0.1:{listens}/v2/health/ready")
                break
            except OSError:
                assert time.monotonic() < until, podman("logs", container)
                time.sleep(0.2)
        answer = asked(f"http://127.0.0.1:{listens}/invocations", ROWS)
        (row,) = answer["predictions"]
        assert 0 < json.loads(json.dumps(row))["p_churned"] < 1 if isinstance(row, dict) else row
    finally:
        podman("rm", "--force", container)
        podman("rmi", "--force", image)
