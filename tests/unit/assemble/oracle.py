"""What the tests of the assembler share: trees to copy from, an image as a dict of files, and `docker build`."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.assemble.filesystem import Filesystem
from lineal.assemble.layer_stack import LayerSource
from lineal.context.tree import Node
from lineal.oci.types import Layer

if TYPE_CHECKING:
    import docker

DOCKER = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"

Files = dict[str, tuple[str, int, int, int, str, bytes]]
"""path: (type, mode, uid, gid, link target, content)."""


class FolderTree:
    """A directory on disk as a commit would hold it: modes 644 and 755, owner 0, no times."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def lstat(self, path: str) -> Node | None:
        place = self._root / path
        if place.is_symlink():
            return Node(path, "symlink", 0o777, target=str(place.readlink()))
        if place.is_dir():
            return Node(path, "directory", 0o755)
        if place.is_file():
            status = place.stat()
            return Node(path, "file", 0o755 if status.st_mode & 0o100 else 0o644, status.st_size)
        return None

    def children(self, path: str) -> list[str]:
        place = self._root / path
        return sorted(child.name for child in place.iterdir()) if place.is_dir() else []

    def walk(self, path: str) -> Iterator[Node]:
        for name in self.children(path):
            node = self.lstat(f"{path}/{name}" if path else name)
            assert node is not None
            yield node
            if node.kind == "directory":
                yield from self.walk(node.path)

    def open(self, node: Node) -> Iterator[bytes]:
        yield (self._root / node.path).read_bytes()


