"""Strategic merge patch for pods, as `podTemplate` of the specification means it.

Mappings are merged, a null removes. The elements of some lists have a key by which they are found and merged;
`$patch: delete` in an element removes the one with its key. All other lists are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_KEYS = {
    "containers": "name",
    "ephemeralContainers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "resourceClaims": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
_DIRECTIVE = "$patch"


def merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `patch` applied; neither is changed."""
    merged = dict(base)
    for key, value in patch.items():
        if key == _DIRECTIVE:
            continue
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            present = merged.get(key)
            merged[key] = merge(present if isinstance(present, Mapping) else {}, value)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            merged[key] = _merge_list(merged.get(key), value, _KEYS.get(key))
        else:
            merged[key] = value
    return merged


def _merge_list(base: object, patch: Sequence[Any], key: str | None) -> list[Any]:
    present = list(base) if isinstance(base, Sequence) and not isinstance(base, str) else []
    if key is None or not all(isinstance(one, Mapping) and key in one for one in (*present, *patch)):
        return list(patch)
    found = {one[key]: one for one in present}
    for element in patch:
        if element.get(_DIRECTIVE) == "delete":
            found.pop(element[key], None)
        else:
            found[element[key]] = merge(found.get(element[key], {}), element)
    return list(found.values())
