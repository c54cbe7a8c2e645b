"""Docker's own daemon, started for these tests alone, with a registry beside it: `program = "docker"` does what podman does."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from payoff.adapters.registries import distribution, layout
from payoff.base.errors import UserError
from payoff.testing.releasing import foundation
from payoff.testing.releasing.deployer import DeployerSuite, connect, put_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.extend import Base, Deployer, Registry

_spec = importlib.util.spec_from_file_location("docker_servers", Path(__file__).with_name("servers.py"))
assert _spec and _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules["docker_servers"] = servers
_spec.loader.exec_module(servers)
PATH = f"{os.environ['PATH']}:/usr/sbin"
NEEDED = ("docker", "dockerd", "containerd", "runc", "docker-registry")
MISSING = [each for each in NEEDED if shutil.which(each, path=PATH) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING) or os.geteuid() != 0, reason=f"needs root and {', '.join(MISSING or NEEDED)}"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def daemon() -> Iterator[str]:
    """Where a daemon listens that has a folder of its own, no bridge, and changes no rule of this machine's network."""
    with tempfile.TemporaryDirectory(prefix="payoff-docker-", ignore_cleanup_errors=True) as made:
        address = f"unix://{made}/docker.sock"
        words = ["--host", address, "--data-root", f"{made}/data", "--exec-root", f"{made}/exec", "--pidfile", f"{made}/pid"]
        words += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        with open(f"{made}/log", "wb") as log:
            process = subprocess.Popen([str(shutil.which("dockerd", path=PATH)), *words], stdout=log, stderr=log, env={**os.environ, "PATH": PATH})
        try:
            until = time.monotonic() + 60
            while subprocess.run(["docker", "--host", address, "version"], capture_output=True, check=False).returncode:
                if process.poll() is not None or time.monotonic() > until:
                    pytest.skip(f"dockerd does not start here: {Path(made, 'log').read_text()[-300:]}")
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait(60)
            subprocess.run(["umount", f"{made}/exec/netns/default"], capture_output=True, check=False)  # it leaves that mounted


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with servers.images() as found:
        yield found


class TestDocker(DeployerSuite):
    adapter = "payoff.deployers:container"

    @pytest.fixture
    def options(self, daemon: str) -> dict[str, Any]:
        return {"program": "docker", "arguments": ("--host", daemon), "network": "host", "drain": 5.0, "wait": 60.0}

    @pytest.fixture
    def registry(self, tmp_path: Path, port: int) -> Registry:
        return distribution.connect(tmp_path, distribution.Options(f"127.0.0.1:{port}/suite"))

    @pytest.fixture
    def base(self, registry: Registry) -> Base:
        return foundation.put_base(registry)[0]

    @pytest.fixture
    def python(self) -> str:
        return foundation.PYTHON

    def kill(self, deployer: Deployer, name: str) -> None:
        docker = ["docker", *deployer._options.arguments]  # type: ignore[attr-defined]
        words = ["ps", "--quiet", "--filter", f"label=dev.payoff.name={name}"]
        (container,) = subprocess.run([*docker, *words], capture_output=True, text=True, check=True).stdout.split()
        subprocess.run([*docker, "kill", "--signal", "KILL", container], capture_output=True, check=True)
        subprocess.run([*docker, "wait", container], capture_output=True, check=True)

    def test_a_folder_of_images_is_none_of_dockers(self, options: dict[str, Any], tmp_path: Path) -> None:
        """Docker pulls from registries alone; it is said before anything is tried."""
        images = layout.connect(tmp_path / "images", layout.Options("images"))
        image = put_image(images, "one", 1)
        made = connect(self.adapter, tmp_path, options)
        with pytest.raises(UserError) as caught:
            made.apply(self.wanted(image), images)
        assert caught.value.code == "PO-A149"
        assert "distribution" in caught.value.remedy

    @pytest.mark.parametrize("program", ["docker", "podman"])
    def test_images_of_a_registry_that_nobody_runs_or_keeps_go(
        self, options: dict[str, Any], registry: Registry, base: Base, python: str, tmp_path: Path, program: str
    ) -> None:
        """They have no name but their digest; one that somebody has named stays."""
        if program == "podman":
            if shutil.which("podman") is None:
                pytest.skip("podman is not installed")
            limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
            options = {**options, "program": program, "arguments": ("--runtime", "runc"), "run": limits}
        words = [program, *options["arguments"]]

        def engine(*more: str) -> str:
            return subprocess.run([*words, *more], capture_output=True, text=True, check=True).stdout

        made = connect(self.adapter, tmp_path, options)
        images = [put_image(registry, f"{said} {program} {os.getpid()}", n, base, python) for n, said in enumerate(("one", "two", "three"), 1)]
        place = registry.address.removeprefix("docker://")
        mine = f"localhost/mine-{os.getpid()}:latest"
        try:
            for n in (1, 2):
                made.apply(self.wanted(images[n - 1], n), registry)
            engine("tag", f"{place}@{images[0]}", mine)
            for keep, here in ((images[1], [True, True, True]), (images[2], [True, False, True])):
                made.apply(msgspec.structs.replace(self.wanted(images[2], 3, PAYOFF_RELEASE=keep[7:]), keep=(keep,)), registry)
                found = engine("images", "--digests", "--format", "{{.Digest}}").split()
                assert [each in found for each in images] == here
            engine("rmi", mine)
            made.apply(msgspec.structs.replace(self.wanted(images[2], 3), keep=(images[2],)), registry)
            found = engine("images", "--digests", "--format", "{{.Digest}}").split()
            assert [each in found for each in images] == [False, False, True]
        finally:
            made.stop(self.wanted(images[0]).name)
            for each in images:
                subprocess.run([*words, "rmi", f"{place}@{each}"], capture_output=True, check=False)
            subprocess.run([*words, "rmi", mine], capture_output=True, check=False)
