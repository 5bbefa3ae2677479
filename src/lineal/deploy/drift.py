"""What in the cluster differs from what was deployed, object by object.

The API server itself is asked what each object would be if the manifest were applied now (a dry run): it knows
defaults, spellings of quantities and the keys of lists. What differs then was changed by somebody; fields that
controllers own, such as the replicas of an autoscaler, are left out."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lineal.deploy.helm.manifests import ReleaseManifests, equal
from lineal.kube.client import KubeClient, KubeRefused
from lineal.kube.json_fields import at, mapping
from lineal.kube.login import KubeUnavailable
from lineal.kube.managed_fields import Ownership, Path, shown
from lineal.kube.objects import KubeObjects, name_of
from lineal.text import printable

if TYPE_CHECKING:
    from lineal.deploy.release import Release
    from lineal.report.model import ChangeReport

_MANAGER = "lineal-drift"
_DEPLOYERS = ("helm", "Helm", "lineal", _MANAGER, "before-first-apply")
_CONTROLLERS = re.compile(
    r"^kube-(?!ctl)|controller|manager|operator|scaler|injector|webhook|kubelet|scheduler|^system:"
    r"|^(vpa|keda|karpenter|istio|pilot|linkerd|argo|flux)",
    re.IGNORECASE,
)
_APPLY = "application/apply-patch+yaml"
_INVALID = 422
_AT_ONCE = 8
_NAMED = 5
_NOISE = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink", "ownerReferences",
          "finalizers", "deletionTimestamp", "deletionGracePeriodSeconds")  # fmt: skip
_KEPT_BY_CLUSTER = (
    "kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/",
    "deprecated.daemonset.template.generation", "pv.kubernetes.io/", "volume.kubernetes.io/",
)  # fmt: skip
"""Annotations that the cluster's own controllers write, whatever their names."""


@dataclass(slots=True)
class _Compared:
    """An object as it should be, and as it is; equal when nothing differs."""

    expected: dict[str, Any]
    live: dict[str, Any] | None
    said: str = ""
    """A sentence about the difference, or about why there is no answer."""
    known: bool = True


@dataclass(slots=True)
class Drift:
    changes: list[ChangeReport] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """A sentence for each object that differs."""
    unknown: list[str] = field(default_factory=list)
    """Sentences about objects of which the cluster did not tell."""


def find(api: KubeClient, release: Release, deployed: ReleaseManifests, mask: Callable[[str], str]) -> Drift:
    """The difference to what was deployed. `mask` hides secrets in the diffs; values of Secrets are never shown.
    Raises `KubeUnavailable`."""
    from lineal.deploy.diff.diff import between

    compared = _compare(api, release, deployed)
    drift = Drift(unknown=[one.said for one in compared if not one.known])
    differing = [one for one in compared if one.known and one.said]
    drift.told = [one.said for one in differing]
    wanted, there = [one.expected for one in differing], [one.live for one in differing if one.live is not None]
    drift.changes = between(_manifests(wanted), _manifests(there), mask)
    return drift


def sentences(api: KubeClient, release: Release, deployed: ReleaseManifests) -> list[str]:
    """A sentence for each object that differs; none when the cluster does not tell."""
    try:
        return [one.said for one in _compare(api, release, deployed) if one.known and one.said]
    except KubeUnavailable:
        return []


def _manifests(objects: list[dict[str, Any]]) -> ReleaseManifests:
    return ReleaseManifests(0, "", "\n---\n".join(json.dumps(one) for one in objects), ())


def _compare(api: KubeClient, release: Release, deployed: ReleaseManifests) -> list[_Compared]:
    places = KubeObjects(api, release.namespace)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="drift") as pool:
        return list(pool.map(lambda one: _of_object(api, places, one), deployed.objects))


def _of_object(api: KubeClient, places: KubeObjects, one: dict[str, Any]) -> _Compared:
    manifest = _kept(json.loads(json.dumps(one, default=str)))  # a date is a text to the cluster
    where = places.path(manifest)
    if where is None:
        why = "it has no name, or the cluster does not know its kind"
        return _Compared(manifest, None, f"Whether {name_of(manifest)} differs is not known: {why}.", known=False)
    try:
        live = api.get(where)
        if live is None:
            if _comes_and_goes(manifest):
                return _Compared(manifest, manifest)
            return _Compared(manifest, None, f"{name_of(manifest)} is not there any more.")
        merged = _applied(api, where, manifest, live)
    except KubeRefused as refused:
        why = printable(str(refused), 300).rstrip(".")
        return _Compared(manifest, None, f"Whether {name_of(manifest)} differs is not known: {why}.", known=False)
    return _difference(manifest, live, merged)


