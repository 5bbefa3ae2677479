"""What a build leaves on this machine: its images in the Docker Engine (`--load`) and in archives (`--output`)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lineal.config.model import PLATFORM
from lineal.config.publish import publish_of
from lineal.publish.archive_output import STDOUT
from lineal.store.open import is_directory
from lineal.store.record import image_digest

if TYPE_CHECKING:
    from lineal.build.result import BuildResult
    from lineal.engine.docker.image_loader import ImageLoader
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
        """Raises `Unreachable`."""
        outputs = self._session.settings.outputs.value
        if self._loader is None and not outputs:
            return
        images = self._images(result)
        if self._loader is not None:
            for one in images:
                self._loader.load(one.image, self._session.store, one.names)
                self._note(f"loaded     {', '.join(one.names)}")
        for output in outputs:
            from lineal.publish.archive import write

            write(images, self._session.store, output, sys.stdout.buffer)
            names = ", ".join(one.names[0] for one in images)
            self._note(f"archive    {'the standard output' if output.dest == STDOUT else output.dest}: {names}")

    def _note(self, text: str) -> None:
        self._session.progress.note(text)

    def _images(self, result: BuildResult) -> list[LocalImage]:
        wanted = set(self._names) or self._finished() or set(result.plan.images)
        return [self._image(name, result) for name in result.plan.images if name in wanted]

    def _finished(self) -> set[str]:
        """The images that a run of the project's own would finish."""
        project = self._session.loaded.project
        return {name for name, image in project.images.items() if publish_of(project.publish, image.publish)}

    def _image(self, name: str, result: BuildResult) -> LocalImage:
        from lineal.oci.image import read_image
        from lineal.publish.local_image import LocalImage, local_name, local_names

        candidate = result.candidate(result.plan.images[name])
        assert candidate is not None
        image = read_image(self._session.store, image_digest(candidate.index), PLATFORM)
        finished = result.finished.get(name)
        if finished is not None and finished.manifest is not None:
            image = replace(image, manifest=finished.manifest)
        project, described = self._session.loaded.project.project, self._session.loaded.described
        if described is not None and described.references:
            return LocalImage(image, tuple(map(local_name, described.references)))
        told = [tag for tag in result.tags.get(name, ()) if tag.outcome in _NAMING]
        tags = [tag.reference for tag in told if not is_directory(tag.repository)]
        return LocalImage(image, local_names(project, name, tags))
