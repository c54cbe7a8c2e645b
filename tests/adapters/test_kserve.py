"""What KServe's own Python models (made from its OpenAPI) take of an InferenceService of ours; and that they would see a fault.

The package is downloaded (1 MB, without what it needs to serve). `make frameworks` runs this.
"""

from __future__ import annotations

import copy
import importlib
import re
import subprocess
import sys
import types
from typing import Any

import pytest
import uv

from payoff.adapters.deployers.kubernetes import Autoscale, Options, manifests
from payoff.ports.releasing.deployer import Wanted

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(300)]
IMAGE = "sha256:" + "5a" * 32
WANTED = Wanted(name="churn-prod", image=IMAGE, release=7, project="churn", variables={"PAYOFF_IMAGE": IMAGE})
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float)}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Modules of KServe's models by their class's name. The package's own beginning would import a whole server."""
    folder = tmp_path_factory.mktemp("kserve")
    words = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--target", str(folder), "kserve>=0.15", "six"]
    subprocess.run([*words, "--python", sys.executable], check=True)
    names = {}
    for name in ("kserve", "kserve.models"):
        names[name] = types.ModuleType(name)
        names[name].__path__ = [str(folder / name.replace(".", "/"))]
    sys.path.insert(0, str(folder))
    sys.modules.update(names)

    def found(name: str) -> Any:
        module = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        file = folder / "kserve/models" / f"{module}.py"
        return getattr(importlib.import_module(f"kserve.models.{module}"), name) if file.is_file() else None

    yield found
    sys.path.remove(str(folder))
    for name in [each for each in sys.modules if each == "kserve" or each.startswith("kserve.")]:
        del sys.modules[name]


def faults(value: Any, kind: str, models: Any, path: str = "") -> list[str]:
    """Fields that a model does not have, values that are not of its types. What is Kubernetes' own is left to its schemas."""
    if kind.startswith("list["):
        inner = kind[5:-1]
        return [said for n, each in enumerate(value) for said in faults(each, inner, models, f"{path}[{n}]")]
    if kind in PLAIN:
        right = isinstance(value, PLAIN[kind]) and not (kind == "int" and isinstance(value, bool))
        return [] if right else [f"{path}: {value!r} is no {kind}"]
    model = models(kind)
    if model is None:
        return []
    names = {theirs: ours for ours, theirs in model.attribute_map.items()}
    said = [f"{path}.{key} is unknown" for key in value if key not in names]
    return said + [
        each for key in value if key in names for each in faults(value[key], model.openapi_types[names[key]], models, f"{path}.{key}")
    ]


def service(options: Options) -> dict[str, Any]:
    (made,) = manifests.rendered(WANTED, "docker://registry.example.org/team/churn", options, "ml")
    return made


@pytest.mark.parametrize("options", [
    Options(kserve=True),
    Options(kserve=True, autoscale=Autoscale(min=2, max=8), token_secret="t", pull_secret="p", claim="c"),
])  # fmt: skip
def test_its_models_take_it(models: Any, options: Options) -> None:
    assert models("V1beta1PredictorSpec") is not None
    assert faults(service(options), "V1beta1InferenceService", models) == []


@pytest.mark.parametrize(("key", "value"), [("canaryTraficPercent", 10), ("minReplicas", "2"), ("scaleMetrics", "cpu"), ("timeout", True)])
def test_a_planted_fault_is_seen(models: Any, key: str, value: Any) -> None:
    spoilt = copy.deepcopy(service(Options(kserve=True)))
    spoilt["spec"]["predictor"][key] = value
    assert len(faults(spoilt, "V1beta1InferenceService", models)) == 1
