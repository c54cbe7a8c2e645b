"""`payoff export kfp RUN`: a pipeline of Kubeflow Pipelines v2 that runs the project, at the run's commit and with its parameters, in a container.

The intermediate representation is a `PipelineSpec` (pipeline_spec.proto of kubeflow/pipelines, schema 2.1.0), written as JSON, which is YAML. It has one
task: Payoff knows which steps are stale, runs them where they belong and judges the model; cut into tasks of Kubeflow's, nobody would.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from payoff.base.errors import UserError
from payoff.flows.exporting.subject import subject
from payoff.project.releasing import origin
from payoff.records.answers.exporting import Exported

if TYPE_CHECKING:
    from payoff.records.answers.exporting import ExportRequest
    from payoff.records.run import RunRecord

_IMAGE = re.compile(r"[\w.:/-]+@sha256:[0-9a-f]{64}")
TASK = "payoff-run"
# The run's own exit code is the task's: a model that its gates refuse fails the pipeline. What is known of it is written all the same.
_SCRIPT = """\
document="$5"; run="$6"; gain="$7"
mkdir -p "$(dirname "$document")" "$(dirname "$run")" "$(dirname "$gain")"
git clone --quiet "$1" "$4"
cd "$4"
git checkout --quiet "$2"
cd "$3"
shift 7
code=0
payoff run --json "$@" > "$document" || code=$?
python3 -c 'import json, sys
said = json.load(open(sys.argv[1]))
gain = ((said.get("per_year") or {}).get("gain") or {}).get("low")
open(sys.argv[2], "w").write(str(said.get("run", "")))
open(sys.argv[3], "w").write(str(gain if gain is not None else 0.0))' "$document" "$run" "$gain"
exit $code
"""


def text(request: ExportRequest) -> Exported:
    """The pipeline of a run that passed. `--image` has Payoff, git and uv, and is named by its digest."""
    if not _IMAGE.fullmatch(request.image):
        raise UserError(
            f"{request.image!r} names no image by its digest"
            if request.image
            else "no image is named that runs the pipeline",
            code="PO-A133",
            expected="--image host/name@sha256:... of one that has payoff and git",
            remedy="skopeo inspect docker://host/name:tag shows the digest of a tag",
        )
    found = subject(request.project, request.what)
    repository, folder = origin.of(found.opened.root)
    repository = origin.bare(request.repository) or repository
    if not repository:
        raise UserError(
            "the project has no remote that a cluster could clone",
            code="PO-A134",
            expected="--repository URL, or a remote named origin",
            remedy="git remote add origin URL, and push",
        )
    made = pipeline(found.record, request.image, repository, folder or ".")
    return Exported(
        format=request.format, run=found.record.run, release=found.release, text=json.dumps(made, indent=2) + "\n"
    )


def pipeline(record: RunRecord, image: str, repository: str, folder: str) -> dict[str, Any]:
    """The specification. Pure."""
    commit = record.git.commit if record.git else ""
    given = [
        word
        for step, values in sorted(record.parameters.items())
        for name, value in sorted(values.items())
        for word in ("-p", f"{step}.{name}={value if isinstance(value, str) else json.dumps(value)}")
    ]
    inputs = {"repository": repository, "commit": commit}
    text_type = {"parameterType": "STRING"}
    place = "/tmp/project"  # noqa: S108 - the container's
    arguments = [
        *(f"{{{{$.inputs.parameters['{name}']}}}}" for name in inputs),
        folder,
        place,
        "{{$.outputs.artifacts['document'].path}}",
        "{{$.outputs.parameters['run'].output_file}}",
        "{{$.outputs.parameters['gain_low'].output_file}}",
        *given,
    ]
    component = {
        "executorLabel": f"exec-{TASK}",
        "inputDefinitions": {"parameters": dict.fromkeys(inputs, text_type)},
        "outputDefinitions": {
            "artifacts": {"document": {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}},
            "parameters": {"run": text_type, "gain_low": {"parameterType": "NUMBER_DOUBLE"}},
        },
    }
    task = {
        "cachingOptions": {},  # Payoff knows better what is stale
        "componentRef": {"name": f"comp-{TASK}"},
        "inputs": {"parameters": {name: {"componentInputParameter": name} for name in inputs}},
        "taskInfo": {"name": TASK},
    }
    container = {"image": image, "command": ["sh", "-ec", _SCRIPT, "payoff"], "args": arguments}
    defaults = {name: {"defaultValue": value, "isOptional": True, **text_type} for name, value in inputs.items()}
    return {
        "components": {f"comp-{TASK}": component},
        "deploymentSpec": {"executors": {f"exec-{TASK}": {"container": container}}},
        "pipelineInfo": {
            "name": re.sub(r"[^a-z0-9-]+", "-", record.project.lower()).strip("-") or "payoff",
            "description": f"The project of run {record.run}, at its commit and with its parameters",
        },
        "root": {"dag": {"tasks": {TASK: task}}, "inputDefinitions": {"parameters": defaults}},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.14.0",  # the oldest whose reader was tried with it
    }
