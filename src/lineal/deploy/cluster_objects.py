"""The objects of manifests as the cluster has them: which are gone, not ready, or left behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from lineal.deploy.release import Release
from lineal.deploy.watch.workload import KINDS, Workload, made_for
from lineal.kube.client import KubeClient, KubeRefused, path
from lineal.kube.json_fields import at, entries, mapping, text
from lineal.kube.login import KubeUnavailable
from lineal.kube.objects import KubeObjects, name_of

KEEP = "helm.sh/resource-policy"
"""The annotation of an object that helm keeps when a release is uninstalled: `keep`."""


@dataclass(slots=True)
class ClusterObjects:
    """What cannot be asked is taken for there: nothing here raises."""

    api: KubeClient
    namespace: str
    """That of the release, for objects that name none."""
    _objects: KubeObjects = field(init=False)

    def __post_init__(self) -> None:
        self._objects = KubeObjects(self.api, self.namespace)

    def lost(self, objects: Iterable[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
        """The objects that are not there, and sentences about these and about workloads that are not ready."""
        gone, told = [], []
        for one in objects:
            where = None if _comes_and_goes(one) else self._objects.path(one)
            try:
                found = self.api.get(where) if where else one
            except (KubeRefused, KubeUnavailable):
                continue
            if found is None:
                gone.append(one)
                told.append(f"{name_of(one)} is not there")
            elif where and (unready := _unready(one, found)):
                told.append(unready)
        return gone, told

    def ending(self, objects: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that are being deleted, and are there until what their finalizers wait for is done."""
        return [one for one in objects if at(self._found(one), "metadata", "deletionTimestamp")]

    def left_of(self, objects: Iterable[dict[str, Any]], release: Release) -> list[str]:
        """The names of those that are still there and that helm made for the release."""
        return [name_of(one) for one in objects if made_for(self._found(one), release)]

    def unserved(self, objects: Iterable[dict[str, Any]]) -> tuple[str, str] | None:
        """The kind and API version of the first one of a kind that the cluster does not know."""
        found = (one for one in objects if self._objects.served(one) is False)
        return next(((text(one, "kind"), text(one, "apiVersion")) for one in found), None)

    def unmet(self, objects: Iterable[dict[str, Any]]) -> list[str]:
        """Sentences about what helm waits for beside workloads, and in vain so far."""
        return [said for one in objects if (said := _unmet(one, self._found(one)))]

    def _found(self, one: dict[str, Any]) -> dict[str, Any] | None:
        where = self._objects.path(one)
        try:
            return self.api.get(where) if where else None
        except (KubeRefused, KubeUnavailable):
            return None

    def claims(self, objects: Iterable[dict[str, Any]]) -> list[str]:
        """The volume claims that the StatefulSets among these objects have made: helm knows nothing of them."""
        wanted = [
            f"{text(claim, 'metadata', 'name')}-{text(one, 'metadata', 'name')}-"
            for one in objects
            if one.get("kind") == "StatefulSet"
            for claim in entries(one, "spec", "volumeClaimTemplates")
        ]
        found = [text(one, "metadata", "name") for one in self._list("persistentvolumeclaims")] if wanted else []
        return sorted(
            name for name in found if any(name.startswith(start) and name[len(start) :].isdigit() for start in wanted)
        )

    def kept(self) -> list[str]:
        """The objects of the namespace that a release has left behind because its chart says so."""
        kinds = {"configmaps": "ConfigMap", "persistentvolumeclaims": "PersistentVolumeClaim", "secrets": "Secret"}
        return [
            f"{kind} {text(one, 'metadata', 'name')}"
            for word, kind in kinds.items()
            for one in self._list(word)
            if is_kept(one)
        ]

    def _list(self, word: str) -> list[dict[str, Any]]:
        try:
            return self.api.items(path("api/v1", self.namespace, word))
        except (KubeRefused, KubeUnavailable):
            return []


def is_kept(one: dict[str, Any]) -> bool:
    said = at(one, "metadata", "annotations", KEEP)
    return isinstance(said, str) and said.strip().lower() == "keep"


def _unmet(one: dict[str, Any], found: dict[str, Any] | None) -> str:
    """Helm's own rules, without those for workloads."""
    kind, status = one.get("kind"), mapping(found, "status")
    if found is None:
        return ""
    if kind == "PersistentVolumeClaim" and status.get("phase") != "Bound":
        return f"{name_of(one)} has no volume yet ({text(status, 'phase')})"
    spec = mapping(found, "spec")
    address = entries(status, "loadBalancer", "ingress") or spec.get("externalIPs")
    if kind == "Service" and spec.get("type") == "LoadBalancer" and not address:
        return f"{name_of(one)} has no address of a load balancer yet"
    ready = [held.get("status") for held in entries(status, "conditions") if held.get("type") == "Ready"]
    return f"{name_of(one)} is not ready ({text(status, 'phase')})" if kind == "Pod" and ready != ["True"] else ""


def _comes_and_goes(one: dict[str, Any]) -> bool:
    """Whether an object may be gone without anybody's doing: a Job that is deleted some time after its end."""
    return one.get("kind") == "Job" and at(one, "spec", "ttlSecondsAfterFinished") is not None


def _unready(one: dict[str, Any], found: dict[str, Any]) -> str:
    """A sentence about a workload that is not ready; empty for anything else. A Job decides itself about its end."""
    word = next((word for word, kind in KINDS.items() if kind == one.get("kind") and kind != "Job"), None)
    if word is None or not str(one.get("apiVersion")).startswith("apps/"):
        return ""
    workload = Workload(word, found)
    return "" if workload.done else f"{workload}: {workload.ready} of {workload.wanted} ready"


def changed_definitions(
    api: KubeClient, definitions: Iterable[tuple[dict[str, Any], str]]
) -> Iterator[tuple[str, str]]:
    """The names and files of definitions (CRDs) that the cluster has otherwise: helm installs them once, and never
    changes them."""
    for one, file in definitions:
        name = text(one, "metadata", "name")
        try:
            found = api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{quote(name, safe='')}")
        except (KubeRefused, KubeUnavailable):
            continue
        if found is not None and _differs(mapping(one, "spec"), mapping(found, "spec")):
            yield name, file


def _differs(wanted: Any, found: Any) -> bool:
    """Whether `found` lacks something of `wanted`. The API server adds defaults, and leaves out what is empty."""
    if isinstance(wanted, dict):
        theirs = found if isinstance(found, dict) else {}
        return any(_differs(value, theirs.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list) and wanted:
        if not isinstance(found, list) or len(found) != len(wanted):
            return True
        return any(_differs(one, other) for one, other in zip(wanted, found, strict=True))
    return bool(wanted or found) and wanted != found
