"""What a deploy would change: `plan --diff`. Asks the cluster, changes nothing there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineal.session.session import require_write

if TYPE_CHECKING:
    from lineal.build.result import BuildResult
    from lineal.deploy.inputs import ReleaseInputs
    from lineal.report.model import ChangeReport

_SHOWN = "sha256:(of the image to be built)"


def changes(inputs: ReleaseInputs, result: BuildResult) -> list[ChangeReport]:
    """Raises `LinealError`."""
    from lineal.deploy.diff.diff import between
    from lineal.deploy.helm import dependencies, manifests
    from lineal.deploy.values import NOT_BUILT

    session, helm = inputs.session, inputs.helm
    # A chart may read whatever it likes in the cluster.
    require_write(session, "it does not ask the cluster either", remedy="Leave --diff out, or ask on a branch of the "
                  "project itself.")  # fmt: skip
    release = inputs.release(result, planned=True)
    dependencies.complete(helm, release, session.progress.note)
    wanted = manifests.dry_run(helm, release)
    before = manifests.deployed(helm, release)
    return between(before, wanted, lambda line: helm.mask(line).replace(NOT_BUILT, _SHOWN))
