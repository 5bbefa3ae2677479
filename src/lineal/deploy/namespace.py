"""The namespace of a release that is deployed again while it still ends: a review app, put back at once."""

from __future__ import annotations

import time

from lineal.deploy.release import Release
from lineal.kube.client import KubeClient, KubeRefused
from lineal.kube.json_fields import at
from lineal.progress import Notes

_PAUSE = 0.5
"""Seconds between two looks."""


def wait_until_gone(api: KubeClient, release: Release, notes: Notes) -> None:
    """Wait until the namespace is not being deleted any more, as long as the release may take to become ready.

    Raises `KubeUnavailable`. What comes after tells that it is still there."""
    end = time.monotonic() + release.timeout
    told = False
    while _ends(api, release.namespace) and time.monotonic() < end and not notes.stopped.is_set():
        if not told:
            notes.note(f"Waiting until the namespace {release.namespace}, which is being deleted, is gone.")
            told = True
        notes.stopped.wait(_PAUSE)


def _ends(api: KubeClient, namespace: str) -> bool:
    try:
        return bool(at(api.get(f"/api/v1/namespaces/{namespace}"), "status", "phase") == "Terminating")
    except KubeRefused:
        return False
