"""What a build leaves on this machine: its images in the Docker Engine (`--load`) and in archives (`--output`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lineal.config.publish import publish_of
from lineal.errors import BadConfiguration
from lineal.oci.platform import normal, own_platform, runs
from lineal.publish.archive_output import STDOUT
from lineal.store.open import is_directory
from lineal.store.record import image_digest

if TYPE_CHECKING:
    from lineal.build.result import BuildResult, ImageReference
    from lineal.dockerfile.stage import Stage
    from lineal.engine.docker.image_loader import ImageLoader
    from lineal.oci.types import Image, Manifest
    from lineal.publish.local_image import LocalImage
    from lineal.session.session import Session

_NAMING = ("written", "moved", "there")
"""The outcomes of a tag that names this image now."""


class Export:
    """The images that were named, else those that are finished; without any `publish`, all. What a run that may not
    write has built is among them: it lies in its private store."""

    def __init__(self, session: Session, names: Sequence[str]) -> None:
        self._session = session
        self._names = names
        self._loader: ImageLoader | None = None

    @property
    def takes_stdout(self) -> bool:
        """Whether the standard output is an archive's."""
        return any(output.dest == STDOUT for output in self._session.settings.outputs.value)

    def prepare(self) -> None:
        """Before anything is built. Raises `BadConfiguration` for an archive that could not be written, `Unreachable`
        when no Docker Engine answers."""
        settings = self._session.settings
        for output in settings.outputs.value:
            output.check()
        if settings.load.value:
            from lineal.engine.docker.client import Client
            from lineal.engine.docker.image_loader import ImageLoader

            self._loader = ImageLoader(Client(settings.environ), lambda: None)

    def write(self, result: BuildResult) -> None:
        """Raises `Unreachable`, and `BadConfiguration` for an image that is not built for the machine it is for."""
        outputs = self._session.settings.outputs.value
        if self._loader is None and not outputs:
            return
        if self._loader is not None:
            for one in self._images(result, self._loader.platform()):
                self._loader.load(one.images[0], self._session.store, one.names)
                self._note(f"loaded     {', '.join(one.names)}")
        for output in outputs:
            from lineal.publish.archive import write

            images = self._images(result, own_platform() if output.type == "docker" else None)
            write(images, self._session.store, output, sys.stdout.buffer)
            names = ", ".join(one.names[0] for one in images)
            self._note(f"archive    {'the standard output' if output.dest == STDOUT else output.dest}: {names}")

    def _note(self, text: str) -> None:
        self._session.progress.note(text)

    def _images(self, result: BuildResult, machine: str | None) -> list[LocalImage]:
        """With one platform each where they are for a `machine`, else with all that this run builds."""
        wanted = set(self._names) or self._finished() or set(result.plan.images)
        there = {name: self._parts(name, result) for name in result.plan.images if name in wanted}
        return [self._image(name, parts, result, machine) for name, parts in there.items() if parts]

    def _finished(self) -> set[str]:
        """The images that a run of the project's own would finish."""
        project = self._session.loaded.project
        return {name for name, image in project.images.items() if publish_of(project.publish, image.publish)}

    def _parts(self, name: str, result: BuildResult) -> dict[str, Stage]:
        """The last stages that this run builds of an image, by platform."""
        last = {stage.checksum for stage in result.plan.last()}
        return {platform: one for platform, one in result.plan.images[name].items() if one.checksum in last}

    def _image(self, name: str, parts: Mapping[str, Stage], result: BuildResult, machine: str | None) -> LocalImage:
        from lineal.publish.local_image import LocalImage, local_name, local_names

        if machine is not None and len(parts) > 1:
            platform = self._for(machine, name, parts)
            parts = {platform: parts[platform]}
        finished = result.finished.get(name)
        images = [self._read(platform, stage, result, finished) for platform, stage in parts.items()]
        index = self._index(images, finished) if len(images) > 1 else None
        project, described = self._session.loaded.project.project, self._session.loaded.described
        if described is not None and described.references:
            return LocalImage(tuple(images), tuple(map(local_name, described.references)), index)
        told = [tag for tag in result.tags.get(name, ()) if tag.outcome in _NAMING]
        tags = [tag.reference for tag in told if not is_directory(tag.repository)]
        return LocalImage(tuple(images), local_names(project, name, tags), index)

    def _read(self, platform: str, stage: Stage, result: BuildResult, finished: ImageReference | None) -> Image:
        from lineal.oci.image import read_image

        candidate = result.candidate(stage)
        assert candidate is not None
        image = read_image(self._session.store, image_digest(candidate.index), platform)
        manifest = finished.parts.get(platform) if finished is not None else None
        return image if manifest is None else replace(image, manifest=manifest)

    def _index(self, images: Sequence[Image], finished: ImageReference | None) -> Manifest:
        """The finished index, or one of those images that this run builds."""
        from lineal.publish.platform_index import plain_index

        if finished is not None and finished.manifest is not None and len(finished.parts) == len(images):
            return finished.manifest
        return plain_index(images)

    def _for(self, machine: str, name: str, parts: Mapping[str, Stage]) -> str:
        """The platform of an image that a machine runs best. Raises `BadConfiguration`."""
        for suitable in runs(machine):
            for platform in parts:
                if normal(platform) == suitable:
                    return platform
        raise BadConfiguration(
            f"The image {name!r} is built for {', '.join(parts)}, and this machine is {machine}.",
            id="LN-1037",
            place=self._session.loaded.place(f"images.{name}.platforms"),
            remedy="Name one of them by --platform, or write an archive of all with --output type=oci,dest=FILE.",
        )
