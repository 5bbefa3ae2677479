"""The preview of a deploy, `plan --diff`: it asks the cluster and changes nothing there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lineal.errors import DeployFailed
from lineal.session.session import require_write

if TYPE_CHECKING:
    from lineal.build.result import BuildResult
    from lineal.deploy.cluster_objects import ClusterObjects
    from lineal.deploy.helm.client import Helm
    from lineal.deploy.helm.manifests import ReleaseManifests
    from lineal.deploy.inputs import ReleaseInputs
    from lineal.deploy.release import Release
    from lineal.report.model import ChangeReport

_BUSY = "LN-6030"
"""The failure of a helm that finds another one at work, or killed."""
_SHOWN = "sha256:(of the image to be built)"


def changes(inputs: ReleaseInputs, result: BuildResult) -> list[ChangeReport]:
    """Raises `LinealError`."""
    from lineal.build.result import NOT_BUILT
    from lineal.deploy.diff.diff import between
    from lineal.deploy.helm import dependencies

    session, helm = inputs.session, inputs.helm
    # A chart may read whatever it likes in the cluster.
    require_write(session, "it does not ask the cluster either", remedy="Leave --diff out, or ask on a branch of the "
                  "project itself.")  # fmt: skip
    release = inputs.release(result, planned=True)
    dependencies.complete(helm, release, session.progress.note)
    warn = session.progress.warn
    before, wanted = compared(helm, release, lambda sentence: warn(sentence.replace(NOT_BUILT, _SHOWN)))
    return between(before, wanted, lambda line: helm.mask(line).replace(NOT_BUILT, _SHOWN))


def compared(
    helm: Helm, release: Release, warn: Callable[[str], None]
) -> tuple[ReleaseManifests | None, ReleaseManifests]:
    """The manifests that are deployed, without objects that the cluster has lost, and those that would be. `warn`
    gets what people should know of them."""
    from lineal.deploy.findings import findings

    before, wanted = _both(helm, release, warn)
    objects = _objects(helm, release)
    for sentence in findings(release, wanted, before, objects):
        warn(sentence)
    if before is not None and objects is not None:
        before = before.without(objects.lost(before.objects)[0])
    return before, wanted


def _objects(helm: Helm, release: Release) -> ClusterObjects | None:
    from lineal.deploy.cluster_objects import ClusterObjects
    from lineal.kube.client import KubeClient
    from lineal.kube.login import KubeUnavailable

    try:
        return ClusterObjects(KubeClient.of_helm(helm.environ, release.kube_context), release.namespace)
    except KubeUnavailable:
        return None


def _both(
    helm: Helm, release: Release, warn: Callable[[str], None]
) -> tuple[ReleaseManifests | None, ReleaseManifests]:
    """The manifests that are deployed, and those that would be. While helm is at work on the release, the last ones
    that were deployed."""
    from lineal.deploy.helm import manifests

    try:
        wanted = manifests.dry_run(helm, release)
        return manifests.deployed(helm, release), wanted
    except DeployFailed as error:
        if error.id != _BUSY:
            raise
    before = manifests.last_deployed(helm, release)
    number = 0 if before is None else before.number
    compared = f"this compares with revision {number}" if number else "no revision of it was deployed yet"
    warn(f"A deploy of {release} is going on, or was cut off; {compared}.")
    return before, manifests.rendered(helm, release, number + 1)
