"""What the tests of the assembler share: trees to copy from, an image as a dict of files, and `docker build`."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lineal.assemble.filesystem import Filesystem
from lineal.assemble.layer_stack import LayerSource
from lineal.context.tree import Node
from lineal.oci.types import Layer

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


def loaded(image: SavedImage, layer: Layer) -> Files:
    """The image with one more layer, as the engine has it in a container: loaded, unpacked on disk and exported."""
    layers = [*image.layers, gzip.decompress(layer.path.read_bytes())]
    tag = f"lineal-assemble-test:{uuid.uuid4().hex}"
    diff_ids = [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    # An image of its own: while one test removes an image's last tag, another that loads the same one loses it too.
    config = {"architecture": "amd64", "os": "linux", "author": tag, "rootfs": rootfs}
    names = [f"{number}.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": names}]
    contents = [json.dumps(manifest).encode(), json.dumps(config).encode(), *layers]
    pairs = zip(["manifest.json", "config.json", *names], contents, strict=True)
    saved = archive(*[(name, "f", 0o644, 0, 0, content) for name, content in pairs])
    subprocess.run([DOCKER, "load", "--quiet"], input=saved, capture_output=True, check=True)
    try:
        return exported(tag)
    finally:
        subprocess.run([DOCKER, "rmi", "-f", tag], capture_output=True)


ENGINE_OWN = (
    ".dockerenv", "dev", "dev/console", "dev/pts", "dev/shm", "etc/hostname", "etc/hosts", "etc/mtab",
    "etc/resolv.conf", "proc", "sys",
)  # fmt: skip
"""What every container has of the engine."""


def exported(tag: str) -> Files:
    """The files of a container of the image, without what the engine puts into each."""
    name = f"lineal-assemble-test-{uuid.uuid4().hex}"
    subprocess.run([DOCKER, "create", "--name", name, tag, "/none"], capture_output=True, check=True)
    try:
        data = subprocess.run([DOCKER, "export", name], capture_output=True, check=True).stdout
    finally:
        subprocess.run([DOCKER, "rm", "-f", name], capture_output=True)
    files: Files = {}
    put_layer(files, data)
    return of_the_image(files)


def of_the_image(files: Files) -> Files:
    return {path: file for path, file in files.items() if path not in ENGINE_OWN}


class BuildError(Exception):
    """`docker build` refused."""


def docker_build(dockerfile: str, context: Path) -> SavedImage:
    """Build with BuildKit, save, and remove the image again."""
    tag = f"lineal-assemble-test:{uuid.uuid4().hex}"
    built = subprocess.run(
        # With a label, so that it is an image of its own, see `loaded`.
        [DOCKER, "build", "--progress=plain", "--network=none", "--label", tag, "-t", tag, "-f", "-", str(context)],
        input=dockerfile.encode(),
        capture_output=True,
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
    )
    if built.returncode:
        text = built.stderr.decode(errors="replace")[-2000:]
        # An engine that is away has refused nothing.
        raise (RuntimeError if "docker daemon" in text.lower() else BuildError)(text)
    try:
        saved = subprocess.run([DOCKER, "save", tag], capture_output=True, check=True).stdout
    finally:
        subprocess.run([DOCKER, "rmi", "-f", tag], capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
        manifest = json.loads(_member(tar, "manifest.json"))[0]
        return SavedImage([_member(tar, name) for name in manifest["Layers"]])


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
