"""What of an object is ours, by the cluster's own record of who set which field: the manifest that we applied last.

As client-go's `Extract`; the format is FieldsV1 (sigs.k8s.io/structured-merge-diff): `f:NAME` a field, `k:{...}` the element of a list with those
keys, `v:VALUE` an element of a set, `.` the thing itself.
"""

from __future__ import annotations

import json
from typing import Any


def applied(live: dict[str, Any], manager: str) -> dict[str, Any] | None:
    """The last manifest that a manager applied; None when it never did."""
    metadata = live["metadata"]
    for each in metadata.get("managedFields") or []:
        if each.get("manager") == manager and each.get("operation") == "Apply" and not each.get("subresource"):
            found = _part(live, each.get("fieldsV1") or {})
            found |= {"apiVersion": live["apiVersion"], "kind": live["kind"]}
            known = {"name": metadata["name"], "namespace": metadata["namespace"]}
            found["metadata"] = {**found.get("metadata", {}), **known}
            return dict(found)
    return None


def _part(value: Any, fields: dict[str, Any]) -> Any:
    inner = {key: below for key, below in fields.items() if key != "."}
    if not inner:
        # A leaf is owned whole; of a thing that is owned as such and none of whose parts are, its being there.
        return value if not fields or not isinstance(value, (dict, list)) else type(value)()
    if isinstance(value, dict):
        return {
            key[2:]: _part(value[key[2:]], below)
            for key, below in inner.items()
            if key[:2] == "f:" and key[2:] in value
        }
    if isinstance(value, list):
        found = []
        for key, below in inner.items():
            wanted: Any = json.loads(key[2:]) if key[:2] in {"k:", "v:"} else None
            for each in value:
                if key[:2] == "v:" and each == wanted:
                    found.append(each)
                elif key[:2] == "k:" and all(each.get(name) == said for name, said in wanted.items()):
                    found.append(_part(each, below))
        return found
    return value
