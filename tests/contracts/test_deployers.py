"""Real processes; real containers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from payoff.base import processes
from payoff.adapters.registries import layout
from payoff.base.errors import OutsideError, UserError
from payoff.ports.releasing.machine import owner
from payoff.testing.releasing import foundation
from payoff.testing.releasing.deployer import DeployerSuite, asked, connect, put_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from payoff.extend import Base, Deployer, Registry, Running, Wanted


def killed(apply: Callable[[], object], when: Callable[[], bool]) -> None:
    """Begin it in a process of its own, which is killed at a moment."""
    child = os.fork()
    if not child:
        try:
            apply()
        finally:
            os._exit(0)
    try:
        until(when)
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "it is still under way"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def until(when: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not when():
        assert time.monotonic() < end
        time.sleep(0.05)


def at_work(folder: Path) -> list[int]:
    """Processes that are at work in a folder: what runs, whatever anybody has written down."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            state = (each / "stat").read_text().rpartition(")")[2].split()[0]
            place = os.readlink(each / "cwd")
        except OSError:
            continue
        if state != "Z" and place.startswith(f"{folder}/"):
            found.append(int(each.name))
    return sorted(found)


@contextlib.contextmanager
def innocent(**more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program of somebody else."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"], **more)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


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

    def test_what_is_alike_in_two_releases_is_on_the_disk_once(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        """And what was changed in the one before is not taken over; it stays as it is there."""
        images = [put_image(registry, said, n) for n, said in enumerate(("one", "two", "six"), 1)]
        places = [tmp_path / ".payoff/deployments/images" / each.partition(":")[2][:16] / "opt/payoff" for each in images]
        deployer.apply(self.wanted(images[0]), registry)
        running = deployer.apply(self.wanted(images[1], 2), registry)
        assert asked(running.address)[0] == "two"
        assert os.path.samefile(places[0] / "server.py", places[1] / "server.py")
        assert [(each / "said").read_text() for each in places[:2]] == ["one", "two"]
        program = (places[1] / "server.py").read_bytes()
        changed = bytearray(program)
        changed[-1] ^= 1
        for each in places[:2]:
            (each / "server.py").write_bytes(changed)
        running = deployer.apply(self.wanted(images[2], 3), registry)
        assert asked(running.address)[0] == "six"
        assert [(each / "server.py").read_bytes() for each in places] == [changed, changed, program]

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

    # -- whose it is, and what it is

    def test_what_a_killed_deploy_started_is_ended(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        late, one = put_image(registry, "late", 1), put_image(registry, "one", 2)
        wanted = self.wanted(late)
        killed(lambda: deployer.apply(wanted, registry), lambda: bool(at_work(tmp_path)))
        assert len(at_work(tmp_path)) == 1, "nobody has written it down"
        running = deployer.apply(self.wanted(one, 2), registry)
        assert asked(running.address)[0] == "one"
        assert len(at_work(tmp_path)) == 1
        deployer.stop(self.wanted(one).name)
        assert at_work(tmp_path) == []

    def test_what_a_killed_deploy_started_is_taken_into_use(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        late = put_image(registry, "late", 1)
        wanted = self.wanted(late)
        killed(lambda: deployer.apply(wanted, registry), lambda: bool(at_work(tmp_path)))
        left = at_work(tmp_path)
        until(lambda: bool((runs := deployer.state(self.wanted(late).name)) and runs.ready))
        running = deployer.apply(self.wanted(late), registry)
        assert asked(running.address)[0] == "late"
        assert at_work(tmp_path) == left

    def test_who_waits_too_long_for_another_is_told(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        """Also while it stops; other names are not waited for, and who was killed lets go."""
        image = put_image(registry, "one", 1)
        wanted = self.wanted(image)
        other = connect(self.adapter, tmp_path, {"python": sys.executable})
        other._wait = 0.2  # type: ignore[attr-defined]
        release, inside = threading.Event(), threading.Event()

        def hold(_address: str) -> None:
            inside.set()
            release.wait(30)

        holds = threading.Thread(target=deployer.apply, args=(wanted, registry, hold))
        holds.start()
        try:
            assert inside.wait(30)
            for tried in (lambda: other.apply(wanted, registry), lambda: other.stop(wanted.name)):
                with pytest.raises(OutsideError) as caught:
                    tried()
                assert caught.value.code == "PO-A155"
                assert f"process {os.getpid()}" in caught.value.what
            other.stop("another")
            running = other.state(wanted.name)
            assert running is not None and running.ready, "looking is always possible"
        finally:
            release.set()
            holds.join()
        other.stop(wanted.name)
        killed(lambda: deployer.apply(wanted, registry, lambda _: time.sleep(60)), lambda: deployer.state(wanted.name) is not None)
        other.stop(wanted.name)
        assert at_work(tmp_path) == []

    def test_the_image_is_what_the_process_says_and_not_a_file(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        one, two = put_image(registry, "one", 1), put_image(registry, "two", 2)
        running = deployer.apply(self.wanted(one), registry)
        file = deployer._file(self.wanted(one).name)  # type: ignore[attr-defined]
        said = json.loads(file.read_bytes())
        file.write_text(json.dumps({**said, "image": two, "release": 2, "settings": deployer._settings(self.wanted(two, 2))}))  # type: ignore[attr-defined]
        assert deployer.state(self.wanted(two).name) == running
        running = deployer.apply(self.wanted(two, 2), registry)
        assert (running.image, asked(running.address)[0]) == (two, "two")
        assert len(at_work(tmp_path)) == 1

    def test_a_process_that_says_an_image_and_is_elsewhere_is_none_of_it(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        """What was unpacked is gone, or another folder is in its place."""
        one = put_image(registry, "one", 1)
        deployer.apply(self.wanted(one), registry)
        (said,) = tmp_path.rglob("payoff/said")
        said.parents[2].rename(tmp_path / "elsewhere")
        running = deployer.state(self.wanted(one).name)
        assert running is not None and running.image == ""
        running = deployer.apply(self.wanted(one), registry)
        assert (running.image, len(at_work(tmp_path))) == (one, 1)

    def test_processes_are_found_when_every_file_is_gone(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        image = put_image(registry, "one", 1)
        deployer.apply(self.wanted(image), registry)
        (file,) = tmp_path.rglob("*.process")
        file.unlink()
        running = deployer.state(self.wanted(image).name)
        assert running is not None and (running.image, running.release) == (image, 1)
        assert deployer.apply(self.wanted(image), registry) == running
        shutil.rmtree(file.parent)
        deployer.stop(self.wanted(image).name)
        assert at_work(tmp_path) == []

    def test_of_two_clones_each_has_its_own(self, deployer: Deployer, registry: Registry, tmp_path: Path, options: dict[str, Any]) -> None:
        """Also when one was copied with all its files."""
        image = put_image(registry, "one", 1)
        first = deployer.apply(self.wanted(image), registry)
        shutil.copytree(tmp_path / ".payoff", tmp_path / "clone/.payoff", symlinks=True)
        other = connect(self.adapter, tmp_path / "clone", options)
        assert other.state(self.wanted(image).name) is None
        second = other.apply(self.wanted(image), registry)
        assert second.address != first.address
        other.stop(self.wanted(image).name)
        assert deployer.state(self.wanted(image).name) == first

    def test_a_file_that_names_a_process_of_somebody_else_ends_nothing(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        image = put_image(registry, "one", 1)
        deployer.apply(self.wanted(image), registry)
        file = deployer._file(self.wanted(image).name)  # type: ignore[attr-defined]
        said = json.loads(file.read_bytes())
        with innocent() as other:
            file.write_text(json.dumps({**said, "pid": other.pid, "since": processes.since(other.pid)}))
            deployer.apply(self.wanted(image), registry)
            file.write_text(json.dumps({**said, "pid": other.pid, "since": processes.since(other.pid)}))
            deployer.stop(self.wanted(image).name)
            assert other.poll() is None
        assert at_work(tmp_path) == []

    def test_what_an_earlier_version_started_is_taken_over(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        """It has no mark; the file says which it is, and it is at work in a folder of ours."""
        image = put_image(registry, "one", 1)
        deployer.apply(self.wanted(image), registry)
        file = deployer._file(self.wanted(image).name)  # type: ignore[attr-defined]
        said = json.loads(file.read_bytes())
        deployer.stop(self.wanted(image).name)
        (place,) = (tmp_path / ".payoff/deployments/images").iterdir()
        environ = {"PAYOFF_HOST": "127.0.0.1", "PAYOFF_PORT": said["address"].rpartition(":")[2], "PAYOFF_IMAGE": image}
        earlier = subprocess.Popen([sys.executable, f"{place}/opt/payoff/server.py"], cwd=place, env=environ)
        with earlier:
            file.write_text(json.dumps({**said, "pid": earlier.pid, "since": processes.since(earlier.pid)}))
            until(lambda: bool((runs := deployer.state(self.wanted(image).name)) and runs.ready))
            running = deployer.state(self.wanted(image).name)
            assert running is not None and running.image == image
            deployer.apply(self.wanted(image), registry)
            assert earlier.wait(10) == 0
        assert len(at_work(tmp_path)) == 1

    @pytest.mark.parametrize("handles", [True, False])
    def test_a_process_that_took_the_number_over_is_not_ended(self, monkeypatch: pytest.MonkeyPatch, handles: bool) -> None:
        if not handles:
            monkeypatch.delattr(os, "pidfd_open")
        with innocent() as other:
            began = processes.since(other.pid)
            assert began is not None
            processes.end(other.pid, str(int(began) - 1), 0)
            time.sleep(0.1)
            assert other.poll() is None
            processes.end(other.pid, began, 5)
            assert processes.since(other.pid) is None
            processes.end(other.pid, began, 5)

    def test_who_does_not_listen_is_ended_when_its_time_is_up(self) -> None:
        deaf = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(120)"], stdout=subprocess.PIPE)
        assert deaf.stdout is not None
        with deaf, deaf.stdout:
            deaf.stdout.readline()
            began = processes.since(deaf.pid)
            assert began is not None
            processes.end(deaf.pid, began, 0.2)
            assert processes.since(deaf.pid) is None

    def test_a_child_that_has_ended_is_let_go(self, deployer: Deployer, registry: Registry) -> None:
        """Who follows a deployment for months leaves no zombies."""
        image = put_image(registry, "one", 1)
        deployer.apply(self.wanted(image), registry)
        pid = msgspec.json.decode(deployer._file(self.wanted(image).name).read_bytes())["pid"]  # type: ignore[attr-defined]
        os.kill(pid, signal.SIGKILL)
        until(lambda: processes.since(pid) is None)
        assert deployer.state(self.wanted(image).name) is None
        assert not Path(f"/proc/{pid}").exists()

    # -- what it leaves

    def test_unpacked_images_that_nobody_runs_or_keeps_go(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        images = [put_image(registry, said, n) for n, said in enumerate(("one", "two", "three", "four"), 1)]
        folders = [tmp_path / ".payoff/deployments/images" / each.partition(":")[2][:16] for each in images]
        (folders[0].parent / "mine").mkdir(parents=True)
        for n in (1, 2, 3):
            deployer.apply(self.wanted(images[n - 1], n), registry)
        assert all(each.is_dir() for each in folders[:3]), "who is not told what to keep removes nothing"
        with innocent(cwd=folders[1]):
            deployer.apply(keeping(self.wanted(images[3], 4), images[2]), registry)
            assert [each.is_dir() for each in folders] == [False, True, True, True]
        deployer.apply(keeping(self.wanted(images[2], 3), images[2]), registry)
        assert [each.is_dir() for each in folders] == [False, False, True, False]
        assert (folders[0].parent / "mine").is_dir()

    def test_words_are_bounded_and_those_before_are_kept_apart(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        one, two = put_image(registry, "one", 1), put_image(registry, "two", 2)
        deployer.apply(self.wanted(one), registry)
        log = tmp_path / f".payoff/deployments/{self.wanted(one).name}.log"
        log.write_bytes(b"a\n" * (5 << 20) + b"last")
        deployer.apply(self.wanted(one), registry)
        assert log.stat().st_size == 1 << 20 and log.read_bytes().endswith(b"a\nlast")
        deployer.apply(self.wanted(two, 2), registry)
        assert log.read_bytes() == b"" and log.with_name(f"{log.name}.1").read_bytes().endswith(b"last")

    def test_nobody_is_given_the_port_before_the_server_has_it(self, deployer: Deployer, registry: Registry, tmp_path: Path) -> None:
        late = put_image(registry, "late", 1)
        found: list[Running] = []
        starts = threading.Thread(target=lambda: found.append(deployer.apply(self.wanted(late), registry)))
        starts.start()
        try:
            until(lambda: any(b"PAYOFF_PORT" in Path(f"/proc/{pid}/environ").read_bytes() for pid in at_work(tmp_path)))
            (said,) = (Path(f"/proc/{pid}/environ").read_bytes() for pid in at_work(tmp_path))
            port = re.findall(rb"PAYOFF_PORT=(\d+)", said)[0]
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", int(port)))
        finally:
            starts.join()
        assert asked(found[0].address)[0] == "late"


def keeping(wanted: Wanted, *keep: str) -> Wanted:
    return msgspec.structs.replace(wanted, keep=keep)


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
    def tidy(self, tmp_path: Path) -> Iterator[None]:
        """No image of these tests stays in the machine's store; by their names, since others that run meanwhile have images of their own, or the same ones."""
        yield
        owners = {f"mine-{os.getpid()}:latest", *(owner(each) for each in (tmp_path, *tmp_path.iterdir()))}
        for name in podman("images", "--format", "{{.Repository}}:{{.Tag}}").split():
            if owners & {*name.split("/")}:
                subprocess.run(["podman", "rmi", "--force", name], capture_output=True, check=False)

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

    def test_a_folder_for_the_log_that_is_not_there(self, registry: Registry, base: Base, python: str, options: dict[str, Any], tmp_path: Path) -> None:
        """By the command that is told it is, and the server may write there."""
        image = put_image(registry, "one", 1, base, python)
        made = connect(self.adapter, tmp_path, {**options, "volume": "das Log"})
        with pytest.raises(UserError) as caught:
            made.apply(self.wanted(image), registry)
        assert caught.value.code == "PO-A182"
        subprocess.run(caught.value.remedy, shell=True, check=True)
        try:
            made.apply(self.wanted(image), registry)
            (container,) = podman("ps", "--quiet", "--filter", f"label=dev.payoff.name={self.wanted(image).name}").split()
            podman("exec", container, python, "-c", "open('/var/lib/payoff/a', 'w')")
        finally:
            made.stop(self.wanted(image).name)
        assert (tmp_path / "das Log/a").exists()

    @pytest.mark.parametrize("file", ["/run/payoff/token", ""])
    def test_a_token_is_shown_to_nobody_who_inspects(
        self, registry: Registry, base: Base, python: str, options: dict[str, Any], tmp_path: Path, file: str
    ) -> None:
        """Nor kept by the engine; and it is there when the container is started again. Images of earlier versions know variables only."""
        image = put_image(registry, "one", 1, base, python, file=file)
        made = connect(self.adapter, tmp_path, {**options, "token": "geheim-geheim-4711"})
        try:
            running = made.apply(self.wanted(image), registry)
            (container,) = podman("ps", "--quiet", "--filter", f"label=dev.payoff.name={self.wanted(image).name}").split()
            assert asked(running.address)[3] == "geheim-geheim-4711"
            assert ("geheim-geheim-4711" in podman("inspect", container)) == (not file)
            assert made._secret(self.wanted(image)) not in podman("secret", "ls").split()  # type: ignore[attr-defined]
            podman("restart", "--time", "1", container)
            until(lambda: bool((found := made.state(self.wanted(image).name)) and found.ready))
            assert asked(running.address)[3] == "geheim-geheim-4711"
        finally:
            made.stop(self.wanted(image).name)

    # -- whose it is

    def containers(self, name: str) -> list[str]:
        return podman("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label=dev.payoff.name={name}").split()

    def test_of_two_clones_each_has_its_own(
        self, deployer: Deployer, registry: Registry, base: Base, python: str, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        wanted = msgspec.structs.replace(self.wanted(put_image(registry, "one", 1, base, python)), deployment="dev")
        (tmp_path / "clone, the second").mkdir()
        (tmp_path / "link").symlink_to("clone, the second")
        other = connect(self.adapter, tmp_path / "link", options)
        try:
            first = deployer.apply(wanted, registry)
            assert other.state(wanted.name) is None
            shown = [shlex.split(line) for line in other.shown(wanted, registry).splitlines()]
            assert f"dev.payoff.root={tmp_path / 'clone, the second'}" in shown[1], "a shell takes it as it is shown"
            second = other.apply(wanted, registry)
            assert first.address != second.address and asked(first.address) == asked(second.address)
            labels = [json.loads(podman("inspect", each))[0]["Config"]["Labels"] for each in self.containers(wanted.name)]
            assert {each["dev.payoff.root"] for each in labels} == {str(tmp_path), str(tmp_path / "clone, the second")}
            assert {(each["dev.payoff.project"], each["dev.payoff.deployment"]) for each in labels} == {("suite", "dev")}
            other = connect(self.adapter, tmp_path / "clone, the second", options)
        finally:
            other.stop(wanted.name)
        assert deployer.state(wanted.name) == first
        shutil.rmtree(tmp_path / ".payoff")
        deployer.stop(wanted.name)
        assert self.containers(wanted.name) == []

    def test_what_an_earlier_version_started_is_taken_over(self, deployer: Deployer, registry: Registry, base: Base, python: str, options: dict[str, Any]) -> None:
        """It says of no folder that it is its own, and is as it should be otherwise."""
        image = put_image(registry, "one", 1, base, python)
        words = deployer._command(self.wanted(image), deployer._pulled(self.wanted(image), registry), "29999")  # type: ignore[attr-defined]
        pairs = list(zip(words, words[1:], strict=False))
        at = [n for n, (key, value) in enumerate(pairs) if key == "--label" and value.startswith(("dev.payoff.owner", "dev.payoff.root"))]
        assert len(at) == 2
        before = podman("run", "--detach", *(each for n, each in enumerate(words) if n not in {*at, *(each + 1 for each in at)})).strip()
        until(lambda: bool((runs := deployer.state(self.wanted(image).name)) and runs.ready))
        running = deployer.apply(self.wanted(image), registry)
        assert before not in self.containers(self.wanted(image).name)
        assert (asked(running.address)[0], len(self.containers(self.wanted(image).name))) == ("one", 1)

    # -- what is left when something breaks off

    @pytest.mark.parametrize("wants", ["one", "two"])
    def test_after_a_crash_in_a_switch_the_one_that_is_right_is_switched_to_first(
        self, deployer: Deployer, registry: Registry, base: Base, python: str, wants: str
    ) -> None:
        images = {said: put_image(registry, said, n, base, python) for n, said in enumerate(("one", "two"), 1)}
        wanted = {said: self.wanted(images[said], n) for n, said in enumerate(images, 1)}

        def crash(_address: str) -> None:
            raise KeyboardInterrupt

        first = deployer.apply(wanted["one"], registry)
        with pytest.raises(KeyboardInterrupt):
            deployer.apply(wanted["two"], registry, crash)
        left = self.containers(wanted["one"].name)
        assert len(left) == 2
        said: list[list[str]] = []

        def switch(address: str) -> None:
            said.append([asked(each)[0] for each in (address, first.address)])  # both answer still

        running = deployer.apply(wanted[wants], registry, switch)
        assert said == [[wants, "one"]]
        assert asked(running.address)[0] == wants
        (container,) = self.containers(wanted["one"].name)
        assert container in left, "nothing was started anew"

    def test_what_a_killed_deploy_started_is_ended(self, deployer: Deployer, registry: Registry, base: Base, python: str) -> None:
        late, one = put_image(registry, "late", 1, base, python), put_image(registry, "one", 2, base, python)
        wanted = self.wanted(late)
        killed(lambda: deployer.apply(wanted, registry), lambda: bool(podman("ps", "--quiet", "--filter", f"label=dev.payoff.name={wanted.name}")))
        (left,) = self.containers(wanted.name)
        running = deployer.apply(self.wanted(one, 2), registry)
        assert asked(running.address)[0] == "one"
        (container,) = self.containers(wanted.name)
        assert container != left

    def test_a_container_that_does_not_start_is_not_left(
        self, registry: Registry, base: Base, python: str, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        image = put_image(registry, "one", 1, base, python)
        made = connect(self.adapter, tmp_path, {**options, "run": (*options["run"], "--workdir=/not/there")})
        with pytest.raises(OutsideError) as caught:
            made.apply(self.wanted(image), registry)
        assert caught.value.code == "PO-A115"
        assert self.containers(self.wanted(image).name) == []

    def test_a_port_that_somebody_took_meanwhile_is_not_the_last(
        self, registry: Registry, base: Base, python: str, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        """The engine says that it cannot have it, once; then for ever."""
        wanted = self.wanted(put_image(registry, "one", 1, base, python))
        program, taken = tmp_path / "podman", tmp_path / "taken"
        program.write_text(
            '#!/bin/sh\ncase "$3" in start) echo >> "$0.starts"; if [ -e "$(dirname "$0")/taken" ]; then rm -f "$(dirname "$0")/taken"; '
            'echo "Error: cannot listen on the TCP port: listen tcp4 127.0.0.1:1: bind: address already in use" >&2; exit 126; fi;; esac\n'
            f'exec {shutil.which("podman")} "$@"\n'
        )
        program.chmod(0o755)
        taken.touch()
        made = connect(self.adapter, tmp_path, {**options, "program": str(program)})
        try:
            assert made.apply(wanted, registry).ready
            assert len(self.containers(wanted.name)) == 1
            made.stop(wanted.name)
            assert len(Path(f"{program}.starts").read_text().splitlines()) == 2
            program.write_text(program.read_text().replace('rm -f "$(dirname "$0")/taken"', ":"))
            taken.touch()
            with pytest.raises(OutsideError, match="address already in use"):
                made.apply(wanted, registry)
            assert self.containers(wanted.name) == []
            assert len(Path(f"{program}.starts").read_text().splitlines()) == 5
        finally:
            made.stop(wanted.name)

    def test_a_folder_that_a_killed_deploy_left_is_in_nobodys_way(self, deployer: Deployer, registry: Registry, base: Base, python: str) -> None:
        left = Path(tempfile.gettempdir(), f"payoff-{os.getpid()}")
        left.mkdir()
        try:
            assert deployer.apply(self.wanted(put_image(registry, "one", 1, base, python)), registry).ready
        finally:
            left.rmdir()

    def test_images_that_nobody_runs_or_keeps_go(self, deployer: Deployer, registry: Registry, base: Base, python: str) -> None:
        """One that somebody has named, one that a container uses and those of other projects stay."""
        images = [put_image(registry, f"{said} {os.getpid()}", n, base, python) for n, said in enumerate(("one", "two", "three", "four"), 1)]

        def here() -> list[bool]:
            said = podman("images", "--digests", "--format", "{{.Digest}}").split()
            return [each in said for each in images]

        for n in (1, 2, 3):
            deployer.apply(self.wanted(images[n - 1], n), registry)
        assert here() == [True, True, True, False], "who is not told what to keep removes nothing"
        name = self.wanted(images[0]).name
        place = deployer._owner  # type: ignore[attr-defined]
        podman("tag", f"localhost/payoff/{place}/release-2:latest", f"localhost/mine-{os.getpid()}:latest")
        another = msgspec.structs.replace(keeping(self.wanted(images[3], 4), images[3]), project="another")
        deployer.apply(another, registry)
        assert here() == [True] * 4, "they are none of that project's"
        podman("create", "--name", f"{name}-user", f"localhost/payoff/{place}/release-1:latest")
        try:
            deployer.apply(keeping(self.wanted(images[2], 3), images[2]), registry)
            assert here() == [True, True, True, False]
        finally:
            podman("rm", f"{name}-user")
        deployer.apply(keeping(self.wanted(images[3], 4), images[2]), registry)
        assert here() == [False, True, True, True]
