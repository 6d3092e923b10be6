"""A bundle's config.json, an OCI runtime spec, and a container's mounts written into it. Pure.

    the spec's own mounts (/proc, /dev, …) without those that are replaced ─→ the container's, in their order

Law: what is not about these mounts stays as it is. Which destinations are ours is noted in an annotation, so that those
of a container that changed go the next time. Source: moby's withMounts in oci_linux.go.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from volfs.container.paths import clean
from volfs.errors import Invalid

ANNOTATION = "org.volfs.mounts"  # the destinations that were written here, as a JSON list
_FITTING = {"shared": ("shared", "rshared"), "rslave": ("shared", "rshared", "slave", "rslave")}

Spec = dict[str, Any]


def parse(text: bytes) -> Spec:
    """The spec in `text`; raises Invalid where it is none."""
    try:
        spec = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"is not JSON: {error}") from None
    if not isinstance(spec, dict) or not isinstance(spec.get("ociVersion"), str):
        raise Invalid("is no OCI runtime spec: it has no ociVersion")
    for key, kind in (("mounts", list), ("linux", dict), ("annotations", dict)):
        if not isinstance(spec.get(key, kind()), kind | None):
            raise Invalid(f'is no OCI runtime spec: its "{key}" is of another type')
    if not all(isinstance(one, dict) and isinstance(one.get("destination"), str) for one in spec.get("mounts") or ()):
        raise Invalid("is no OCI runtime spec: a mount has no destination")
    return spec


def root_of(spec: Spec) -> tuple[int, int]:
    """The user and group of the host that the container's root is, by the spec's user namespace."""
    linux = spec.get("linux") or {}
    return _host_id(linux.get("uidMappings")), _host_id(linux.get("gidMappings"))


def with_mounts(spec: Spec, mounts: Sequence[Mapping[str, Any]], propagation: str) -> Spec:
    """`spec` with these mounts, and with a root that propagates as far as they need ("" for no matter)."""
    ours = [clean(str(one["destination"])) for one in mounts]
    replaced = {*ours, *_written(spec)}
    kept = [
        one
        for one in spec.get("mounts") or ()
        if (at := clean(one["destination"])) not in replaced and not ("/dev" in ours and at.startswith("/dev/"))
    ]
    annotations = {**(spec.get("annotations") or {}), ANNOTATION: json.dumps(ours)}
    changed = {**spec, "mounts": [*kept, *mounts], "annotations": annotations}
    linux = spec.get("linux") or {}
    if propagation and linux.get("rootfsPropagation") not in _FITTING[propagation]:
        changed["linux"] = {**linux, "rootfsPropagation": propagation}
    return changed


def text_of(spec: Spec) -> bytes:
    """As `runc spec` writes it."""
    return json.dumps(spec, indent="\t").encode() + b"\n"


def _written(spec: Spec) -> list[str]:
    """What was written here before."""
    try:
        found = json.loads((spec.get("annotations") or {}).get(ANNOTATION, "[]"))
    except (ValueError, TypeError, RecursionError):
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _host_id(mappings: object) -> int:
    for one in mappings if isinstance(mappings, list) else ():
        if isinstance(one, dict) and one.get("containerID") == 0 and isinstance(one.get("hostID"), int):
            return int(one["hostID"])
    return 0
