"""The manifests run by `podman kube play`, which is no cluster but takes what it understands of them; and the suite on a real one, where there is one.

A cluster: PAYOFF_TEST_KUBE_CONTEXT names a context of the kubeconfig whose current namespace may be written to, PAYOFF_TEST_KUBE_REPOSITORY a repository
that both this machine and the cluster reach (`host/name`), and PAYOFF_TEST_KUBE_ADDRESS where the Service `suite` can be reached from here (an
ingress, or `kubectl port-forward`). Then: pytest -m live tests/contracts/test_deployers_kubernetes.py
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from payoff.adapters.deployers.kubernetes import Options, connect
from payoff.adapters.registries import distribution
from payoff.base.hashing import sha256
from payoff.ports.releasing.deployer import Wanted
from payoff.records.release.image import LAYER, MANIFEST, Blob, Layer, Member, Start
from payoff.release import image as images
from payoff.release import layer as layers
from payoff.testing.releasing import foundation
from payoff.testing.releasing.deployer import PROGRAM, DeployerSuite, asked
from payoff.testing.releasing.front import FrontSuite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.extend import Deployer, Registry

_spec = importlib.util.spec_from_file_location("kube_servers", Path(__file__).with_name("servers.py"))
assert _spec and _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules["kube_servers"] = servers
_spec.loader.exec_module(servers)
NEEDED = ("podman", "runc", "catatonit", "docker-registry")


@pytest.mark.live
@pytest.mark.skipif("PAYOFF_TEST_KUBE_CONTEXT" not in os.environ, reason="PAYOFF_TEST_KUBE_CONTEXT names no cluster")
class TestCluster(DeployerSuite):
    adapter = "payoff.deployers:kubernetes"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {
            "context": os.environ["PAYOFF_TEST_KUBE_CONTEXT"], "address": os.environ["PAYOFF_TEST_KUBE_ADDRESS"],
            "replicas": 1, "open": True, "cpu": "50m", "memory": "64Mi", "wait": 120.0,
        }  # fmt: skip

    @pytest.fixture
    def registry(self, tmp_path: Path) -> Registry:
        return distribution.connect(tmp_path, distribution.Options(os.environ["PAYOFF_TEST_KUBE_REPOSITORY"]))

    @pytest.fixture
    def base(self, registry: Registry) -> Any:
        return foundation.put_base(registry)[0]

    @pytest.fixture
    def python(self) -> str:
        return foundation.PYTHON

    def kill(self, deployer: Deployer, name: str) -> None:
        words = ["kubectl", "--context", os.environ["PAYOFF_TEST_KUBE_CONTEXT"], "scale", "deployment", name, "--replicas", "0"]
        subprocess.run(words, check=True)

    @pytest.mark.skip(reason="a cluster has the token in a Secret: token_secret")
    def test_a_token_reaches_the_server_and_nobody_else(self) -> None:  # type: ignore[override]
        """Elsewhere."""


@pytest.mark.skip(reason="a gateway reaches the Services of its cluster, and the suite's releases are on this machine: tests/adapters/test_kubernetes_front.py")
class TestGateway(FrontSuite):
    adapter = "payoff.fronts:kubernetes"


def put(registry: Registry) -> str:
    """An image that is laid out as a release's is: it starts in /srv, which is there."""
    base, _ = foundation.put_base(registry)
    members = [Member(path=f"opt/payoff/{name}", data=data) for name, data in {"server.py": PROGRAM, "said": b"one"}.items()]
    archive = layers.bytes_of([*members, Member(path="srv", kind="folder")])
    layer = Layer(blob=Blob(media_type=LAYER, digest=sha256(archive), size=len(archive)), diff_id=sha256(archive))
    start = Start(command=(foundation.PYTHON, "/opt/payoff/server.py"), environment={"PAYOFF_HOST": "0.0.0.0", "PAYOFF_PORT": "8080"})
    made = images.image(base, [layer], start)
    registry.write(layer.blob, [archive])
    registry.write(images.config_blob(made), [made.config])
    registry.put(made.manifest, MANIFEST, "release-1")
    return made.digest


def podman(*words: str, **more: str) -> str:
    done = subprocess.run(["podman", "--runtime", "runc", *words], capture_output=True, text=True, check=False, env={**os.environ, **more})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def played(tmp_path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The manifests as they are shown, played: the image's digest, the server's address, and what podman says of the container.

    The pod shares this machine's network, as some machines let nobody publish ports; podman 4.3 cannot have such a pod name ports, so they are taken out
    of the copy that it is given. Nothing else is.
    """
    with servers.images() as port:
        registry = distribution.connect(tmp_path, distribution.Options(f"127.0.0.1:{port}/team/churn"))
        image = put(registry)
        at = servers.free_port()
        address = f"http://127.0.0.1:{at}"
        variables = {"PAYOFF_IMAGE": image, "PAYOFF_RELEASE": "1", "PAYOFF_HOST": "127.0.0.1", "PAYOFF_PORT": str(at)}
        wanted = Wanted(name=f"played-{os.getpid()}", image=image, release=1, project="churn", port=at, variables=variables)
        shown = connect(tmp_path, Options(kubeconfig="none", namespace="default", replicas=1, open=True)).shown(wanted, registry)
        objects = list(yaml.safe_load_all(shown))
        for each in objects:
            if each["kind"] == "Deployment":
                (container,) = each["spec"]["template"]["spec"]["containers"]
                del container["ports"]
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    container[probe]["httpGet"]["port"] = at
        file = tmp_path / "shown.yaml"
        file.write_text(yaml.safe_dump_all(objects))
        conf = tmp_path / "containers.conf"
        conf.write_text('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n')
        try:
            podman("kube", "play", "--network=host", "--tls-verify=false", str(file), CONTAINERS_CONF=str(conf))
            said = json.loads(podman("inspect", f"{wanted.name}-pod-0-model"))[0]
            yield image, address, said
        finally:
            subprocess.run(["podman", "--runtime", "runc", "kube", "down", str(file)], capture_output=True, check=False)
            subprocess.run(["podman", "rmi", "--force", f"127.0.0.1:{port}/team/churn@{image}"], capture_output=True, check=False)


@pytest.mark.skipif(any(shutil.which(each) is None for each in NEEDED), reason=f"{', '.join(NEEDED)}: one is not installed")
def test_the_manifests_are_played(played: tuple[str, str, dict[str, Any]]) -> None:
    image, address, said = played
    until = time.monotonic() + 30
    while True:
        try:
            answer = asked(address, "/v2/health/ready")
            break
        except OSError:
            assert time.monotonic() < until, podman("logs", said["Id"])
            time.sleep(0.1)
    assert answer == ["one", image, "1", ""]
    assert said["ImageDigest"] == image
    assert said["Config"]["User"].partition(":")[0] == "65532"
    assert said["HostConfig"]["ReadonlyRootfs"] is True
    assert not said["EffectiveCaps"]
    assert "no-new-privileges" in said["HostConfig"]["SecurityOpt"]
    assert [each["Destination"] for each in said["Mounts"]] == ["/tmp"]
