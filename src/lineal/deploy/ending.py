"""What is being deleted while a release is deployed that needs it again: its namespace, or objects of an earlier
installation. A review app is often put back at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from lineal.deploy.cluster_objects import ClusterObjects
from lineal.deploy.helm.manifests import ReleaseManifests
from lineal.deploy.release import Release
from lineal.errors import DeployFailed
from lineal.kube.client import KubeClient, KubeRefused
from lineal.kube.json_fields import at
from lineal.kube.objects import name_of
from lineal.progress import Notes

_PAUSE = 0.5
"""Seconds between two looks."""
_NAMED = 5


def namespace_gone(api: KubeClient, release: Release, notes: Notes) -> None:
    """Wait until the namespace is not being deleted any more, as long as the release may take to become ready.

    Raises `KubeUnavailable`. What comes after tells that it is still there."""
    name = release.namespace
    _wait(release, notes, lambda: f"the namespace {name}, which is being deleted," if _ends(api, name) else "")


def objects_gone(objects: ClusterObjects, wanted: ReleaseManifests, release: Release, notes: Notes) -> None:
    """Wait until none of the objects of a first installation is being deleted any more: helm would take one for its
    own, and then it goes. Raises `DeployFailed` when that takes longer than the release may take to become ready."""
    left = objects.ending(wanted.objects)

    def named() -> str:
        left[:] = objects.ending(left)
        return ", ".join(map(name_of, left[:_NAMED])) + ", which an uninstall deletes," if left else ""

    if left:
        _wait(release, notes, named)
    if left:
        what = f"{', '.join(map(name_of, left[:_NAMED]))}: still being deleted, and nothing can take the place."
        where = f"`kubectl -n {release.namespace} get {str(left[0].get('kind')).lower()} -o yaml`"
        raise DeployFailed(
            what, id="LN-6059", remedy=f"See {where}: somebody has to do what its finalizers wait for."
        )


def _wait(release: Release, notes: Notes, what: Callable[[], str]) -> None:
    end, told = time.monotonic() + release.timeout, False
    while (said := what()) and time.monotonic() < end and not notes.stopped.is_set():
        if not told:
            notes.note(f"Waiting until {said} is gone.")
            told = True
        notes.stopped.wait(_PAUSE)


def _ends(api: KubeClient, namespace: str) -> bool:
    try:
        return bool(at(api.get(f"/api/v1/namespaces/{namespace}"), "status", "phase") == "Terminating")
    except KubeRefused:
        return False
