"""The adapters of releases: registries, keys, and what runs a deployment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.base.errors import Where
from payoff.wiring import entry_points, options
from payoff.wiring.assemble import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payoff.ports.releasing.deployer import Deployer
    from payoff.ports.releasing.front import Front
    from payoff.ports.releasing.registry import Registry
    from payoff.ports.releasing.signer import Signer
    from payoff.records.project import Environment, Project
    from payoff.records.release.settings import DeploymentSpec, ReleaseSpec

_CONFIG = "payoff.toml"


def registry(project: Project, release: ReleaseSpec) -> Registry:
    """Where images of releases go."""
    made: Registry = _made(
        "registries", DEFAULTS["registry"], release.registry, project, title="[release]", line=release.line
    )
    return made


def base(project: Project, release: ReleaseSpec) -> Registry:
    """Where the base image is."""
    made: Registry = _made(
        "registries", DEFAULTS["registry"], release.base, project, title="[release.base]", line=release.line
    )
    return made


def signer(project: Project, release: ReleaseSpec) -> Signer:
    """The keys of the user, and those that the repository's list has."""
    section = {**release.signing, "signers": release.signers}
    made: Signer = _made("signers", DEFAULTS["signer"], section, project, title="[signing]", line=release.line)
    return made


def deployer(project: Project, deployment: DeploymentSpec) -> Deployer:
    """What runs a deployment."""
    section = {"kind": deployment.kind, **deployment.options}
    title = f"[deployments.{deployment.name}]"
    made: Deployer = _made("deployers", "", section, project, title=title, line=deployment.line)
    return made


def front(project: Project, deployment: DeploymentSpec) -> Front | None:
    """What stands before a deployment; None when clients ask the release itself."""
    if deployment.front is None:
        return None
    title = f"[deployments.{deployment.name}.front]"
    made: Front = _made("fronts", DEFAULTS["front"], deployment.front, project, title=title, line=deployment.line)
    return made


def left(project: Project, deployment: DeploymentSpec) -> Front:
    """The front of the kind that needs no settings, as it may still stand before a deployment whose section names none any more."""
    made: Front = _made("fronts", DEFAULTS["front"], {}, project, title="[deployments]", line=deployment.line)
    return made


def compile_modules(listed: Sequence[tuple[str, str, str]], python: Path) -> None:
    """Compile modules (source, path that they will have, file to write) with the interpreter of an environment on this machine."""
    module = entry_points.load("payoff.executors", DEFAULTS["executor"])
    entry_points.attribute(module, "compile_modules")(listed, python)


def model_service(project: Project, deployment: DeploymentSpec | None) -> Deployer:
    """What writes the manifests of a model server for clusters that have a controller for those; a deployment's section says how, where it is of that kind."""
    kind = DEFAULTS["service"]
    given = deployment.options if deployment is not None and deployment.kind == kind else {}
    title = f"[deployments.{deployment.name}]" if deployment is not None else "payoff export"
    line = deployment.line if deployment is not None else 0
    made: Deployer = _made("deployers", kind, {**given, "kserve": True}, project, title=title, line=line)
    return made


def requirements(environment: Environment, root: Path) -> str:
    """What a lock says, as pip takes it, with the hashes of all files that it may install."""
    module = entry_points.load("payoff.executors", DEFAULTS["executor"])
    return str(entry_points.attribute(module, "requirements")(environment, root))


def _made(group: str, default: str, section: Mapping[str, Any], project: Project, *, title: str, line: int) -> Any:
    rest = dict(section)
    where = Where(_CONFIG, line)
    module = entry_points.load(f"payoff.{group}", rest.pop("kind", default), where)
    made = options.build(entry_points.attribute(module, "Options"), rest, title=title, where=where)
    return entry_points.attribute(module, "connect")(Path(project.root), made)
