"""`lineal render`: the manifests of the release with the images' digests, or any text that names images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lineal.build.result import BuildResult
from lineal.commands.finish import Finishing
from lineal.commands.output import introduce, show
from lineal.commands.plan import plan_images, unbuilt
from lineal.commands.reporting import reporting
from lineal.deploy import manifest_files, repeatability
from lineal.deploy.handover import Destination
from lineal.deploy.image_use import unused
from lineal.deploy.inputs import CommitInputs, ReleaseInputs
from lineal.deploy.release import Release
from lineal.deploy.render import Shape, render_to, write_to
from lineal.deploy.render import render as render_text
from lineal.deploy.templates import Templates, together
from lineal.errors import BadConfiguration
from lineal.session.session import Session

if TYPE_CHECKING:
    from lineal.commands.handover import Content, Handover


def render(session: Session, to: Destination = Destination(), shape: Shape = Shape()) -> None:  # noqa: B008 (frozen)
    """The whole command: print what was rendered, write it below a directory, or commit it to another repository.
    Raises `LinealError`."""
    with reporting(session, "render", table=False) as told:
        to.check(shape)
        work: _Work = _Texts(session, to, shape) if Templates.wanted(session) else _Manifests(session, to, shape)
        delivery = None
        if to.url is not None:
            from lineal.commands.handover import Handover

            delivery = Handover(session, to)
        introduce(session)
        session.trust.require("render")
        work.prepare()
        told.result = Finishing.of(session, unbuilt(session, plan_images(session, release=work.inputs)))
        if delivery is not None:
            told.handover = delivery.report
            delivery.carry_out(told.result, work.content(told.result, delivery))
            show(f"{delivery.report.commit}\n")
        elif to.output is None:
            show(work.text(told.result))
        else:
            paths = work.write(told.result, Path(to.output))
            show("".join(f"{to.output.rstrip('/')}/{path}\n" for path in paths))


class _Work(Protocol):
    """What is rendered."""

    @property
    def inputs(self) -> CommitInputs: ...
    def prepare(self) -> None:
        """Raises what can be told before the store is asked."""

    def text(self, result: BuildResult) -> str: ...
    def write(self, result: BuildResult, directory: Path) -> list[str]:
        """The paths in the directory."""

    def content(self, result: BuildResult, delivery: Handover) -> Content:
        """What is committed to another repository."""


class _Manifests:
    def __init__(self, session: Session, to: Destination, shape: Shape) -> None:
        self._session, self._to, self._shape = session, to, shape
        self.inputs = ReleaseInputs(session)

    def prepare(self) -> None:
        _ = self.inputs.helm

    def text(self, result: BuildResult) -> str:
        return render_release(self._session, self.inputs, result, self._shape)

    def write(self, result: BuildResult, directory: Path) -> list[str]:
        release = self.inputs.release(result)
        paths = render_to(self.inputs.helm, release, directory, self._session.progress.note, self._shape)
        release = replace(release, hooks=self._shape.hooks)
        _warn(self._session, self.inputs, release, render_text(self.inputs.helm, release))
        return paths

    def content(self, result: BuildResult, delivery: Handover) -> Content:
        if self._to.values_only:
            return delivery.values(self.inputs, result)
        delivery.check_manifests(self.inputs)
        objects = manifest_files.read(self.text(result))
        files = manifest_files.files(objects, self.inputs.settings.namespace.value)
        if self._shape.kustomization:
            files[manifest_files.KUSTOMIZATION] = manifest_files.kustomization(sorted(files))
        return delivery.folder(files)


class _Texts:
    def __init__(self, session: Session, to: Destination, shape: Shape) -> None:
        self.inputs = Templates(session)
        if shape != Shape() or to.values_only:
            what = "Templates are no manifests of a release."
            raise BadConfiguration(what, id="LN-1016", remedy="Leave the options for manifests and values out.")

    def prepare(self) -> None:
        """Nothing: no program is needed."""

    def text(self, result: BuildResult) -> str:
        return together(self.inputs.rendered(result))

    def write(self, result: BuildResult, directory: Path) -> list[str]:
        return write_to(self.inputs.rendered(result), directory)

    def content(self, result: BuildResult, delivery: Handover) -> Content:
        return delivery.folder(self.inputs.rendered(result))


def render_release(
    session: Session, inputs: ReleaseInputs, result: BuildResult, shape: Shape = Shape()  # noqa: B008 (frozen)
) -> str:  # fmt: skip
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
    unsteady = repeatability.sentences(repeatability.unsteady(manifests, again))
    for sentence in [*unused(release.images, manifests), *unsteady]:
        session.progress.warn(sentence)
