"""What docker/build-push-action and docker/bake-action say of an image they pushed, in their JSON: steps that were
written for them read it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lineal.report.model import ImageReport
from lineal.report.tags import references


def metadata(images: Sequence[ImageReport], *, whole: bool) -> str:
    """Of the one image of a project (`whole`), or of several by name, as bake writes it."""
    found = {image.name: _metadata(image) for image in images}
    return json.dumps(found[images[0].name] if whole else found, separators=(",", ":"))


def _metadata(image: ImageReport) -> dict[str, Any]:
    found: dict[str, Any] = {"containerimage.config.digest": image.config} if image.config else {}
    descriptor = {"mediaType": image.media_type, "digest": image.digest, "size": image.size}
    found |= {"containerimage.descriptor": descriptor} if image.media_type else {}
    # A tag that was left alone, or that this run did not look at, may be another image.
    names = references(image) or [f"{image.repository}@{image.digest}"]
    return {**found, "containerimage.digest": image.digest, "image.name": ",".join(names)}
