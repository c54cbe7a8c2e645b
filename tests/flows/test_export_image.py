"""`payoff export containerfile`: the files of a released image in a folder; a builder makes an image of them that serves the same."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
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
_spec = importlib.util.spec_from_file_location("export_local", Path(__file__).with_name("servers.py"))
assert _spec and _spec.loader
local = importlib.util.module_from_spec(_spec)
sys.modules["export_local"] = local
_spec.loader.exec_module(local)
_spec = importlib.util.spec_from_file_location("export_container", Path(__file__).with_name("test_release_container.py"))
assert _spec and _spec.loader
container = importlib.util.module_from_spec(_spec)
sys.modules["export_container"] = container
_spec.loader.exec_module(container)


def base_of(root: Path) -> str:
    return next(line.partition('"')[2].rstrip('"') for line in (root / "payoff.toml").read_text().splitlines() if line.startswith("digest ="))


@pytest.fixture
def exported(released: Any) -> Iterator[Path]:
    """Half a gigabyte, which is not kept."""
    answer = released.answer("export", "containerfile", "1", "--image", f"registry.example.org/base@{base_of(released.root)}", "-o", "out")
    assert answer["release"] == 1
    assert {"Containerfile", "requirements.txt", "layers/model/opt/model/model.pickle", "layers/code/srv/pipeline.py"} <= set(answer["files"])
    yield Path(released.root / "out")
    shutil.rmtree(released.root / "out")


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


@pytest.mark.slow
@pytest.mark.skipif(bool(container.MISSING) or os.geteuid() != 0, reason=f"needs root and {', '.join(container.NEEDED)}")
@pytest.mark.skipif(shutil.which("docker-registry") is None, reason="docker-registry is not installed")
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="Debian bookworm has Python 3.11")
def test_it_is_built_and_serves(made_light: Path, tmp_path: Path) -> None:
    """By podman's own builder (buildah), on Debian's Python in a registry; then it answers what the run's own server answers."""
    root = container.flows.copy(made_light, tmp_path / "project")
    digest = container.debian()
    container.releases.releasable(root, digest, base=f'path = "{container.BASE}"')
    run = json.loads(container.flows.payoff("run", "--json", at=root).stdout)["run"]
    name = f"localhost/payoff-export-{os.getpid()}:1"
    with servers.images() as port:
        base = f"127.0.0.1:{port}/base"
        words = ["skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", f"oci:{container.BASE}:latest", f"docker://{base}:1"]
        subprocess.run(words, check=True, timeout=120)
        container.flows.payoff("export", "containerfile", run, "--image", f"{base}@{digest}", "-o", str(tmp_path / "out"), at=root)
        build = ["podman", "--runtime", "runc", "build", "--quiet", "--isolation", "chroot", "--tls-verify=false", "--network", "host", "--tag", name]
        done = subprocess.run([*build, str(tmp_path / "out")], capture_output=True, text=True, check=False, timeout=280)
        assert done.returncode == 0, done.stderr
    try:
        with container.running(name, "--env", f"PAYOFF_TOKEN={container.TOKEN}") as (started, listens):
            container.ready(listens, started)
            model = json.loads((tmp_path / "out/layers/model/opt/model/released.json").read_text())["served"]["name"]
            asked = {"dataframe_records": [container.row(listens, model)]}
            status, answer = container.ask(listens, "/invocations", asked)
            assert status == 200, answer
            assert container.ask(listens, "/invocations", asked, token="another")[0] == 401
    finally:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        subprocess.run(["podman", "rmi", "--force", name, f"{base}@{digest}"], capture_output=True, check=False)
    with local.serving(root, run) as here:
        assert here.ask("/invocations", asked).json == answer
