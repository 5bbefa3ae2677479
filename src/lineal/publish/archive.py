"""Images as one archive: an OCI Image Layout, which is for `docker load` too when it has Docker's manifest.json, as
`docker save` writes both. Layers are streamed from the store, each once, byte for byte."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lineal.errors import Unreachable
from lineal.oci import Store
from lineal.oci.image import content, encode, whole
from lineal.oci.reference import whole_name
from lineal.oci.types import OCI_INDEX, Descriptor
from lineal.publish.archive_output import STDOUT, ArchiveOutput
from lineal.publish.local_image import LocalImage
from lineal.store.layout_index import INDEX, REF_NAME, TEMPORARY, replacing
from lineal.tar import raw
from lineal.tar.header import DIRECTORY, END, padding

_CONTAINERD_NAME = "io.containerd.image.name"
_DIRECTORIES = ("blobs", "blobs/sha256")


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    size: int
    chunks: Iterator[bytes]


def write(images: Sequence[LocalImage], store: Store, output: ArchiveOutput, stdout: IO[bytes]) -> None:
    """Write the archive, which appears whole or not at all, but for one on `stdout`.

    Raises `Unreachable` for content that the store lacks or a disk that takes no more."""
    files = _files(images, store, docker=output.type == "docker")
    try:
        with whole():
            _write(files, output, stdout)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise Unreachable(
            f"The archive {output.dest} cannot be written: {reason}.",
            id="LN-5034",
            remedy="Free some space, or name another file with --output.",
        ) from error


def _write(files: Iterator[_File], output: ArchiveOutput, stdout: IO[bytes]) -> None:
    if not output.tar:
        _write_directory(output.path, files)
    elif output.dest == STDOUT:
        _write_tar(stdout, files)
        stdout.flush()
    else:
        with replacing(output.path) as file:
            _write_tar(file, files)
            file.flush()


def _write_tar(file: IO[bytes], files: Iterator[_File]) -> None:
    for directory in _DIRECTORIES:
        file.write(raw.header(directory.encode(), DIRECTORY, mode=0o755))
    for one in files:
        file.write(raw.header(one.name.encode(), size=one.size))
        for chunk in one.chunks:
            file.write(chunk)
        file.write(padding(one.size))
    file.write(END)


def _write_directory(path: Path, files: Iterator[_File]) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=path.parent))
    try:
        for directory in _DIRECTORIES:
            (temporary / directory).mkdir()
        for one in files:
            with (temporary / one.name).open("xb") as file:
                file.writelines(one.chunks)
        # A private directory so far; it gets the mode that a new one has here.
        temporary.chmod((temporary / _DIRECTORIES[0]).stat().st_mode & 0o777)
        os.replace(temporary, path)  # noqa: PTH105 (an empty directory gives way)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _files(images: Sequence[LocalImage], store: Store, *, docker: bool) -> Iterator[_File]:
    yield _of("oci-layout", encode({"imageLayoutVersion": "1.0.0"}))
    yield _of(INDEX, encode(_index(images)))
    if docker:
        yield _of("manifest.json", encode([_docker_entry(one) for one in images]))
    written: set[str] = set()
    for index in (one.index for one in images if one.index is not None):
        if index.digest not in written:
            written.add(index.digest)
            yield _of(_blob(index.digest), index.data)
    for image in (image for one in images for image in one.images):
        config = Descriptor("", str(image.manifest.json["config"]["digest"]), len(image.config))
        documents = [(image.manifest.descriptor(), image.manifest.data), (config, image.config)]
        layers = [(layer, None) for layer in image.layers]
        for part, data in [*documents, *layers]:
            if part.digest not in written:
                written.add(part.digest)
                yield _File(_blob(part.digest), part.size, content(store, part) if data is None else iter([data]))


def _index(images: Sequence[LocalImage]) -> dict[str, Any]:
    """An entry for each name. Tools choose an image by its tag, as Docker's archives have it; where two entries have
    one tag, by the whole name."""
    names = [(one.manifest.descriptor().to_json(), name) for one in images for name in one.names]
    tags = Counter(_tag(name) for _, name in names)
    entries = [
        {
            **descriptor,
            "annotations": {
                _CONTAINERD_NAME: whole_name(name),
                REF_NAME: _tag(name) if tags[_tag(name)] == 1 else name,
            },
        }
        for descriptor, name in names
    ]
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}


def _docker_entry(one: LocalImage) -> dict[str, Any]:
    (image,) = one.images
    config = str(image.manifest.json["config"]["digest"])
    layers = [_blob(layer.digest) for layer in image.layers]
    return {"Config": _blob(config), "RepoTags": list(one.names), "Layers": layers}


def _tag(name: str) -> str:
    return name.rpartition(":")[2]


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _of(name: str, data: bytes) -> _File:
    return _File(name, len(data), iter([data]))