def put_layer(files: Files, layer: bytes) -> None:
    """Unpack a layer (gzip or plain) onto an image, as the image specification says."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        for entry in tar:
            name = os.path.normpath("/" + entry.name).lstrip("/")
            parent, base = os.path.split(name)
            if base == ".wh..wh..opq":
                _remove(files, parent, below_only=True)
            elif base.startswith(".wh."):
                _remove(files, f"{parent}/{base[4:]}" if parent else base[4:])
            elif entry.islnk():
                files[name] = files[os.path.normpath("/" + entry.linkname).lstrip("/")]
            elif name:
                if not (entry.isdir() and name in files and files[name][0] == tarfile.DIRTYPE.decode()):
                    _remove(files, name)
                file = tar.extractfile(entry) if entry.isreg() else None
                content = file.read() if file else b""
                link = entry.linkname if entry.issym() else ""
                mode = 0o777 if entry.issym() else entry.mode & 0o7777
                kind = "0" if entry.isreg() else entry.type.decode()
                files[name] = (kind, mode, entry.uid, entry.gid, link, content)


def _remove(files: Files, path: str, below_only: bool = False) -> None:
    prefix = f"{path}/" if path else ""
    for name in [name for name in files if (name == path and not below_only) or name.startswith(prefix)]:
        del files[name]


@dataclass(frozen=True)
class SavedImage:
    """An image as `docker save` gives it: uncompressed layers from the lowest."""

    layers: list[bytes]

    def files(self) -> Files:
        files: Files = {}
        for layer in self.layers:
            put_layer(files, layer)
        return files

    def filesystem(self) -> Filesystem:
        filesystem = Filesystem.empty()
        for number, layer in enumerate(self.layers):
            filesystem = filesystem.apply(number, io.BytesIO(layer))
        return filesystem

    def sources(self) -> list[LayerSource]:
        return [sources_of(layer) for layer in self.layers]


def sources_of(layer: bytes) -> LayerSource:
    return lambda: (layer[at : at + 65536] for at in range(0, len(layer), 65536))


def with_layer(image: SavedImage, layer: Layer) -> Files:
    files = image.files()
    put_layer(files, layer.path.read_bytes())
    return files


def engines_files(images: Mapping[str, SavedImage], engine: docker.DockerClient) -> dict[str, Files]:
    """Name -> the files of an image as the engine has them in a container: loaded, unpacked on disk and exported. One
    load for all, so that layers which images share are sent and unpacked once."""
    tags = {name: f"lineal-assemble-test:{uuid.uuid4().hex}" for name in images}
    subprocess.run([DOCKER, "load", "--quiet"], input=_saved(images, tags), capture_output=True, check=True)
    try:
        return {name: _exported(engine, tag) for name, tag in tags.items()}
    finally:
        subprocess.run([DOCKER, "rmi", "-f", *tags.values()], capture_output=True)


def _saved(images: Mapping[str, SavedImage], tags: Mapping[str, str]) -> bytes:
    """The images as `docker save` writes them."""
    manifest: list[dict[str, Any]] = []
    contents: dict[str, bytes] = {}
    for name, image in images.items():
        digests = [hashlib.sha256(layer).hexdigest() for layer in image.layers]
        rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]}
        # An image of its own: who removes an image's last tag takes it away from others that have loaded it.
        config = {"architecture": "amd64", "os": "linux", "author": tags[name], "rootfs": rootfs}
        files = [f"{digest}.tar" for digest in digests]
        manifest.append({"Config": f"{len(manifest)}.json", "RepoTags": [tags[name]], "Layers": files})
        contents |= {
            manifest[-1]["Config"]: json.dumps(config).encode(),
            **dict(zip(files, image.layers, strict=True)),
        }
    contents["manifest.json"] = json.dumps(manifest).encode()
    return archive(*[(name, "f", 0o644, 0, 0, content) for name, content in contents.items()])


ENGINE_OWN = (
    ".dockerenv", "dev", "dev/console", "dev/pts", "dev/shm", "etc/hostname", "etc/hosts", "etc/mtab",
    "etc/resolv.conf", "proc", "sys",
)  # fmt: skip
"""What every container has of the engine."""


def _exported(engine: docker.DockerClient, tag: str) -> Files:
    """The files of a container of the image, without what the engine puts into each."""
    container = engine.containers.create(tag, ["/none"])
    try:
        chunks: Any = container.export()
        data = b"".join(chunks)
    finally:
        container.remove(force=True)
    files: Files = {}
    put_layer(files, data)
    return of_the_image(files)


def of_the_image(files: Files) -> Files:
    return {path: file for path, file in files.items() if path not in ENGINE_OWN}


class BuildError(Exception):
    """`docker build` refused."""


def docker_build(dockerfile: str, context: Path) -> SavedImage:
    """Build with BuildKit, save, and remove the image again. Raises `BuildError`."""
    (built,) = docker_builds({"": dockerfile}, context).values()
    if isinstance(built, BuildError):
        raise built
    return built


def docker_builds(dockerfiles: Mapping[str, str], context: Path) -> dict[str, SavedImage | BuildError]:
    """Name -> the image of a Dockerfile, or why there is none. All images are saved at once."""
    tags = {name: f"lineal-assemble-test:{uuid.uuid4().hex}" for name in dockerfiles}
    with ThreadPoolExecutor(2) as pool:
        refusals = dict(
            zip(tags, pool.map(partial(_build, context), dockerfiles.values(), tags.values()), strict=True)
        )
    built = {name: tag for name, tag in tags.items() if not refusals[name]}
    images = _save(list(built.values())) if built else {}
    refused = {name: BuildError(text) for name, text in refusals.items() if text}
    return refused | {name: images[tag] for name, tag in built.items()}


def _build(context: Path, dockerfile: str, tag: str) -> str:
    """Makes the image `tag`, or returns why it cannot be built."""
    built = subprocess.run(
        # With a label, so that it is an image of its own, see `_saved`.
        [DOCKER, "build", "--progress=plain", "--network=none", "--label", tag, "-t", tag, "-f", "-", str(context)],
        input=dockerfile.encode(),
        capture_output=True,
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
    )
    text = built.stderr.decode(errors="replace")[-2000:] if built.returncode else ""
    # An engine that is away has refused nothing.
    assert "docker daemon" not in text.lower(), text
    return text


def _save(tags: Sequence[str]) -> dict[str, SavedImage]:
    """Tag -> the image, which the engine no longer has."""
    try:
        saved = subprocess.run([DOCKER, "save", *tags], capture_output=True, check=True).stdout
    finally:
        subprocess.run([DOCKER, "rmi", "-f", *tags], capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
        entries = json.loads(_member(tar, "manifest.json"))
        read = cache(partial(_member, tar))
        return {entry["RepoTags"][0]: SavedImage([read(name) for name in entry["Layers"]]) for entry in entries}


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None
    return file.read()


def archive(*entries: tuple[str, str, int, int, int, str | bytes]) -> bytes:
    """A tar of (name, type letter of fdlhpc, mode, uid, gid, link target or content)."""
    types = {
        "f": tarfile.REGTYPE,
        "d": tarfile.DIRTYPE,
        "l": tarfile.SYMTYPE,
        "h": tarfile.LNKTYPE,
        "p": tarfile.FIFOTYPE,
        "c": tarfile.CHRTYPE,
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, letter, mode, uid, gid, value in entries:
            info = tarfile.TarInfo(name)
            info.devmajor, info.devminor = (1, 3) if letter == "c" else (0, 0)
            info.type, info.mode, info.uid, info.gid, info.mtime = types[letter], mode, uid, gid, 1000
            if isinstance(value, str):
                info.linkname = value
                tar.addfile(info)
            else:
                info.size = len(value)
                tar.addfile(info, io.BytesIO(value))
    return buffer.getvalue()
