"""The contract suite of deployers.

Inherit it in a test file, name the adapter, and say how to connect and where the suite's images are; pytest does the rest:

    class TestMyDeployer(DeployerSuite):
        adapter = "payoff.deployers:mine"

        @pytest.fixture
        def options(self): return {"program": "podman"}
"""

from __future__ import annotations

import contextlib
import http.client
import os
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.base.hashing import sha256
from payoff.ports.releasing.deployer import Wanted
from payoff.records.release.image import LAYER, MANIFEST, Base, Blob, Layer, Member, Start
from payoff.release import image as images
from payoff.release import layer as layers
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from payoff.ports.releasing.deployer import Deployer
    from payoff.ports.releasing.registry import Registry

EMPTY_BASE = Base(digest="sha256:" + "0" * 64, architecture="amd64", os="linux")
ANY = ".".join("0000")
# What a release's server does, as far as a deployer sees it: it is ready at its address, says what it is, and finishes what it took.
PROGRAM = b"""
import http.server, os, signal, sys, threading, time
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "said")) as file:
    said = file.read()
token = os.environ.get("PAYOFF_TOKEN", "")
file = os.environ.get("PAYOFF_TOKEN_FILE", "")
if not token and file and os.path.exists(file):
    with open(file) as stream:
        token = stream.read()
if said == "broken":
    sys.exit("the model cannot be opened")
if said.startswith("late"):
    time.sleep(3.0)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(1.0)
        facts = [said, os.environ.get("PAYOFF_IMAGE", ""), os.environ.get("PAYOFF_RELEASE", ""), token]
        body = "|".join(facts).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
server = Server((os.environ["PAYOFF_HOST"], int(os.environ["PAYOFF_PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
server.server_close()
"""


def connect(adapter: str, root: Path, options: dict[str, Any]) -> Deployer:
    """The deployer that an entry point `group:name` leads to."""
    group, _, name = adapter.partition(":")
    module: Any = entry_points.load(group, name)
    made: Deployer = module.connect(root, module.Options(**options))
    return made


def put_image(
    registry: Registry,
    said: str,
    release: int,
    base: Base = EMPTY_BASE,
    python: str = "python3",
    *,
    file: str = "/run/payoff/token",
) -> str:
    """An image whose server says `said` (one that says `broken` does not start, `late...` takes three seconds to), tagged as a release; answers its digest. It
    reads its token from a `file`, where no variable has it.
    """
    members = [Member(path="opt/payoff/server.py", data=PROGRAM), Member(path="opt/payoff/said", data=said.encode())]
    archive = layers.bytes_of(members)
    layer = Layer(
        blob=Blob(media_type=LAYER, digest=sha256(archive), size=len(archive)), diff_id=sha256(archive), says="a server"
    )
    start = Start(
        command=(python, "/opt/payoff/server.py"),
        environment={"PAYOFF_HOST": ANY, "PAYOFF_PORT": "8080", **({"PAYOFF_TOKEN_FILE": file} if file else {})},
        ports=(8080,),
        labels={"org.opencontainers.image.title": "suite", "dev.payoff.model": sha256(said.encode())},
    )
    made = images.image(base, [layer], start)
    registry.write(layer.blob, [archive])
    registry.write(images.config_blob(made), [made.config])
    registry.put(made.manifest, MANIFEST, f"release-{release}")
    return made.digest


