"""The images that manifests use: those of the commit that none uses are named, and those of others are found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lineal.deploy.values import NOT_BUILT, ImageValue
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


def unused(images: Mapping[str, ImageValue], needed: Iterable[str], manifests: str) -> list[str]:
    """A sentence for each image that no manifest uses by its digest. `needed` are images that others are made from:
    nobody deploys these."""
    found = []
    for name, image in images.items():
        if name in needed or image.digest in manifests:
            continue
        if image.digest != NOT_BUILT and image.tag in manifests:
            found.append(f"The manifests use the image {name} by its tag, not by its digest ({image.digest}).")
        else:
            found.append(f"No manifest uses the image {name} ({image.image}).")
    return found
