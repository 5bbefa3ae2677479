"""What `publish:` says, for the whole project or for one image: where a finished image goes, and under which tags."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

Key = Annotated[
    str, Meta(pattern=r"^[!-~]+$", extra={"rule": "Use letters, digits and signs of ASCII, without spaces."})
]


class Publish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The final repositories of finished images, and their tags. `{}` is the store itself, under a short tag."""

    to: Annotated[
        list[str] | None,
        Meta(
            description="The final repositories, such as `registry.example.com/team/{{ image }}`; empty texts are "
            "left out (default: the store itself)."
        ),
    ] = None
    tags: Annotated[
        list[str] | None,
        Meta(
            description="The tags; what renders to nothing is left out. The first one is `images.<name>.tag` "
            "(default, or when all are left out: a short tag of the image's own)."
        ),
    ] = None
    annotations: Annotated[
        dict[Key, str],
        Meta(
            description="Annotations of the finished image, beside those that Lineal writes or in their place; an "
            "empty text leaves one out. Those of an image are added to the project's."
        ),
    ] = {}
    provenance: Annotated[
        bool | None,
        Meta(description="Whether a statement of how it was made lies beside the finished image (default: true)."),
    ] = None
    sbom: Annotated[
        bool | str | None,
        Meta(
            description="Whether a list of what is in it (SPDX) lies beside the finished image: true, or the image "
            "of a scanner (default: false)."
        ),
    ] = None


SCANNER = "docker.io/docker/buildkit-syft-scanner:stable-1"
"""What BuildKit takes where none is named."""


def scanner_of(project: Publish | None, image: bool | Publish | None) -> str | None:
    """The scanner that makes the SBOM of one image, None for an image without one."""
    wanted = publish_of(project, image)
    if wanted is None or not wanted.sbom:
        return None
    return SCANNER if wanted.sbom is True else wanted.sbom


def publish_of(project: Publish | None, image: bool | Publish | None) -> Publish | None:
    """What holds for one image: its own keys, then the project's. None when the image is not finished."""
    if image is False or (image is None and project is None):
        return None
    whole, own = project or Publish(), image if isinstance(image, Publish) else Publish()
    return msgspec.structs.replace(
        whole,
        to=whole.to if own.to is None else own.to,
        tags=whole.tags if own.tags is None else own.tags,
        provenance=whole.provenance if own.provenance is None else own.provenance,
        sbom=whole.sbom if own.sbom is None else own.sbom,
        annotations={**whole.annotations, **own.annotations},
    )
