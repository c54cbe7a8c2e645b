"""`payoff deploy` in a cluster with a gateway: a release is tried beside, judged by what its pods say, gets all of it, and goes back by a rollback.

The cluster is that of the adapters' tests; the registry and everything before it is real.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from payoff.serving.protocols.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parents[1]
for _name, _file in {"c_cluster": "adapters/cluster.py", "c_servers": "contracts/servers.py"}.items():
    _spec = importlib.util.spec_from_file_location(_name, TESTS / _file)
    assert _spec and _spec.loader
    sys.modules[_name] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_name])
clusters, servers = sys.modules["c_cluster"], sys.modules["c_servers"]
NEEDED = ("docker-registry", "skopeo")

DEPLOYMENT = """\
[deployments.dev]
kind = "kubernetes"
kubeconfig = ".payoff/kubeconfig"
replicas = 1
wait = 20.0
[deployments.dev.front]
kind = "kubernetes"
kubeconfig = ".payoff/kubeconfig"
gateway = "public"
hostname = "churn.example.org"
token = "${SERVE_TOKEN}"
[deployments.dev.canary]
steps = [0.5]
decisions = 100
requests = 50
"""


@pytest.fixture
def cluster(released: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster for the project, whose images are in a registry."""
    made = clusters.Cluster()
    made.server_token = "0123456789abcdef"
    monkeypatch.setenv("SERVE_TOKEN", made.server_token)
    config = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}],
        "clusters": [{"name": "c", "cluster": {"server": made.url}}],
        "users": [{"name": "u", "user": {"token": "right"}}],
    }
    (released.root / ".payoff/kubeconfig").write_text(yaml.safe_dump(config))
    try:
        with servers.images() as port:
            for release in (1, 2):
                words = ["skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", f"oci:.payoff/images:release-{release}"]
                subprocess.run([*words, f"docker://127.0.0.1:{port}/churn:release-{release}"], cwd=released.root, check=True)
            text = (released.root / "payoff.toml").read_text()
            before, _, after = text.partition("[release]\n")
            after = after.partition("\n")[2]  # where images were
            text = f'{before}[release]\nkind = "distribution"\nrepository = "127.0.0.1:{port}/churn"\n{after}'
            start, _, rest = text.partition("[deployments.dev]")
            (released.root / "payoff.toml").write_text(f"{start}{DEPLOYMENT}[deployments.test]{rest.partition('[deployments.test]')[2]}")
            released.commit("dev is a cluster")
            yield made
    finally:
        made.close()


def figures(decisions: int, worth: float) -> str:
    said = Metrics(lambda _line: None)
    for n in range(decisions):
        said.answered("decide", 200, 0.01)
        said.actions["call"] += 1
        said.decided([worth + n % 5])
    return said.text({}).decode()


@pytest.mark.skipif(any(shutil.which(each) is None for each in NEEDED), reason=f"{', '.join(NEEDED)}: one is not installed")
def test_tried_judged_and_rolled_back(released: Any, cluster: Any) -> None:
    released.answer("promote", "1", "dev")
    runs = released.answer("deploy", "dev")
    (name,) = (each for kind, each in cluster.objects if kind == "httproutes")
    assert (runs["did"], runs["address"], runs["verified"]) == ("started", "https://churn.example.org", True)
    assert released.answer("deploy", "dev")["did"] == "nothing"

    def shares() -> list[int]:
        return [each["weight"] for each in cluster.objects["httproutes", name]["spec"]["rules"][0]["backendRefs"]]

    cluster.servers[f"{name}-0"] = figures(1000, 3.0)
    released.answer("promote", "2", "dev", "--canary", "0.1")
    runs = released.answer("deploy", "dev", "--judge")
    assert (runs["canary"]["number"], runs["share"], shares()) == (2, 0.1, [900, 100])
    assert runs["seen"]["stable"]["requests"] == 0
    (beside,) = (each for kind, each in cluster.objects if kind == "deployments" and each != name)
    cluster.servers |= {f"{name}-0": figures(1500, 3.0), f"{beside}-0": figures(60, 9.0)}
    assert released.answer("deploy", "dev", "--judge")["judgement"]["verdict"] == "wait"
    cluster.servers[f"{beside}-0"] = figures(400, 9.0)
    half = released.answer("deploy", "dev", "--judge")
    assert (half["judgement"]["verdict"], half["judgement"]["gain"], half["share"], shares()) == ("advance", 6.0, 0.5, [500, 500])
    assert half["seen"]["canary"]["payoff"]["count"] == 340, "from its first answer on"
    whole = released.answer("deploy", "dev", "--judge")
    assert (whole["release"]["number"], whole["canary"], shares()) == (2, None, [1000])
    assert ("deployments", beside) not in cluster.objects
    back = released.answer("rollback", "dev")
    assert (back["release"]["number"], back["did"]) == (1, "replaced")
    assert "0123456789abcdef" not in released.git("log", "-p", "--", "deploy")

    # The front's section goes while a release is tried: nothing is left to nobody's judgement.
    released.answer("promote", "2", "dev", "--canary", "0.1")
    released.answer("deploy", "dev")
    assert ("deployments", beside) in cluster.objects
    text = (released.root / "payoff.toml").read_text()
    start, _, rest = text.partition("[deployments.dev.front]")
    (released.root / "payoff.toml").write_text(f"{start}[deployments.dev.canary]{rest.partition('[deployments.dev.canary]')[2]}")
    released.commit("dev has no front")
    objects = dict(cluster.objects)
    assert released.refused("deploy", "dev", code=2) == "PO-A123"
    assert cluster.objects == objects
    released.answer("promote", "1", "dev")
    runs = released.answer("deploy", "dev")
    assert (runs["did"], runs["release"]["number"], runs["address"]) == ("nothing", 1, f"http://{name}.ml.svc")
    assert ("httproutes", name) not in cluster.objects
    assert not [each for _, each in cluster.objects if each == beside]
    assert ("deployments", name) in cluster.objects
