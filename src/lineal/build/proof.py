"""Proof of published stages: what is made of files of a commit alone is made again, and has to be the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lineal.assemble.allowance import Allowance
from lineal.assemble.filesystem import Filesystem
from lineal.build.environment import BuildEnvironment, StageImage, StageInputs
from lineal.build.image_config import taken_over
from lineal.build.stage_builder import build
from lineal.context.remote_source import HttpSource
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.stage import Stage
from lineal.oci import Store
from lineal.oci.image import content, encode, read_image
from lineal.oci.types import Image, sha256
from lineal.store.record import FILESYSTEM, MAX_FILESYSTEM, record_parts
from lineal.tar.compression import open_archive
from lineal.trust.chain import Link


def is_provable(stage: Stage) -> bool:
    """Whether the commit decides what is in the stage: metadata, or a COPY or ADD of files with known digests."""
    if stage.op is None:
        return not stage.needs
    if not isinstance(stage.op, CopyInstruction):
        return False
    return not stage.needs and all(isinstance(one, HttpSource) and one.pinned for _, one in stage.op.remotes)


@dataclass(frozen=True, slots=True)
class Made:
    """The digests of a stage's image and of its filesystem index."""

    image: str
    filesystem: str


def published(store: Store, one: Link) -> Made:
    """Of a stage as it is in the store. Raises `MissingContent`."""
    return Made(one.image, record_parts(store, one.index)[FILESYSTEM].descriptor.digest)


def made_again(stage: Stage, parent: Link | None, sources: Mapping[str, Link], environment: BuildEnvironment) -> Made:
    """Of the stage as it becomes on these. Raises `LinealError`."""
    store = environment.store
    inputs = StageInputs(
        parent=_load(store, parent, stage.platform) if parent else None,
        sources={name: _load(store, source, stage.platform) for name, source in sources.items()},
        references={},
    )
    built, _ = build(stage, inputs, environment, lambda _line: None)
    return Made(built.image.manifest.digest, sha256(built.filesystem))


def is_base(store: Store, one: Link, base: Image, reference: str, platform: str) -> bool:
    """Whether a published stage is what `FROM reference` makes of this image: its layers, its configuration, and the
    index of its files. Raises `LinealError`."""
    image = read_image(store, one.image, platform)
    config = taken_over(base, reference)
    same = [layer.digest for layer in image.layers] == [layer.digest for layer in base.layers]
    if not same or image.config != (config if isinstance(config, bytes) else encode(config)):
        return False
    filesystem, allowance = Filesystem.empty(), Allowance(sum(layer.size for layer in image.layers))
    for number, layer in enumerate(image.layers):
        filesystem = filesystem.apply(number, open_archive(content(store, layer)), allowance)
    return sha256(filesystem.encode()) == published(store, one).filesystem


def _load(store: Store, one: Link, platform: str) -> StageImage:
    encoded = record_parts(store, one.index)[FILESYSTEM].read(store, MAX_FILESYSTEM)
    return StageImage(read_image(store, one.image, platform), Filesystem.decode(encoded), "")
