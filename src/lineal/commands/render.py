"""`lineal render`: the manifests of the release with the images' digests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lineal.build.result import BuildResult
from lineal.commands.finish import Finishing
from lineal.commands.output import introduce, show
from lineal.commands.plan import plan_images, unbuilt
from lineal.commands.reporting import reporting
from lineal.deploy import manifest_files, repeatability
from lineal.deploy.handover import Destination
from lineal.deploy.image_use import unused
from lineal.deploy.inputs import ReleaseInputs
from lineal.deploy.release import Release
from lineal.deploy.render import Shape, render_to
from lineal.deploy.render import render as render_text
from lineal.session.session import Session


def render(session: Session, to: Destination = Destination(), shape: Shape = Shape()) -> None:  # noqa: B008 (frozen)
    """The whole command: print the manifests, write them below a directory, or commit them to another repository.
    Raises `LinealError`."""
    with reporting(session, "render", table=False) as told:
        to.check(shape)
        inputs = ReleaseInputs(session)
        delivery = None
        if to.url is not None:
            from lineal.commands.handover import Handover

            delivery = Handover(session, inputs, to)
        introduce(session)
        session.trust.require("render")
        _ = inputs.helm  # a missing one is told before the store is asked
        told.result = Finishing.of(session, unbuilt(session, plan_images(session, release=inputs)))
        if delivery is not None:
            told.handover = delivery.report
            delivery.carry_out(told.result, lambda result: render_release(session, inputs, result, shape), shape)
            show(f"{delivery.report.commit}\n")
        elif to.output is None:
            show(render_release(session, inputs, told.result, shape))
        else:
            show(_written(session, inputs, told.result, to.output, shape))


def _written(session: Session, inputs: ReleaseInputs, result: BuildResult, output: str, shape: Shape) -> str:
    release = inputs.release(result)
    paths = render_to(inputs.helm, release, Path(output), session.progress.note, shape)
    release = replace(release, hooks=shape.hooks)
    _warn(session, inputs, release, render_text(inputs.helm, release))
    return "".join(f"{output.rstrip('/')}/{path}\n" for path in paths)


def render_release(
    session: Session,
    inputs: ReleaseInputs,
    result: BuildResult,
    shape: Shape = Shape(),  # noqa: B008 (frozen)
) -> str:
    """The manifests as YAML. Raises `DeployFailed` when an image is not published or the chart does not render."""
    release = replace(inputs.release(result), hooks=shape.hooks)
    manifests = render_text(inputs.helm, release, session.progress.note)
    _warn(session, inputs, release, manifests)
    if not shape.namespace:
        return manifests
    objects = manifest_files.with_namespace(manifest_files.read(manifests), release.namespace)
    return manifest_files.document(objects)


def _warn(session: Session, inputs: ReleaseInputs, release: Release, manifests: str) -> None:
    again = render_text(inputs.helm, release)
    found: Iterable[str] = repeatability.sentences(repeatability.unsteady(manifests, again))
    for sentence in [*unused(release.images, manifests), *found]:
        session.progress.warn(sentence)
