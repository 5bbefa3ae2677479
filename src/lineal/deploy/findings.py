"""What people should know before a release is deployed, in sentences: of its images, definitions and volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lineal.deploy.cluster_objects import ClusterObjects, changed_definitions
from lineal.deploy.helm.definitions import definitions
from lineal.deploy.image_use import unused

if TYPE_CHECKING:
    from lineal.deploy.helm.manifests import ReleaseManifests
    from lineal.deploy.release import Release


def findings(
    release: Release, wanted: ReleaseManifests, before: ReleaseManifests | None, objects: ClusterObjects | None
) -> Iterator[str]:
    """`objects` is None where the cluster lets itself be asked by helm alone."""
    yield from unused(release.images, wanted.whole)
    if objects is None:
        return
    if before is None:
        claims = objects.claims(wanted.objects)
        if claims:
            yield (
                f"{_named(claims)} is there already, from an earlier installation: a password that the chart makes "
                "anew does not fit what is in it. Delete it, or give the chart the old password."
            )
    for name, file in changed_definitions(objects.api, definitions(release.chart)):
        yield (
            f"{file or 'crds/ of the chart'} differs from the definition {name} in the cluster, and Helm changes no "
            f"definition: run `kubectl apply --server-side -f {file or 'FILE'}`."
        )


def stays(claims: Sequence[str]) -> str:
    """A sentence about volumes that are still there when their release is not."""
    return (
        f"Its volumes stay: {_named(claims)}. A password that the chart has made is gone: delete them, or give the "
        "chart the old password."
    )


def _named(claims: Sequence[str]) -> str:
    return f"PersistentVolumeClaim {', '.join(claims)}"