def asked(address: str, path: str = "/") -> list[str]:
    """What a server says: its own word, then image, release and token as it was told them."""
    with contextlib.closing(http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read().decode().split("|")


class DeployerSuite:
    """What every deployer promises."""

    adapter: ClassVar[str]

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """Options to connect with; `token` is set by the suite."""
        return {}

    @pytest.fixture
    def registry(self, tmp_path: Path) -> Registry:
        """An empty registry of images that the deployer can reach."""
        raise NotImplementedError

    @pytest.fixture
    def base(self, registry: Registry) -> Base:
        """What the suite's images stand on, in that registry."""
        return EMPTY_BASE

    @pytest.fixture
    def python(self) -> str:
        """The interpreter in the base."""
        return "python3"

    @pytest.fixture
    def deployer(self, tmp_path: Path, options: dict[str, Any]) -> Iterator[Deployer]:
        """The deployer; nothing of the suite runs afterwards."""
        made = connect(self.adapter, tmp_path, options)
        yield made
        made.stop(f"suite-{os.getpid()}")

    def wanted(self, image: str, release: int = 1, **variables: str) -> Wanted:
        """An image by its digest, under the suite's name."""
        return Wanted(
            name=f"suite-{os.getpid()}", image=image, release=release, project="suite",
            variables={"PAYOFF_IMAGE": image, "PAYOFF_RELEASE": str(release), **variables},
        )  # fmt: skip

    def test_one_life(
        self, deployer: Deployer, registry: Registry, base: Base, python: str, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        """Started, left alone, replaced without a gap, put back when it is gone, kept when the next one does not start, stopped."""
        first, second, broken = (
            put_image(registry, said, n, base, python) for n, said in enumerate(("one", "two", "broken"), 1)
        )
        name = self.wanted(first).name
        assert deployer.state(name) is None
        assert first in deployer.shown(self.wanted(first), registry) or str(first[7:20]) in deployer.shown(
            self.wanted(first), registry
        )
        assert deployer.state(name) is None, "showing does nothing"

        running = deployer.apply(self.wanted(first), registry)
        assert (running.image, running.ready, running.release) == (first, True, 1)
        assert asked(running.address) == ["one", first, "1", ""]
        again = deployer.apply(self.wanted(first), registry)
        assert again == running
        assert connect(self.adapter, tmp_path, options).state(name) == running, "another program sees the same"

        # What was taken is answered; while one takes over from the other, somebody answers at every moment.
        at, said, failed, ended = [running.address], [], [], threading.Event()
        slow: list[list[str]] = []
        waits = threading.Thread(target=lambda: slow.append(asked(running.address, "/slow")))

        def ask() -> None:
            while not ended.is_set():
                try:
                    said.append(asked(at[0])[0])
                except (OSError, http.client.HTTPException) as error:
                    failed.append(str(error))
                time.sleep(0.01)

        asks = threading.Thread(target=ask)
        waits.start()
        asks.start()
        time.sleep(0.2)
        after = deployer.apply(self.wanted(second, 2), registry, lambda address: at.__setitem__(0, address))
        time.sleep(0.2)
        ended.set()
        waits.join()
        asks.join()
        assert (after.image, asked(after.address)[0], deployer.state(name)) == (second, "two", after)
        assert slow == [["one", first, "1", ""]], "what was taken was answered"
        assert failed == []
        assert said == sorted(said), "one, and from some moment on two"
        assert {said[0], said[-1]} == {"one", "two"}
        with pytest.raises(OSError, match=r"refused|reset"):
            asked(running.address)

        with pytest.raises(OutsideError) as caught:
            deployer.apply(self.wanted(broken, 3), registry)
        assert caught.value.code == "PO-A111"
        assert "the model cannot be opened" in caught.value.what
        assert deployer.state(name) == after
        assert asked(after.address)[0] == "two"

        self.kill(deployer, name)
        found = deployer.state(name)
        assert found is None or not found.ready
        back = deployer.apply(self.wanted(second, 2), registry)
        assert (back.image, back.ready, asked(back.address)[0]) == (second, True, "two")

        changed = deployer.apply(self.wanted(second, 2, PAYOFF_RELEASE="22"), registry)
        assert asked(changed.address)[2] == "22", "other settings are drift, too"
        deployer.stop(name)
        assert deployer.state(name) is None
        deployer.stop(name)

    def test_of_two_at_once_one_starts(
        self, deployer: Deployer, registry: Registry, base: Base, python: str, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        """The second waits for the first, and finds that there is nothing to do."""
        image = put_image(registry, "one", 1, base, python)
        others = [deployer, connect(self.adapter, tmp_path, options)]
        found: list[object] = []

        def apply(by: Deployer) -> None:
            try:
                found.append(by.apply(self.wanted(image), registry))
            except PayoffError as error:
                found.append(error)

        both = [threading.Thread(target=apply, args=(each,)) for each in others]
        for each in both:
            each.start()
        for each in both:
            each.join()
        assert found == [deployer.state(self.wanted(image).name)] * 2

    def kill(self, deployer: Deployer, name: str) -> None:
        """End what runs under a name from outside, as a crash would."""
        raise NotImplementedError

    def test_a_token_reaches_the_server_and_nobody_else(
        self, registry: Registry, base: Base, python: str, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        """It is a secret: in no command line, and in no text that is shown. With another one the next call runs another copy, and with the same one none."""
        image = put_image(registry, "one", 1, base, python)
        with pytest.raises(UserError, match="shorter than 16 characters"):
            connect(self.adapter, tmp_path, {**options, "token": "geheim-4711"}).apply(self.wanted(image), registry)
        made = connect(self.adapter, tmp_path, {**options, "token": "geheim-geheim-4711"})
        try:
            assert "geheim-geheim-4711" not in made.shown(self.wanted(image), registry)
            running = made.apply(self.wanted(image), registry)
            assert asked(running.address)[3] == "geheim-geheim-4711"
            lines = [self._line(pid) for pid in os.listdir("/proc") if pid.isdigit()]
            assert not [line for line in lines if b"geheim-geheim-4711" in line]
            turned = connect(self.adapter, tmp_path, {**options, "token": "geheim-geheim-4712"})
            other = turned.apply(self.wanted(image), registry)
            assert asked(other.address)[3] == "geheim-geheim-4712"
            assert turned.apply(self.wanted(image), registry) == other
            with pytest.raises(OSError, match=r"refused|reset"):
                asked(running.address)
        finally:
            made.stop(self.wanted(image).name)

    @staticmethod
    def _line(pid: str) -> bytes:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return file.read()
        except OSError:
            return b""

    def test_an_image_that_was_changed_is_not_started(
        self, deployer: Deployer, registry: Registry, base: Base, python: str
    ) -> None:
        """By the tag of one release there is another image."""
        first = put_image(registry, "one", 1, base, python)
        assert put_image(registry, "two", 1, base, python) != first
        wanted = self.wanted(first[:-1] + ("0" if first[-1] != "0" else "1"))
        with pytest.raises(OutsideError):
            deployer.apply(wanted, registry)
        assert deployer.state(wanted.name) is None
