"""The images that manifests use: those of the commit that none uses are named, and those of others are found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lineal.build.result import NOT_BUILT
from lineal.kube.json_fields import text

_CRD = "CustomResourceDefinition"


def images_of(objects: Iterable[dict[str, Any]]) -> list[str]:
    """Every text under a key `image` of these objects, sorted. A definition's schema holds none."""
    found = {image for one in objects if text(one, "kind") != _CRD for image in _images(one)}
    return sorted(image for image in found if image and not any(char.isspace() for char in image))


def _images(thing: Any) -> Iterator[str]:
    if isinstance(thing, dict):
        for key, value in thing.items():
            if key == "image" and isinstance(value, str):
                yield value
            else:
                yield from _images(value)
    elif isinstance(thing, list):
        for part in thing:
            yield from _images(part)


def unused(images: Mapping[str, str], manifests: str) -> list[str]:
    """A sentence for each image, by name and as `repository:tag@digest`, that no manifest uses by its digest."""
    found = []
    for name, reference in images.items():
        named, _, digest = reference.partition("@")
        if digest in manifests:
            continue
        if digest != NOT_BUILT and named in manifests:
            found.append(f"The manifests use the image {name} by its tag, and not by its digest ({digest}).")
        else:
            found.append(f"No manifest uses the image {name} ({reference}).")
    return found
