"""An image as a machine has it: in its Docker Engine or in an archive, under names that `docker` understands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lineal.oci.types import Image, Manifest

TAG = "latest"
_HUB = "docker.io"
_ODD = re.compile(r"[._/-]{2,}")
_TAKEN = re.compile(r"__|-+")
"""What Docker takes between the parts of a name, beside a single `.`, `_` or `/`."""


@dataclass(frozen=True, slots=True)
class LocalImage:
    """`images` are the finished ones where there are such, one for each platform. `names` has `repository:tag` for
    each of its names; the first is its own, `<project>-<image>:latest`."""

    images: tuple[Image, ...]
    names: tuple[str, ...]
    index: Manifest | None = None
    """Where there are several images: what names them."""

    @property
    def manifest(self) -> Manifest:
        return self.index or self.images[0].manifest


def local_names(project: str, image: str, tags: Iterable[str]) -> tuple[str, ...]:
    """An image's own name, as compose makes it, which is the same in every run; then those that others know it by."""
    repository = image if image == project else f"{project}-{image}"
    return tuple(dict.fromkeys([f"{_ODD.sub(_plain, repository)}:{TAG}", *tags]))


def local_name(reference: str) -> str:
    """A reference as the Docker Engine shows it: without the host of Docker Hub."""
    return (
        reference.removeprefix(f"{_HUB}/").removeprefix("library/") if reference.startswith(f"{_HUB}/") else reference
    )


def _plain(found: re.Match[str]) -> str:
    """Names of projects and images have more separators in a row than Docker takes."""
    if _TAKEN.fullmatch(found[0]):
        return found[0]
    return "/" if "/" in found[0] else "-"