def _kept(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest as the cluster keeps it: the texts of a Secret are data there, which then has its owner."""
    if manifest.get("kind") != "Secret" or "stringData" not in manifest:
        return manifest
    texts = {
        key: base64.b64encode(str(text).encode()).decode() for key, text in mapping(manifest, "stringData").items()
    }
    plain = {key: value for key, value in manifest.items() if key != "stringData"}
    return {**plain, "data": {**mapping(manifest, "data"), **texts}}


def _comes_and_goes(manifest: dict[str, Any]) -> bool:
    """Whether it may be gone without anybody's doing: a Job that is deleted some time after its end."""
    return manifest.get("kind") == "Job" and at(manifest, "spec", "ttlSecondsAfterFinished") is not None


def _applied(api: KubeClient, where: str, manifest: dict[str, Any], live: dict[str, Any]) -> dict[str, Any]:
    """The object as it would be with the manifest applied."""
    query = {"dryRun": "All", "fieldManager": _MANAGER, "force": "true"}
    try:
        return api.ask("PATCH", where, manifest, query=query, kind=_APPLY, allowed=()) or live
    except KubeRefused as refused:
        if refused.status != _INVALID:
            raise
        # A field that can never change differs: the server does not say what would be.
        return dict(_overlaid(live, manifest))


def _overlaid(live: Any, manifest: Any) -> Any:
    if isinstance(live, dict) and isinstance(manifest, dict):
        return {**live, **{key: _overlaid(live.get(key), value) for key, value in manifest.items()}}
    return manifest


def _difference(manifest: dict[str, Any], live: dict[str, Any], merged: dict[str, Any]) -> _Compared:
    owned, would = Ownership.of(live), Ownership.of(merged)
    expected, there = _plain(merged), _plain(live)
    fields: dict[str, set[str]] = {}
    for path in list(_differing(expected, there, ())):
        owners = owned.owners(path)
        if owners and all(_CONTROLLERS.search(name) for name in owners):
            _put(expected, path, _value(there, path))
        else:
            fields[shown(path)] = owners
    for path in sorted(_added(would, expected), key=_deepest, reverse=True):
        fields[shown(path)] = would.by_path[path]
        _put(expected, path, _ABSENT)
    if not fields or equal(expected, there):
        return _Compared(expected, there)
    return _Compared(expected, there, _sentence(name_of(manifest), fields))


def _sentence(name: str, fields: dict[str, set[str]]) -> str:
    who = sorted({owner for owners in fields.values() for owner in owners if owner not in _DEPLOYERS})
    by = f", by {', '.join(who)}" if who else ""
    more = f" and {len(fields) - _NAMED} more" if len(fields) > _NAMED else ""
    return f"{name} is not as it was deployed{by}: {', '.join(list(fields)[:_NAMED])}{more}."


def _plain(one: dict[str, Any]) -> dict[str, Any]:
    """A copy without what the cluster keeps for itself."""
    made = copy.deepcopy({key: value for key, value in one.items() if key != "status"})
    about = {key: value for key, value in mapping(made, "metadata").items() if key not in _NOISE}
    notes = {k: v for k, v in mapping(about, "annotations").items() if not k.startswith(_KEPT_BY_CLUSTER)}
    about.pop("annotations", None)
    made["metadata"] = {**about, **({"annotations": notes} if notes else {})}
    return made


_ABSENT = object()


def _differing(expected: Any, live: Any, path: Path) -> Iterator[Path]:
    """The paths at which the two differ, as deep as possible; lists of other lengths differ as a whole."""
    if isinstance(expected, dict) and isinstance(live, dict):
        for key in dict.fromkeys([*expected, *live]):
            if key not in expected or key not in live:
                yield (*path, key)
            else:
                yield from _differing(expected[key], live[key], (*path, key))
    elif isinstance(expected, list) and isinstance(live, list) and len(expected) == len(live):
        for index, (one, other) in enumerate(zip(expected, live, strict=True)):
            yield from _differing(one, other, (*path, index))
    elif not equal(expected, live):
        yield path


def _added(would: Ownership, expected: dict[str, Any]) -> Iterator[Path]:
    """The fields that people have added: in no manifest, and of no controller."""
    for path, owners in would.by_path.items():
        foreign = not owners & set(_DEPLOYERS) and not any(_CONTROLLERS.search(name) for name in owners)
        if foreign and path[0] != "status" and _value(expected, path) is not _ABSENT:
            yield path


def _deepest(path: Path) -> tuple[int, tuple[str, ...]]:
    """So that taking one thing out of a list moves none that is still to be taken out."""
    return len(path), tuple(f"{step:09}" if isinstance(step, int) else step for step in path)


def _value(thing: Any, path: Path) -> Any:
    for step in path:
        if isinstance(step, int):
            thing = thing[step] if isinstance(thing, list) and step < len(thing) else _ABSENT
        else:
            thing = thing.get(step, _ABSENT) if isinstance(thing, dict) else _ABSENT
    return thing


def _put(thing: Any, path: Path, value: Any) -> None:
    """Set the value at a path, or take it away with what is empty then."""
    *above, last = path
    holder = _value(thing, tuple(above))
    if holder is _ABSENT:
        return
    if value is not _ABSENT:
        holder[last] = copy.deepcopy(value)
        return
    del holder[last]
    if above and not holder:
        _put(thing, tuple(above), _ABSENT)
