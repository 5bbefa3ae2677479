"""What people should know before a release is deployed, in sentences: of its images, definitions and volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.deploy.cluster_objects import ClusterObjects, changed_definitions
from lineal.deploy.helm import manifests
from lineal.deploy.image_use import unused
from lineal.deploy.release import Chart

if TYPE_CHECKING:
    from lineal.deploy.helm.client import Helm
    from lineal.deploy.helm.manifests import ReleaseManifests
    from lineal.deploy.release import Release


def findings(
    helm: Helm, release: Release, wanted: ReleaseManifests, before: ReleaseManifests | None,
    objects: ClusterObjects | None,
) -> Iterator[str]:  # fmt: skip
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
    elif _may_define(release.chart):
        for name in changed_definitions(objects.api, manifests.definitions(helm, release)):
            file = _file_of(release.chart, name)
            yield (
                f"{file or 'crds/ of the chart'} differs from the definition {name} in the cluster, and Helm changes "
                f"no definition: run `kubectl apply --server-side -f {file or 'FILE'}`."
            )


def stays(claims: Sequence[str]) -> str:
    """A sentence about volumes that are still there when their release is not."""
    return (
        f"Its volumes stay: {_named(claims)}. A password that the chart has made is gone: delete them, or give the "
        "chart the old password."
    )


def _named(claims: Sequence[str]) -> str:
    return f"PersistentVolumeClaim {', '.join(claims)}"


def _may_define(chart: Chart) -> bool:
    """Whether it is worth asking helm for the chart's definitions."""
    if not chart.is_directory:
        return True
    root = Path(chart.location)
    return any(root.rglob("crds")) or any(root.rglob("charts/*.tgz"))


def _file_of(chart: Chart, name: str) -> str | None:
    """The file of the commit that has the definition `name`."""
    root = Path(chart.location)
    for file in sorted(root.rglob("crds/**/*.y*ml")) if chart.is_directory else ():
        if f"name: {name}" in file.read_text(errors="replace"):
            return f"{chart.name}/{file.relative_to(root).as_posix()}"
    return None
