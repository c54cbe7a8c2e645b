"""A container on this machine, by podman or docker: the release's image as it is, read-only, as nobody, on an address of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Any

from payoff.base import lazy
from payoff.base.errors import OutsideError, UserError
from payoff.base.hashing import sha256
from payoff.ports.releasing.deployer import Running, Wanted, nowhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import urllib3

    from payoff.ports.releasing.registry import Registry
else:
    urllib3 = lazy.Module("urllib3")

CAPABILITIES: dict[str, Any] = {"remote": False}
_NAME, _RELEASE, _SETTINGS, _ADDRESS = (f"dev.payoff.{each}" for each in ("name", "release", "settings", "address"))
_LINES = 15  # of a container's own words, when it does not get ready


@dataclasses.dataclass(frozen=True)
class Options:
    """`program`: podman (the default) or docker; `arguments` stand before its command (as `["--runtime", "runc"]`), `run` after `run`. `network`: `host`
    where ports cannot be published. `token`: what clients must bring, as `${TOKEN}`. `volume`: a folder for the log of predictions.
    `wait`: seconds for a release to get ready; `drain`: seconds for the one before to finish.
    """

    program: str = "podman"
    arguments: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    network: str = ""
    token: str = ""
    volume: str = ""
    wait: float = 60.0
    drain: float = 30.0


def connect(root: Path, options: Options) -> Container:
    """Containers of this machine; nothing is started."""
    return Container(root, options)


class Container:
    """A deployment is the containers that carry its name as a label: one, but for the moment in which one takes over from another."""

    def __init__(self, root: Path, options: Options) -> None:
        self._root = root
        self._options = options

    def state(self, name: str) -> Running | None:
        """What the engine says of the newest container."""
        found = self._containers(name)
        return self._running(found[0]) if found else None

    def apply(self, wanted: Wanted, images: Registry, switch: Callable[[str], None] = nowhere) -> Running:
        """Start beside, wait, switch, stop the other."""
        before = self._containers(wanted.name)
        if before:
            runs = self._running(before[0])
            as_it_should = before[0]["Config"]["Labels"].get(_SETTINGS) == self._settings(wanted)
            if runs.image == wanted.image and runs.ready and as_it_should:
                self._end(before[1:])
                switch(runs.address)
                return runs
        image = self._pulled(wanted, images)
        started = self._engine(*self._command(wanted, image), variables={"PAYOFF_TOKEN": self._options.token})
        try:
            running = self._ready(started.strip(), wanted)
        except OutsideError:
            self._engine("rm", "--force", started.strip(), quiet=True)
            raise
        switch(running.address)
        self._end(before)
        return running

    def shown(self, wanted: Wanted, images: Registry) -> str:
        """The engine's commands."""
        said = [self._pull(wanted, images), self._command(wanted, wanted.image, port="PORT")]
        return "\n".join(" ".join([self._options.program, *self._options.arguments, *each]) for each in said)

    def stop(self, name: str) -> None:
        """All of the name."""
        self._end(self._containers(name))

    def _command(self, wanted: Wanted, image: str, port: str = "") -> list[str]:
        options = self._options
        port = port or str(_free_port())
        address = f"http://127.0.0.1:{port}"
        labels = {
            _NAME: wanted.name,
            _RELEASE: str(wanted.release),
            _SETTINGS: self._settings(wanted),
            _ADDRESS: address,
        }
        # Without a token it answers whoever reaches it: those on this machine.
        variables = {**wanted.variables, **({} if options.token else {"PAYOFF_OPEN": "1"})}
        if options.network == "host":
            variables |= {"PAYOFF_HOST": "127.0.0.1", "PAYOFF_PORT": port}
            placed = ["--network=host"]
        else:
            placed = [f"--network={options.network}"] if options.network else []
            placed += ["--publish", f"127.0.0.1:{port}:{wanted.port}"]
        words = ["run", "--detach", "--read-only", "--tmpfs", "/tmp:rw,mode=1777", "--cap-drop=all"]  # noqa: S108 - the container's
        words += ["--security-opt=no-new-privileges", "--restart=on-failure:5", *placed]
        for key, value in labels.items():
            words += ["--label", f"{key}={value}"]
        for key, value in sorted(variables.items()):
            words += ["--env", f"{key}={value}"]
        # The token's value is the engine's to take from its environment: command lines can be read by everybody here.
        words += ["--env", "PAYOFF_TOKEN"] if options.token else []
        words += ["--volume", f"{self._root / options.volume}:/var/lib/payoff:rw"] if options.volume else []
        return [*words, *options.run, image]

    def _settings(self, wanted: Wanted) -> str:
        said = {**dataclasses.asdict(self._options), "token": sha256(self._options.token.encode())}
        return sha256(json.dumps([said, wanted.variables], sort_keys=True).encode())[7:23]

    def _pull(self, wanted: Wanted, images: Registry) -> list[str]:
        kind, _, place = images.address.partition(":")
        if kind == "oci":
            if os.path.basename(self._options.program) == "docker":
                raise UserError(
                    f"docker cannot pull from the folder {place}",
                    code="PO-A149",
                    expected="a registry, or podman, which takes images from a folder, too",
                    remedy='kind = "distribution" and a repository under [release], or program = "podman" for this deployment',
                )
            return ["pull", "--quiet", f"oci:{place}:release-{wanted.release}"]
        host = place.removeprefix("//")
        here = host.partition("/")[0].rpartition(":")[0] in {"127.0.0.1", "localhost"}
        plain = ["--tls-verify=false"] if here and os.path.basename(self._options.program) == "podman" else []
        return ["pull", "--quiet", *plain, f"{host}@{wanted.image}"]

    def _pulled(self, wanted: Wanted, images: Registry) -> str:
        """The engine's name of the image, which has the digest that is wanted; an image of that digest is not asked for again."""
        words = self._pull(wanted, images)
        with _place() as place:
            if images.address.startswith("oci:"):
                # The engine makes the image's name of the folder's, and takes few letters in it.
                link = os.path.join(place, "images")
                os.symlink(images.address.removeprefix("oci:"), link)
                words[-1] = f"oci:{link}:release-{wanted.release}"
            image = self._engine(*words).split()[-1]
        found = self._digests(image)
        if wanted.image not in found:
            raise OutsideError(
                f"{images.address} gives {', '.join(sorted(found)) or 'an image without a digest'} for release {wanted.release}",
                code="PO-A113",
                expected=wanted.image,
                remedy=f"payoff release again, which puts the image there; look at who else writes to {images.address}",
            )
        return image

    def _digests(self, image: str) -> set[str]:
        said = json.loads(self._engine("image", "inspect", image))[0]
        return {said.get("Digest", ""), *(each.rpartition("@")[2] for each in said.get("RepoDigests") or ())} - {""}

    def _containers(self, name: str) -> list[dict[str, Any]]:
        """Inspected, the newest first."""
        ids = self._engine("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={_NAME}={name}").split()
        said: list[dict[str, Any]] = json.loads(self._engine("inspect", "--type", "container", *ids)) if ids else []
        return sorted(said, key=lambda each: str(each["Created"]), reverse=True)

    def _running(self, container: dict[str, Any]) -> Running:
        labels = container["Config"]["Labels"]
        address = labels.get(_ADDRESS, "")
        digests = {container.get("ImageDigest", "")} - {""} or self._digests(container["Image"])
        up = container["State"]["Running"]
        ready = up and _answers(f"{address}/v2/health/ready")
        return Running(
            image=min(digests, default=""),
            address=address,
            ready=ready,
            release=int(labels.get(_RELEASE, 0)),
            why="" if ready else f"its container is {container['State']['Status']}",
        )

    def _ready(self, container: str, wanted: Wanted) -> Running:
        until = time.monotonic() + self._options.wait
        while True:
            said = json.loads(self._engine("inspect", "--type", "container", container))[0]
            running = self._running(said)
            if running.ready:
                return running
            if said["State"]["Status"] in {"exited", "stopped"} or time.monotonic() > until:
                break
            time.sleep(0.1)
        words = self._engine("logs", "--tail", str(_LINES), container, quiet=True).strip()
        raise OutsideError(
            f"release {wanted.release} does not get ready within {self._options.wait:g} s: {running.why}"
            + (f"\n{words}" if words else ""),
            code="PO-A111",
            expected="a model that answers /v2/health/ready",
            remedy="what ran before runs on; look at what the container said, and release a run that starts",
        )

    def _end(self, containers: list[dict[str, Any]]) -> None:
        for each in containers:
            self._engine("stop", "--time", f"{self._options.drain:.0f}", each["Id"], quiet=True)
            self._engine("rm", "--force", each["Id"], quiet=True)

    def _engine(self, *words: str, variables: dict[str, str] | None = None, quiet: bool = False) -> str:
        program = self._options.program
        try:
            done = subprocess.run(
                [program, *self._options.arguments, *words],
                capture_output=True,
                check=False,
                env={**os.environ, **(variables or {})},
                start_new_session=True,
            )
        except FileNotFoundError:
            raise UserError(
                f"{program} is not installed, or not on the PATH",
                code="PO-A114",
                expected="podman or docker",
                remedy=f"apt install podman, or program in the deployment's section of payoff.toml (now: {program})",
            ) from None
        if done.returncode and not quiet:
            said = os.fsdecode(done.stderr).strip().splitlines() or ["it gave no reason"]
            raise OutsideError(
                f"{program} {words[0]} failed: {said[-1][:300]}",
                code="PO-A115",
                expected="an engine that runs containers",
                remedy=f"{program} info; payoff deploy --dry-run shows the commands",
            )
        # What a container says on its standard error, `logs` says on its own.
        return os.fsdecode(done.stdout + (done.stderr if words[0] == "logs" else b""))


@contextlib.contextmanager
def _place() -> Iterator[str]:
    """A folder whose path has only letters that an image's name may have."""
    place = os.path.join(tempfile.gettempdir(), f"payoff-{os.getpid()}")
    os.mkdir(place, 0o700)
    try:
        yield place
    finally:
        shutil.rmtree(place)


def _answers(url: str) -> bool:
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        return bool(urllib3.request("GET", url, timeout=2.0, retries=False).status == 200)
    return False


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
