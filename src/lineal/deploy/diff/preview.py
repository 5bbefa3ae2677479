"""What a deploy would change: `plan --diff`. Asks the cluster, changes nothing there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lineal.errors import BadConfiguration, DeployFailed

if TYPE_CHECKING:
    from lineal.deploy.inputs import ReleaseInputs
    from lineal.report.model import ChangeReport
    from lineal.stages.plan import BuildPlan

UNKNOWN = "sha256:" + "0" * 64
"""Stands for the digest of an image that is not built yet."""
_SHOWN = "sha256:(of the image to be built)"
_ONLY = ("release", "namespace", "values", "set", "kube_context")


def check(diff: bool, images: Sequence[str], format: str, given: dict[str, Any]) -> None:
    """Raises `BadConfiguration` for options that would mean nothing."""
    unused = next((name for name in _ONLY if given.get(name)), None)
    if not diff and unused is not None:
        what = f"--{unused.replace('_', '-')} is for --diff."
        raise BadConfiguration(what, remedy="Give both, or neither.")
    if diff and images:
        raise BadConfiguration("--diff is about the whole release, and takes no IMAGE.", remedy="Leave out one.")
    if diff and format not in ("table", "json"):
        raise BadConfiguration(f"--diff has no place in --format {format}.", remedy="Use table or json.")


def changes(rollout: ReleaseInputs, outlook: BuildPlan) -> list[ChangeReport]:
    """Raises `LinealError`."""
    from lineal.deploy.diff.diff import between
    from lineal.deploy.helm import dependencies, manifests

    run, helm = rollout.run, rollout.helm
    if not run.context.may_write:
        # A chart may read what it likes in the cluster.
        what = "This run may not write (a pull request from a fork), so it does not ask the cluster either."
        raise DeployFailed(what, remedy="Leave --diff out, or ask on a branch of the project itself.")
    release = rollout.release(outlook, planned=True)
    dependencies.complete(helm, release, run.progress.note)
    wanted = manifests.dry_run(helm, release)
    before = manifests.deployed(helm, release)
    return between(before, wanted, lambda line: helm.mask(line).replace(UNKNOWN, _SHOWN))
