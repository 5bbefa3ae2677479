"""An image in a directory in the OCI Image Layout format, read without Lineal's code: files, config, layers."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import posixpath
import tarfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Entry:
    """What stands under a path; two paths with one `inode` are one file."""

    type: str
    mode: int
    uid: int
    gid: int
    link: str
    content: str
    device: tuple[int, int]
    xattrs: tuple[tuple[str, bytes], ...]
    inode: str = field(default="", compare=False)


@dataclass(frozen=True)
class Image:
    config: dict[str, Any]
    layers: list[bytes]
    """Plain tars from the lowest."""

    def files(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for layer in self.layers:
            put(found, layer)
        return found


def read(layout: Path, digest: str | None = None) -> Image:
    """The image of this digest, or the only one."""
    document = _json(layout, digest) if digest else json.loads((layout / "index.json").read_text())
    while "manifests" in document:
        document = _json(layout, document["manifests"][0]["digest"])
    config = _json(layout, document["config"]["digest"])
    layers = [_plain(layout / "blobs" / layer["digest"].replace(":", "/")) for layer in document["layers"] or []]
    digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    assert (config["rootfs"]["diff_ids"] or []) == digests, "the config's diff_ids are not those of the layers"
    return Image(config, layers)


def put(files: dict[str, Entry], layer: bytes) -> None:
    """Unpacks a layer onto an image as the image specification says: whiteouts are for lower layers, so they come
    first."""
    entries = members(layer)
    for path, _ in entries:
        parent, base = posixpath.split(path)
        if base == OPAQUE:
            _remove(files, parent, below_only=True)
        elif base.startswith(WHITEOUT):
            _remove(files, posixpath.join(parent, base[len(WHITEOUT) :]))
    for path, entry in entries:
        if posixpath.basename(path).startswith(WHITEOUT):
            continue
        if entry.type == "hardlink":
            # A broken one stays as it is, and differs from everything.
            entry = files.get(entry.link, entry)
        old = files.get(path)
        if old and not (old.type == entry.type == "directory"):
            _remove(files, path)
        files[path] = entry


def _remove(files: dict[str, Entry], path: str, below_only: bool = False) -> None:
    prefix = f"{path}/" if path else ""
    for name in [name for name in files if (name == path and not below_only) or name.startswith(prefix)]:
        del files[name]


@lru_cache(maxsize=64)
def members(layer: bytes) -> tuple[tuple[str, Entry], ...]:
    """The entries of a layer in order; the root is not one of the files."""
    found, digest = [], hashlib.sha256(layer).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        for number, member in enumerate(tar):
            path = normal(member.name)
            if path:
                found.append((path, _entry(tar, member, f"{digest}:{number}")))
    return tuple(found)


@lru_cache(maxsize=64)
def names(layer: bytes) -> tuple[str, ...]:
    """The names as written."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return tuple(member.name for member in tar)


def normal(name: str) -> str:
    return posixpath.normpath(f"/{name}").lstrip("/")


_TYPES = {
    tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "link",
    tarfile.LNKTYPE: "hardlink", tarfile.CHRTYPE: "char device", tarfile.BLKTYPE: "block device",
    tarfile.FIFOTYPE: "fifo",
}  # fmt: skip


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo, inode: str) -> Entry:
    kind = _TYPES[member.type]
    stream = tar.extractfile(member) if kind == "file" else None
    link = normal(member.linkname) if kind == "hardlink" else member.linkname if kind == "link" else ""
    xattrs = {
        key.removeprefix("SCHILY.xattr."): value.encode("utf-8", "surrogateescape")
        for key, value in member.pax_headers.items()
        if key.startswith("SCHILY.xattr.")
    }
    return Entry(
        type=kind,
        # A link has no mode of its own: Linux shows 0777, tars hold anything.
        mode=0o777 if kind == "link" else member.mode & 0o7777,
        uid=member.uid,
        gid=member.gid,
        link=link,
        content=_shown(stream.read()) if stream else "",
        device=(member.devmajor, member.devminor) if kind.endswith("device") else (0, 0),
        xattrs=tuple(sorted(xattrs.items())),
        inode=inode,
    )


def _shown(data: bytes) -> str:
    """Short contents as they are, so that a difference can be read; others by size and digest."""
    return repr(data) if len(data) <= 2000 else f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]}"


def _plain(blob: Path) -> bytes:
    data = blob.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def _json(layout: Path, digest: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((layout / "blobs" / digest.replace(":", "/")).read_bytes())
    return document
