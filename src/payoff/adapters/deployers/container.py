"""A container on this machine, by podman or docker: the release's image as it is, read-only, as nobody, on an address of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shlex
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.base import lazy
from payoff.base.errors import OutsideError, UserError
from payoff.base.hashing import sha256
from payoff.base.locking import Taken, locked
from payoff.ports.releasing.deployer import Running, Wanted, nowhere
from payoff.ports.releasing.machine import alone, owner, refuse_short

if TYPE_CHECKING:
    from collections.abc import Callable

    import urllib3

    from payoff.ports.releasing.registry import Registry
else:
    urllib3 = lazy.Module("urllib3")

CAPABILITIES: dict[str, Any] = {"remote": False}
_NAME, _RELEASE, _SETTINGS, _ADDRESS = (f"dev.payoff.{each}" for each in ("name", "release", "settings", "address"))
_OWNER, _ROOT, _PROJECT, _DEPLOYMENT = (f"dev.payoff.{each}" for each in ("owner", "root", "project", "deployment"))
_IMAGES = "dev.payoff.model"  # the label that every image of a release has
_TITLE = "org.opencontainers.image.title"  # the label that has its project
_LINES = 15  # of a container's own words, when it does not get ready
_TRIES = 3  # ports
_TAKEN = ("address already in use", "port is already allocated", "ports are not available")
_MARGIN = 60.0  # seconds that another deploy may take beyond what its release takes to get ready and the other to end
_MOUNTED = "/run/payoff/token"  # where images that say so read it, which is not shown to who inspects their containers
_USER = 65532  # of images of ours
_FOLDER = Path(".payoff", "deployments")
# How images were named that earlier versions pulled from a folder.
_EARLIER = re.compile(r"localhost/(?:.+/)?payoff-[0-9]+/images:latest")


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
    """A deployment is the containers that carry its name, and the project's folder, as labels: one, but for the moment in which one takes over from another. They are
    found by the folder's real path, whatever else of the project is gone; when the folder is moved, they stay behind, and `dev.payoff.root` says where they are from.
    A container of an earlier version says of no folder that it is its own: whoever deploys that name first takes it over, as it was, and replaces it.
    """

    def __init__(self, root: Path, options: Options) -> None:
        self._root = root
        self._owner = owner(root)
        self._options = options
        self._wait = options.wait + options.drain + _MARGIN

    def state(self, name: str) -> Running | None:
        """What the engine says of the container that is ready, or else of the newest."""
        seen = [self._running(each) for each in self._containers(name)]
        return next((each for each in seen if each.ready), seen[0] if seen else None)

    def apply(self, wanted: Wanted, images: Registry, switch: Callable[[str], None] = nowhere) -> Running:
        """Start beside, wait, switch, stop the others. Of several that an earlier call left, the one that is right and ready is switched to."""
        refuse_short(self._options.token)
        with alone(self._root / _FOLDER, wanted.name, self._wait):
            before = [(each, self._running(each)) for each in self._containers(wanted.name)]
            right = [each for each in before if self._right(*each, wanted)]
            ready = [each for each in before if each[1].ready]
            if right:
                found, running = right[0][0]["Id"], right[0][1]
            else:
                # What is left of a start that was killed is in the way of nobody, and takes room.
                self._end([each for each, runs in before if ready and not runs.ready])
                found, running = self._begin(wanted, images)
            switch(running.address)
            self._end([each for each, _ in before if each["Id"] != found])
            if not right:
                self._remove_others(wanted, images)
            return running

    def shown(self, wanted: Wanted, images: Registry) -> str:
        """The engine's commands."""
        command = self._command(wanted, wanted.image, "PORT", self._secret(wanted))
        said = [self._pull(wanted, images), ["run", "--detach", *command]]
        return "\n".join(shlex.join([self._options.program, *self._options.arguments, *each]) for each in said)

    def stop(self, name: str) -> None:
        """All of the name."""
        with alone(self._root / _FOLDER, name, self._wait):
            self._end(self._containers(name))

    def _right(self, container: dict[str, Any], running: Running, wanted: Wanted) -> bool:
        labels = container["Config"]["Labels"]
        as_it_should = (labels.get(_OWNER), labels.get(_SETTINGS)) == (self._owner, self._settings(wanted))
        return running.ready and running.image == wanted.image and as_it_should

    def _begin(self, wanted: Wanted, images: Registry) -> tuple[str, Running]:
        """Pull an image, make a container of it, start it, and wait until it is ready; one that does not get ready, or not even starts, is removed."""
        self._refuse_no_volume()
        # Nobody removes images meanwhile; others may pull theirs.
        with alone(self._root / _FOLDER, "images", self._wait, shared=True):
            image = self._pulled(wanted, images)
            secret = self._secret(wanted) if self._reads(image) else ""
            tries = 0
            while True:
                tries += 1
                with socket.socket() as reserved:
                    # Held until the server has it, without listening: nobody else is given it, and who says SO_REUSEADDR, as servers do, can take it.
                    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    reserved.bind(("127.0.0.1", 0))
                    words = self._command(wanted, image, str(reserved.getsockname()[1]), secret)
                    if self._options.network != "host":
                        reserved.close()  # the engine takes it as it likes, and says when it cannot
                    made = self._made(words, secret)
                    try:
                        self._engine("start", made)
                        return made, self._ready(made, wanted)
                    except BaseException as error:
                        self._engine("rm", "--force", made, quiet=True)
                        if tries == _TRIES or not any(each in str(error).lower() for each in _TAKEN):
                            raise

    def _refuse_no_volume(self) -> None:
        """The engine would say so, in its own words, or make one that is root's."""
        place = self._root / self._options.volume
        if self._options.volume and not place.is_dir():
            through = "" if os.geteuid() == 0 else "podman unshare " if self._is("podman") else "sudo "
            raise UserError(
                f"the folder for the log of predictions is not there: {place}",
                code="PO-A182",
                expected=f"a folder that user {_USER}, as whom the server runs, may write to",
                remedy=f"mkdir -p {shlex.quote(f'{place}')} && {through}chown {_USER}:{_USER} {shlex.quote(f'{place}')}",
            )

    def _made(self, words: list[str], secret: str) -> str:
        """A container, not started yet. The engine copies a secret into what it makes, so that it is kept no longer."""
        if not secret:
            return self._engine("create", *words, variables={"PAYOFF_TOKEN": self._options.token}).strip()
        self._engine("secret", "rm", secret, quiet=True)  # of one that was killed here
        self._engine("secret", "create", secret, "-", said=self._options.token)
        try:
            return self._engine("create", *words).strip()
        finally:
            self._engine("secret", "rm", secret, quiet=True)

    def _reads(self, image: str) -> bool:
        """Whether the server in an image reads its token from a file, as those of earlier versions do not."""
        said = json.loads(self._engine("image", "inspect", image))[0]["Config"]
        return f"PAYOFF_TOKEN_FILE={_MOUNTED}" in (said.get("Env") or ())

    def _secret(self, wanted: Wanted) -> str:
        """The name of what carries the token into a container; empty where there is none. Docker has secrets for swarms only."""
        named = sha256(f"{self._owner} {wanted.name}".encode())[7:23]
        return f"payoff-{named}" if self._options.token and self._is("podman") else ""

    def _command(self, wanted: Wanted, image: str, port: str, secret: str = "") -> list[str]:
        """What follows `run` or `create`."""
        options = self._options
        labels = {
            _NAME: wanted.name,
            _OWNER: self._owner,
            # Names may have `-` in them: only apart does it show which part is whose.
            _PROJECT: wanted.project,
            _DEPLOYMENT: wanted.deployment,
            _ROOT: os.fsencode(os.path.realpath(self._root)).decode(errors="replace"),
            _RELEASE: str(wanted.release),
            _SETTINGS: self._settings(wanted),
            _ADDRESS: f"http://127.0.0.1:{port}",
        }
        # Without a token it answers whoever reaches it: those on this machine.
        variables = {**wanted.variables, **({} if options.token else {"PAYOFF_OPEN": "1"})}
        if options.network == "host":
            variables |= {"PAYOFF_HOST": "127.0.0.1", "PAYOFF_PORT": port}
            placed = ["--network=host"]
        else:
            placed = [f"--network={options.network}"] if options.network else []
            placed += ["--publish", f"127.0.0.1:{port}:{wanted.port}"]
        words = ["--read-only", "--tmpfs", "/tmp:rw,mode=1777", "--cap-drop=all"]  # noqa: S108 - the container's
        words += ["--security-opt=no-new-privileges", "--restart=on-failure:5", *placed]
        # Of the container's own words both throw away what is old.
        words += ["--log-opt=max-size=10m"] if self._is("podman") else []
        words += ["--log-driver=local"] if self._is("docker") else []
        for key, value in labels.items():
            words += ["--label", f"{key}={value}"]
        for key, value in sorted(variables.items()):
            words += ["--env", f"{key}={value}"]
        # The token's value is the engine's to take from its environment: command lines can be read by everybody here.
        words += ["--env", "PAYOFF_TOKEN"] if options.token and not secret else []
        if secret:
            words += ["--tmpfs", f"{os.path.dirname(_MOUNTED)}:rw,mode=0755,size=64k"]
            words += ["--secret", f"{secret},target={_MOUNTED},mode=0444"]
        words += ["--volume", f"{self._root / options.volume}:/var/lib/payoff:rw"] if options.volume else []
        return [*words, *options.run, image]

    def _settings(self, wanted: Wanted) -> str:
        said = {**dataclasses.asdict(self._options), "token": sha256(self._options.token.encode())}
        return sha256(json.dumps([said, wanted.variables], sort_keys=True).encode())[7:23]

    def _pull(self, wanted: Wanted, images: Registry) -> list[str]:
        kind, _, place = images.address.partition(":")
        if kind == "oci":
            if self._is("docker"):
                raise UserError(
                    f"docker cannot pull from the folder {place}",
                    code="PO-A149",
                    expected="a registry, or podman, which takes images from a folder, too",
                    remedy='kind = "distribution" and a repository under [release], or program = "podman" for this deployment',
                )
            return ["pull", "--quiet", f"oci:{place}:release-{wanted.release}"]
        host = place.removeprefix("//")
        here = host.partition("/")[0].rpartition(":")[0] in {"127.0.0.1", "localhost"}
        plain = ["--tls-verify=false"] if here and self._is("podman") else []
        return ["pull", "--quiet", *plain, f"{host}@{wanted.image}"]

    def _pulled(self, wanted: Wanted, images: Registry) -> str:
        """The engine's name of the image, which has the digest that is wanted; an image of that digest is not asked for again."""
        words = self._pull(wanted, images)
        with tempfile.TemporaryDirectory(prefix="payoff-") as place:
            folder = None
            if images.address.startswith("oci:"):
                # The engine makes the image's name of the folder's, and takes few letters in it: it gets a link whose name, seen from where it starts, is ours.
                folder, link = place, Path(place, self._named(wanted.release))
                link.parent.mkdir(parents=True)
                link.symlink_to(images.address.removeprefix("oci:"))
                words[-1] = f"oci:{self._named(wanted.release)}:release-{wanted.release}"
            image = self._engine(*words, folder=folder).split()[-1]
        found = self._digests(image)
        if wanted.image not in found:
            raise OutsideError(
                f"{images.address} gives {', '.join(sorted(found)) or 'an image without a digest'} for release {wanted.release}",
                code="PO-A113",
                expected=wanted.image,
                remedy=f"payoff release again, which puts the image there; look at who else writes to {images.address}",
            )
        return image

    def _named(self, release: int) -> str:
        """The name of an image that comes from a folder."""
        return f"payoff/{self._owner}/release-{release}"

    def _digests(self, image: str) -> set[str]:
        return _digests(json.loads(self._engine("image", "inspect", image))[0])

    def _is(self, program: str) -> bool:
        return os.path.basename(self._options.program) == program

    def _remove_others(self, wanted: Wanted, images: Registry) -> None:
        """Remove images of the project's releases that nobody is to run any more. The engine refuses what a container uses, and what somebody has given
        another name stays as well; no failure is an error.
        """
        if not wanted.keep:
            return
        with contextlib.suppress(Taken, OutsideError), locked(self._root / _FOLDER / "images.lock", 0):
            ids = self._engine("images", "--quiet", "--no-trunc", "--filter", f"label={_IMAGES}").split()
            found = json.loads(self._engine("image", "inspect", *ids, quiet=True) or "[]") if ids else []
            ours = f"localhost/{self._named(0).removesuffix('0')}"
            for each in found:
                tags, digests = each.get("RepoTags") or (), each.get("RepoDigests") or ()
                labels = (each.get("Config") or {}).get("Labels") or {}
                if labels.get(_TITLE) != wanted.project or _digests(each) & {*wanted.keep, wanted.image}:
                    continue
                named = [tag for tag in tags if tag.startswith(ours) or _EARLIER.fullmatch(tag)]
                if not tags and {name.rpartition("@")[0] for name in digests} == {images.address.rpartition("//")[2]}:
                    named = [each["Id"]]
                for name in named:
                    self._engine("rmi", name, quiet=True)

    def _containers(self, name: str) -> list[dict[str, Any]]:
        """Ours of the name, and those of earlier versions, inspected, the newest first."""
        ids = self._engine("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={_NAME}={name}").split()
        # One of another clone may be gone by now.
        said = json.loads(self._engine("inspect", "--type", "container", *ids, quiet=True) or "[]") if ids else []
        ours = [each for each in said if each["Config"]["Labels"].get(_OWNER, self._owner) == self._owner]
        return sorted(ours, key=lambda each: str(each["Created"]), reverse=True)

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

    def _engine(
        self,
        *words: str,
        variables: dict[str, str] | None = None,
        quiet: bool = False,
        folder: str | None = None,
        said: str = "",
    ) -> str:
        program = self._options.program
        try:
            done = subprocess.run(
                [program, *self._options.arguments, *words],
                input=said.encode(),
                capture_output=True,
                check=False,
                cwd=folder,
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
            errors = os.fsdecode(done.stderr).strip().splitlines() or ["it gave no reason"]
            raise OutsideError(
                f"{program} {words[0]} failed: {errors[-1][:300]}",
                code="PO-A115",
                expected="an engine that runs containers",
                remedy=f"{program} info; payoff deploy --dry-run shows the commands",
            )
        # What a container says on its standard error, `logs` says on its own.
        return os.fsdecode(done.stdout + (done.stderr if words[0] == "logs" else b""))


def _digests(image: dict[str, Any]) -> set[str]:
    """The digests of an inspected image's manifest."""
    return {image.get("Digest", ""), *(each.rpartition("@")[2] for each in image.get("RepoDigests") or ())} - {""}


def _answers(url: str) -> bool:
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        return bool(urllib3.request("GET", url, timeout=2.0, retries=False).status == 200)
    return False
