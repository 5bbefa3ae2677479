"""`FROM` an external image: taken over into the store, so that later runs never ask its registry again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from lineal.assemble.allowance import Allowance
from lineal.assemble.filesystem import Filesystem
from lineal.build.environment import BuildEnvironment, StageInputs
from lineal.build.image_config import taken_over
from lineal.build.preparations import Prepare
from lineal.dockerfile.instructions import FromInstruction
from lineal.dockerfile.stage import Stage
from lineal.errors import BadConfiguration, BuildFailed, MissingContent, Unreachable
from lineal.oci import Store
from lineal.oci.image import image_of, read_image
from lineal.oci.platform import normal, runs
from lineal.oci.types import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Blob, Descriptor, Image
from lineal.store.arriving import Arrivals, ArrivingStore
from lineal.store.statement import Dependency, digest_set
from lineal.tar.compression import HEAD, compression_of, open_archive

_TYPES = {"gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}
_AT_ONCE = 4
_OF_THE_IMAGE = ("LN-4021", "LN-4022")
"""Failures that are the image's fault, not the registry's: they belong to the line that names it."""


def import_base(
    stage: Stage, reference: str, inputs: StageInputs, environment: BuildEnvironment, prepare: Prepare
) -> tuple[Image, Filesystem]:
    """Copy the base into the store, so that later runs never ask its registry again, and index its directories; each
    of its layers is fetched once, for this and for the engine."""
    source, tag = environment.base_store(reference)
    base = _find(source, tag, reference, stage)
    if warning := check_platform(base, f"The base image {reference}", stage):
        environment.notes.warn(warning)
    if (base.config_json.get("config") or {}).get("OnBuild"):
        raise BadConfiguration(
            f"The base image {reference} has ONBUILD instructions, which are not part of this commit.",
            id="LN-2013",
            place=stage.place,
            remedy="Make it a target of your Dockerfile or an image of lineal.yaml: ONBUILD works there.",
        )
    config, store = taken_over(base, reference), environment.store
    arrivals = Arrivals(source, base.layers, environment.workspace)
    prepared = prepare(stage, image_of(config, base.layers), ArrivingStore(store, arrivals))
    kept = False
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            mounted = list(pool.map(lambda layer: store.mount_blob(layer, source), base.layers))
        rest = [layer for layer, there in zip(base.layers, mounted, strict=True) if not there]
        layers, filesystem = _take_over(base, rest, arrivals, store)
        # For who copies out of the base, and would download it again.
        kept = environment.keep(arrivals)
    except MissingContent as missing:
        raise BuildFailed(
            f"The base image {reference} is not whole: its registry has no layer {missing.digest}.",
            id="LN-5022",
            place=stage.place,
            remedy="Push it again; a layer that only its vendor hands out (`urls`) is not taken over.",
        ) from None
    finally:
        arrivals.cancel()
        if not kept:
            prepared.add_done_callback(lambda _: arrivals.close())
    inputs.moved.pulled += sum(layer.size for layer in layers)
    inputs.moved.pushed += sum(layer.size for layer in rest)
    inputs.used.append(Dependency("base", digest_set(base.manifest.digest), package_url(reference, stage.platform)))
    return image_of(config, layers), filesystem


def _take_over(
    base: Image, rest: Sequence[Descriptor], arrivals: Arrivals, store: Store
) -> tuple[list[Descriptor], Filesystem]:
    """The layers, as they are in the store then, and the index of what is in them; the store lacks the `rest`."""

    def bring(layer: Descriptor) -> None:
        store.put_blob(Blob(layer.digest, layer.size, arrivals[layer.digest].read))

    filesystem, layers = Filesystem.empty(), []
    allowance = Allowance(sum(layer.size for layer in base.layers))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            brought = [pool.submit(bring, layer) for layer in rest]
            for number, layer in enumerate(base.layers):
                arriving = arrivals[layer.digest]
                filesystem = filesystem.apply(number, open_archive(arriving.read()), allowance)
                arriving.whole()
                layers.append(replace(layer, media_type=_media_type(arriving.head(HEAD))))
                _raise_what_failed(brought)
            for one in brought:
                one.result()
        except BaseException:
            arrivals.cancel()
            raise
    return layers, filesystem


def _raise_what_failed(begun: Sequence[Future[None]]) -> None:
    for one in begun:
        if one.done():
            one.result()


def package_url(reference: str, platform: str) -> str:
    """The image that a reference names, as other tools' provenance writes it."""
    name, _, digest = reference.partition("@")
    name, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "")
    version = f"@{quote(tag, safe='')}" if tag else ""
    query = {"digest": digest, "platform": platform}
    return f"pkg:docker/{quote(name)}{version}?{urlencode({key: text for key, text in query.items() if text})}"


def _find(source: Store, tag: str, reference: str, stage: Stage) -> Image:
    try:
        return read_image(source, tag, stage.platform)
    except MissingContent:
        raise BuildFailed(
            f"The base image {reference} does not exist.",
            id="LN-5021",
            place=stage.place,
            remedy="Check the name and the tag; a private base needs credentials in the docker config.",
        ) from None
    except Unreachable as error:
        if error.id in _OF_THE_IMAGE:
            error.place = error.place or stage.place
        raise


def check_platform(base: Image, name: str, stage: Stage) -> str:
    """Refuse to build on an image for machines that run nothing of this platform. Gives a warning, or an empty text,
    for one that only some of them run, and for files of another platform's."""
    try:
        found = base.platform
    except ValueError:
        raise Unreachable(
            f"{name} has a config whose platform makes no sense.", id="LN-4021", place=stage.place
        ) from None
    suitable = list(runs(stage.platform))
    if found is None:
        return ""
    if base.listed_as and _kind(base.listed_as) != _kind(found):
        return f"{name} calls itself one for {found}; its index names it for {base.listed_as}, and that counts."
    only_files = isinstance(stage.op, FromInstruction) and stage.op.only_files
    if not only_files and _kind(found) not in {_kind(each) for each in suitable}:
        raise Unreachable(
            f"{name} is for {found}, and {stage.platform} is built.",
            id="LN-4022",
            place=stage.place,
            remedy=f"Name an image that is made for {stage.platform}, or push one under this name.",
        )
    newer = base.config_json.get("variant") and found not in suitable
    if not newer and _kind(found) == _kind(stage.platform):
        return ""
    return f"{name} is for {found}, and {stage.platform} is built: not all machines run it."


def _kind(platform: str) -> tuple[str, ...]:
    """The platform without its variant: a base whose variant differs is taken, as docker does."""
    return tuple(normal(platform).split("/")[:2])


def _media_type(head: bytes) -> str:
    """The type of a layer by its first bytes, which count for docker, whatever its manifest says."""
    return _TYPES.get(compression_of(head), OCI_LAYER)


def chunks(file: Any) -> Iterator[bytes]:
    while chunk := file.read(1 << 20):
        yield chunk
