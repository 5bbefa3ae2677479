"""Proof of published stages: what is made of files of a commit alone is made again, and has to be the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from lineal.assemble.allowance import Allowance
from lineal.assemble.filesystem import Filesystem
from lineal.build.environment import BuildEnvironment, StageImage, StageInputs
from lineal.build.image_config import taken_over
from lineal.build.stage_builder import build
from lineal.context.remote_source import HttpSource
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.instructions import FromInstruction
from lineal.dockerfile.stage import Stage
from lineal.oci import Store
from lineal.oci.image import content, encode, read_image
from lineal.oci.types import Image, Manifest, sha256
from lineal.oci.verify import is_digest
from lineal.stages.publish import Built
from lineal.store.record import FILESYSTEM, MAX_FILESYSTEM, Part, image_digest, record_parts, stage_index, told
from lineal.store.statement import STATEMENT
from lineal.tar.compression import open_archive
from lineal.trust import Evidence
from lineal.trust.chain import Link
from lineal.trust.signed import is_index_of, record_of


def is_provable(stage: Stage) -> bool:
    """Whether the commit decides what is in the stage: metadata, a COPY or ADD of files with known digests, or a base
    that is named by its digest."""
    if isinstance(stage.op, FromInstruction):
        return is_digest(stage.op.reference.partition("@")[2])
    if stage.op is None:
        return not stage.needs
    if not isinstance(stage.op, CopyInstruction):
        return False
    return not stage.needs and all(isinstance(one, HttpSource) and one.pinned for _, one in stage.op.remotes)


def is_fetched(stage: Stage) -> bool:
    """Whether what is in a provable stage is fetched from elsewhere, by its digest."""
    return isinstance(stage.op, FromInstruction) or (isinstance(stage.op, CopyInstruction) and bool(stage.op.remotes))


def published(store: Store, index: Manifest) -> tuple[str, str]:
    """The digests of a stage's image and of the index of its files, as they are in the store. Raises
    `MissingContent`."""
    return image_digest(index), record_parts(store, index)[FILESYSTEM].descriptor.digest


def made_again(
    stage: Stage, parent: Manifest | None, sources: Mapping[str, Manifest], environment: BuildEnvironment,
    references: Mapping[str, str] = MappingProxyType({}),
) -> Built:  # fmt: skip
    """The stage as it becomes on published stages, whose indexes these are; `references` are those of the images that
    it needs. Raises `LinealError`."""
    store = environment.store
    inputs = StageInputs(
        parent=_load(store, parent, stage.platform) if parent else None,
        sources={name: _load(store, source, stage.platform) for name, source in sources.items()},
        references=references,
    )
    built, _ = build(stage, inputs, environment, lambda _line: None)
    return built


def digests(built: Built) -> tuple[str, str]:
    """As `published`, of what was made."""
    return built.image.manifest.digest, sha256(built.filesystem)


def is_publication_of(built: Built, evidence: Evidence) -> bool:
    """Whether a published stage is what this run has made, and nothing else: its image, the index of its files, the
    inputs of its checksum. Who made it, when and of which commit it only claims. Raises `Unreachable`."""
    index, record = evidence.index, evidence.record
    manifest = evidence.record_manifest() if evidence.image == built.image.manifest.digest else None
    said = told(evidence.store, manifest) if manifest is not None else None
    if manifest is None or said is None or said.statement is None:
        return False
    statement, parts = said.statement, [Part.of(layer).descriptor for layer in manifest.json["layers"]]
    facts = (statement.image, statement.filesystem)
    return (
        facts == digests(built) == (evidence.image, parts[-1].digest)
        and [part.media_type for part in parts] == [STATEMENT, FILESYSTEM]
        and statement.inputs == built.inputs
        and replace(record_of(statement), created=record.created, durations=record.durations) == record
        and index.json["manifests"] == stage_index(built.image, manifest, record, built.platform).json["manifests"]
        and is_index_of(index, statement.platform, manifest, record)
    )


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
    return sha256(filesystem.encode()) == published(store, one.index)[1]


def _load(store: Store, index: Manifest, platform: str) -> StageImage:
    encoded = record_parts(store, index)[FILESYSTEM].read(store, MAX_FILESYSTEM)
    return StageImage(read_image(store, image_digest(index), platform), Filesystem.decode(encoded), "")
