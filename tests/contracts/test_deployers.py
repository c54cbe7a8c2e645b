"""Real processes; real containers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from payoff.adapters.registries import layout
from payoff.base.errors import OutsideError
from payoff.testing.releasing import foundation
from payoff.testing.releasing.deployer import DeployerSuite, asked, put_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from payoff.extend import Base, Deployer, Registry


class TestProcess(DeployerSuite):
    adapter = "payoff.deployers:process"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"python": sys.executable, "drain": 5.0, "wait": 20.0}

    @pytest.fixture
    def registry(self, tmp_path: Path) -> Registry:
        return layout.connect(tmp_path, layout.Options())

    def kill(self, deployer: Deployer, name: str) -> None:
        pid = msgspec.json.decode(deployer._file(name).read_bytes())["pid"]  # type: ignore[attr-defined]
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def test_files_that_were_changed_after_they_were_unpacked_are_put_back(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        image = put_image(registry, "one", 1)
        running = deployer.apply(self.wanted(image), registry)
        assert asked(running.address)[0] == "one"
        (said,) = tmp_path.rglob("payoff/said")
        said.write_text("evil")
        (said.parent / "sitecustomize.py").write_text("1/0")
        self.kill(deployer, self.wanted(image).name)
        running = deployer.apply(self.wanted(image), registry)
        assert asked(running.address)[0] == "one"
        assert not (said.parent / "sitecustomize.py").exists()

    def test_a_layer_that_was_changed_is_not_started(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        """Also where the archive ends before the blob does: what comes after its end is part of what the digest is of."""
        image = put_image(registry, "one", 1)
        (blob,) = [path for path in tmp_path.rglob("blobs/sha256/*") if path.stat().st_size >= 10240]
        kept = blob.read_bytes()
        assert len(kept) % 10240 == 0
        for more in (b"", bytes(3 << 20)):
            blob.unlink()
            blob.write_bytes(kept.replace(b"one", b"bad") + more)
            with pytest.raises(OutsideError, match="something else"):
                deployer.apply(self.wanted(image), registry)
            assert deployer.state(self.wanted(image).name) is None
            assert not [path for path in tmp_path.rglob("payoff/said") if path.read_text() == "bad"], "nothing of it is kept"

    def test_a_link_that_was_laid_into_what_is_unpacked_goes(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        """A folder of modules from elsewhere, and the whole folder from elsewhere."""
        image = put_image(registry, "one", 1)
        deployer.apply(self.wanted(image), registry)
        (said,) = tmp_path.rglob("payoff/said")
        evil = tmp_path / "evil"
        evil.mkdir()
        (evil / "__init__.py").write_text("")
        (said.parent / "sitecustomize").symlink_to(evil)
        self.kill(deployer, self.wanted(image).name)
        deployer.apply(self.wanted(image), registry)
        assert not (said.parent / "sitecustomize").exists()
        self.kill(deployer, self.wanted(image).name)
        elsewhere = tmp_path / "elsewhere"
        said.parent.rename(elsewhere)
        (elsewhere / "os.py").write_text("1/0")
        said.parent.symlink_to(elsewhere)
        running = deployer.apply(self.wanted(image), registry)
        assert asked(running.address)[0] == "one"
        assert not said.parent.is_symlink()


def podman(*words: str) -> str:
    return subprocess.run(["podman", "--runtime", "runc", *words], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(shutil.which("podman") is None or shutil.which("runc") is None, reason="podman and runc are not installed")
class TestContainer(DeployerSuite):
    """As on a machine whose kernel lets nobody publish ports; the base is this machine's own Python."""

    adapter = "payoff.deployers:container"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
        return {"arguments": ("--runtime", "runc"), "run": limits, "network": "host", "drain": 5.0, "wait": 60.0}

    @pytest.fixture
    def registry(self, tmp_path: Path) -> Registry:
        folder = tmp_path / "Bilder mit Ü"  # a name that is none of an image
        return layout.connect(folder, layout.Options("images"))

    @pytest.fixture
    def base(self, registry: Registry) -> Base:
        return foundation.put_base(registry)[0]

    @pytest.fixture
    def python(self) -> str:
        return foundation.PYTHON

    @pytest.fixture(autouse=True)
    def tidy(self) -> Iterator[None]:
        """No image of these tests stays in the machine's store."""
        before = set(podman("images", "--quiet", "--no-trunc").split())
        yield
        for image in set(podman("images", "--quiet", "--no-trunc").split()) - before:
            subprocess.run(["podman", "rmi", "--force", image], capture_output=True, check=False)

    def kill(self, deployer: Deployer, name: str) -> None:
        (container,) = podman("ps", "--quiet", "--filter", f"label=dev.payoff.name={name}").split()
        podman("kill", "--signal", "KILL", container)
        podman("wait", container)

    def test_it_is_nobody_and_writes_nothing(self, deployer: Deployer, registry: Registry, base: Base, python: str) -> None:
        image = put_image(registry, "one", 1, base, python)
        deployer.apply(self.wanted(image), registry)
        (container,) = podman("ps", "--quiet", "--filter", f"label=dev.payoff.name={self.wanted(image).name}").split()
        tried = "import os; print(os.getuid()); open('/tmp/a', 'w').write('b'); print(os.path.exists('/tmp/a')); open('/srv/a', 'w')"
        done = subprocess.run(["podman", "--runtime", "runc", "exec", container, python, "-c", tried], capture_output=True, text=True, check=False)
        assert done.stdout.split() == ["65532", "True"], done.stderr
        assert "Read-only file system" in done.stderr or "No such file" in done.stderr
        said = json.loads(podman("inspect", container))[0]
        assert said["EffectiveCaps"] in ([], None)
        assert said["HostConfig"]["ReadonlyRootfs"] is True
