"""`lineal render`: the manifests of the release with the images' digests."""

from __future__ import annotations

from pathlib import Path

from lineal.build.result import BuildResult
from lineal.commands.finish import Finishing
from lineal.commands.output import introduce, show
from lineal.commands.plan import plan_images, unbuilt
from lineal.commands.reporting import reporting
from lineal.deploy.image_use import unused
from lineal.deploy.inputs import ReleaseInputs
from lineal.deploy.release import Release
from lineal.deploy.render import render as render_text
from lineal.deploy.render import render_to
from lineal.session.session import Session


def render(session: Session, output: str | None) -> None:
    """The whole command: print the manifests, or write them below the directory `output`. Raises `LinealError`."""
    with reporting(session, "render", table=False) as told:
        inputs = ReleaseInputs(session)
        introduce(session)
        session.trust.require("render")
        _ = inputs.helm  # a missing one is told before the store is asked
        told.result = Finishing.of(session, unbuilt(session, plan_images(session, release=inputs)))
        if output is None:
            show(render_release(session, inputs, told.result))
            return
        release = inputs.release(told.result)
        paths = render_to(inputs.helm, release, Path(output), session.progress.note)
        _warn(session, release, "\n".join((Path(output) / path).read_text(errors="replace") for path in paths))
        for path in paths:
            show(f"{output.rstrip('/')}/{path}\n")


def render_release(session: Session, inputs: ReleaseInputs, result: BuildResult) -> str:
    """The manifests as YAML. Raises `DeployFailed` when an image is not published or the chart does not render."""
    release = inputs.release(result)
    manifests = render_text(inputs.helm, release, session.progress.note)
    _warn(session, release, manifests)
    return manifests


def _warn(session: Session, release: Release, manifests: str) -> None:
    for sentence in unused(release.images, manifests):
        session.progress.warn(sentence)
