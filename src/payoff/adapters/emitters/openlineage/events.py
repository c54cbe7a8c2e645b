"""A run as OpenLineage run events (spec 2-0-2), as JSON has them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from payoff.records.emission import Dataset, Emission, Job, Parent

PRODUCER = "urn:payoff"
_SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = "https://openlineage.io/spec/facets"
_OWN = uuid.UUID("6f2c9e0e-7a3b-5c1d-9a55-6b0f5d1c8e21")
VERSIONS = {
    "ParentRunFacet": "1-2-0",
    "SchemaDatasetFacet": "1-2-0",
    "ColumnLineageDatasetFacet": "1-2-0",
    "DatasourceDatasetFacet": "1-0-1",
    "DocumentationDatasetFacet": "1-1-0",
    "DocumentationJobFacet": "1-1-0",
    "DatasetVersionDatasetFacet": "1-0-1",
    "DataQualityAssertionsDatasetFacet": "1-1-0",
    "OutputStatisticsOutputDatasetFacet": "1-0-2",
    "SourceCodeLocationJobFacet": "1-1-0",
    "SQLJobFacet": "1-1-0",
    "ErrorMessageRunFacet": "1-0-1",
    "ProcessingEngineRunFacet": "1-1-1",
}


def events(told: Emission, namespace: str) -> list[dict[str, Any]]:
    """START and COMPLETE or FAIL of the run and of each of its jobs, in that order."""
    made = _pair(told, namespace, _run(told), _job_of_run(told, namespace), told.inputs, told.outputs, error=told.error)
    inner = []
    for job in told.jobs:
        run = {"runId": _id(told.project, told.run, job.name), "facets": {"parent": _parent(told, namespace)}}
        outputs = () if job.error else (job.output,)
        inner += _pair(told, namespace, run, _job_of_step(told, namespace, job), job.inputs, outputs, error=job.error)
    return [made[0], *inner, made[1]]


def _pair(
    told: Emission,
    namespace: str,
    run: dict[str, Any],
    job: dict[str, Any],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    *,
    error: str,
) -> list[dict[str, Any]]:
    known = told.datasets
    reads = [_dataset(known[name], told, namespace, made=False) for name in inputs if name in known]
    makes = [_dataset(known[name], told, namespace, made=True) for name in outputs if name in known]
    common = {"producer": PRODUCER, "schemaURL": _SPEC, "job": job}
    ended = run
    if error:
        words = _facet("ErrorMessageRunFacet", message=error, programmingLanguage="python")
        ended = {**run, "facets": {**run["facets"], "errorMessage": words}}
    start = {"eventType": "START", "eventTime": told.started, "run": run, "inputs": reads, "outputs": [], **common}
    kind = "FAIL" if error else "COMPLETE"
    end = {"eventType": kind, "eventTime": told.finished, "run": ended, "inputs": reads, "outputs": makes, **common}
    return [start, end]


def _id(*parts: str) -> str:
    return str(uuid.uuid5(_OWN, "/".join(parts)))


def _facet(kind: str, /, **values: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": f"{_FACETS}/{VERSIONS[kind]}/{kind}.json#/$defs/{kind}", **values}


def _run(told: Emission) -> dict[str, Any]:
    engine = _facet("ProcessingEngineRunFacet", name="payoff", version=told.version)
    return {"runId": _id(told.project, told.run), "facets": {"processing_engine": engine}}


def _parent(told: Emission, namespace: str) -> dict[str, Any]:
    job = {"namespace": namespace, "name": told.name}
    return _facet("ParentRunFacet", run={"runId": _id(told.project, told.run)}, job=job)


def _job_of_run(told: Emission, namespace: str) -> dict[str, Any]:
    facets = _code(told, "")
    if told.documentation:
        facets["documentation"] = _facet("DocumentationJobFacet", description=told.documentation)
    return {"namespace": namespace, "name": told.name, "facets": facets}


def _job_of_step(told: Emission, namespace: str, job: Job) -> dict[str, Any]:
    facets = _code(told, job.file)
    if job.sql:
        facets["sql"] = _facet("SQLJobFacet", query=job.sql)
    return {"namespace": namespace, "name": f"{told.name}.{job.name}", "facets": facets}


def _code(told: Emission, file: str) -> dict[str, Any]:
    git = told.git
    if git is None or not git.commit:
        return {}
    place = _facet(
        "SourceCodeLocationJobFacet", type="git", url=f"git:{git.commit}", version=git.commit, path=file or "."
    )
    if git.branch:
        place["branch"] = git.branch
    return {"sourceCodeLocation": place}


def _place(dataset: Dataset, told: Emission, namespace: str) -> dict[str, str]:
    if dataset.address:
        return {"namespace": dataset.address, "name": dataset.there or dataset.name}
    return {"namespace": namespace, "name": f"{told.name}.{dataset.name}"}


def _dataset(dataset: Dataset, told: Emission, namespace: str, *, made: bool) -> dict[str, Any]:
    place = _place(dataset, told, namespace)
    facets: dict[str, Any] = {}
    if dataset.fields:
        fields = [{"name": name, "type": kind} for name, kind in dataset.fields]
        facets["schema"] = _facet("SchemaDatasetFacet", fields=fields)
    if dataset.address:
        facets["dataSource"] = _facet("DatasourceDatasetFacet", name=dataset.address, uri=dataset.address)
    if dataset.documentation:
        facets["documentation"] = _facet("DocumentationDatasetFacet", description=dataset.documentation)
    if dataset.version:
        facets["version"] = _facet("DatasetVersionDatasetFacet", datasetVersion=dataset.version)
    if dataset.labels:
        facets["payoff_labels"] = {"_producer": PRODUCER, "_schemaURL": PRODUCER, "classification": dataset.labels}
    if dataset.checks and not made:
        facets_in = {"dataQualityAssertions": _facet("DataQualityAssertionsDatasetFacet", assertions=_checks(dataset))}
        return {**place, "facets": facets, "inputFacets": facets_in}
    if made and dataset.parents:
        facets["columnLineage"] = _facet("ColumnLineageDatasetFacet", fields=_columns(dataset, told, namespace))
    answer: dict[str, Any] = {**place, "facets": facets}
    if made and dataset.rows is not None:
        sizes = {"rowCount": dataset.rows, **({"size": dataset.bytes} if dataset.bytes is not None else {})}
        answer["outputFacets"] = {"outputStatistics": _facet("OutputStatisticsOutputDatasetFacet", **sizes)}
    return answer


def _checks(dataset: Dataset) -> list[dict[str, Any]]:
    return [
        {
            "assertion": check.check,
            "success": check.passed,
            "severity": "error" if check.severity == "error" else "warn",
            **({"column": check.column} if check.column else {}),
        }
        for check in dataset.checks
    ]


def _columns(dataset: Dataset, told: Emission, namespace: str) -> dict[str, Any]:
    found = {}
    for column, parents in dataset.parents.items():
        found[column] = {
            "inputFields": [
                {
                    **_place(told.datasets[each.table], told, namespace),
                    "field": each.column,
                    "transformations": _ways(each),
                }
                for each in parents
                if each.table in told.datasets
            ]
        }
    return found


def _ways(parent: Parent) -> list[dict[str, Any]]:
    """The specification's words are ours in capitals."""
    if not parent.control:
        return [{"type": "DIRECT"}]
    ways = parent.ways or ("conditional",)
    return [{"type": "INDIRECT", "subtype": way.upper().replace(" ", "_")} for way in ways]
