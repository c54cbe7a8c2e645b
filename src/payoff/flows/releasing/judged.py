"""What the gates of a project judge by, as one digest: a release that passed by other rules than hold now is no longer one that passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base import hashing

if TYPE_CHECKING:
    from payoff.records.project import Project

# Where something was written down is not what it says.
_PLACES = {"line", "file"}


def judged(project: Project) -> str:
    """The digest of the charter, the contracts, the zones and the labels that hold where no contract says one."""
    places = [project.zone, project.zones, project.serving, project.labels]
    return hashing.of_json(_plain([project.charter, project.contracts, places]))


def _plain(value: object) -> object:
    """As JSON has it, without what is as it is by default: a later version of Payoff that knows more says the same of the same files."""
    if isinstance(value, msgspec.Struct):
        said = {}
        for field in msgspec.structs.fields(value):
            each = getattr(value, field.name)
            default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            if field.name not in _PLACES and each != default:
                said[field.name] = _plain(each)
        return said
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
