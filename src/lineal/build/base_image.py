"""`FROM` an external image: taken over into the store, so that later runs never ask its registry again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

from lineal.assemble.filesystem import Filesystem
from lineal.build.environment import BuildEnvironment, StageInputs
from lineal.build.image_config import taken_over
from lineal.dockerfile.stage import Stage
from lineal.errors import BadConfiguration, BuildFailed, MissingContent
from lineal.oci.image import image_of, read_image
from lineal.oci.types import Descriptor, Image, Layer
from lineal.tar.compression import open_archive


def import_base(
    stage: Stage, reference: str, inputs: StageInputs, environment: BuildEnvironment
) -> tuple[Image, Filesystem]:
    """Copy the base into the store, so that later runs never ask its registry again, and index its directories."""
    source, tag = environment.base_store(reference)
    try:
        base = read_image(source, tag, stage.platform)
    except MissingContent:
        raise BuildFailed(
            f"The base image {reference} does not exist.",
            id="LN-5021",
            place=stage.place,
            remedy="Check the name and the tag; a private base needs credentials in the docker config.",
        ) from None
    if (base.config_json.get("config") or {}).get("OnBuild"):
        raise BadConfiguration(
            f"The base image {reference} has ONBUILD instructions, which are not part of this commit.",
            id="LN-2013",
            place=stage.place,
            remedy="Make it a target of your Dockerfile or an image of lineal.yaml: ONBUILD works there.",
        )

    def fetch(number: int, layer: Descriptor) -> Path:
        # The empty layer stands in some images several times.
        path = environment.workspace / f"base-{stage.checksum[:12]}-{number}"
        with path.open("wb") as file:
            for chunk in source.blob(layer.digest):
                file.write(chunk)
        if not environment.store.mount_blob(layer, source):
            environment.store.put_blob(Layer(path, layer.digest, layer.size, "").blob())
            inputs.moved.pushed += layer.size
        inputs.moved.pulled += layer.size
        return path

    filesystem = Filesystem.empty()
    with ThreadPoolExecutor(4) as pool:
        paths = pool.map(fetch, count(), base.layers)
        for number, path in enumerate(paths):
            with path.open("rb") as file:
                filesystem = filesystem.apply(number, open_archive(chunks(file)))
            path.unlink()
    return image_of(taken_over(base, reference), base.layers), filesystem


def chunks(file: Any) -> Iterator[bytes]:
    while chunk := file.read(1 << 20):
        yield chunk
