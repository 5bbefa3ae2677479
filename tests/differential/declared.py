"""Files as YAML declares them: for archives, for base images, and for what a folder here cannot hold."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Declared = Mapping[str, Mapping[str, Any]]

_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}
_KEYS = {
    "text", "base64", "size", "tar", "compress", "executable", "mode", "uid", "gid", "link", "hardlink", "device",
    "fifo", "xattrs",
}  # fmt: skip


@dataclass(frozen=True)
class File:
    """One declared file, directory or link."""

    name: str
    type: bytes = tarfile.REGTYPE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    link: str = ""
    data: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = field(default_factory=dict)


def files(declared: Declared) -> list[File]:
    return [_file(name, given or {}) for name, given in declared.items()]


def archive(declared: Declared) -> bytes:
    """A tar of exactly these members, in their order."""
    buffer = io.BytesIO()
    members = {file.name: file for file in files(declared)}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in members.values():
            if file.type == tarfile.LNKTYPE and file.link in members:
                # A hard link has the mode and the owner of its file: they are the same one.
                of = members[file.link]
                file = replace(file, mode=of.mode, uid=of.uid, gid=of.gid)
            tar.addfile(_member(file), io.BytesIO(file.data))
    return buffer.getvalue()


def _member(file: File) -> tarfile.TarInfo:
    info = tarfile.TarInfo(file.name.removesuffix("/") or "/")
    info.type, info.mode, info.uid, info.gid, info.linkname = file.type, file.mode, file.uid, file.gid, file.link
    info.devmajor, info.devminor = file.device
    # A time that no default equals: an archive's times are kept.
    info.size, info.mtime = len(file.data), 1_000_000_000
    # Values of PAX headers are text: bytes go through undecoded.
    info.pax_headers = {
        f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape") for key, value in file.xattrs.items()
    }
    return info


def _file(name: str, given: Mapping[str, Any]) -> File:
    unknown = given.keys() - _KEYS
    assert not unknown, f"{name}: unknown keys {sorted(unknown)}; README.md has them all"
    kind, link, device = _kind(name, given)
    mode = given.get("mode", _mode(kind, given))
    assert kind == tarfile.SYMTYPE or isinstance(mode, str), f"{name}: write the mode as 0o755"
    return File(
        name=name,
        type=kind,
        mode=mode if isinstance(mode, int) else int(mode, 8),
        uid=given.get("uid", 0),
        gid=given.get("gid", 0),
        link=link,
        data=_data(given),
        device=device,
        xattrs={key: base64.b64decode(value) for key, value in given.get("xattrs", {}).items()},
    )


def _kind(name: str, given: Mapping[str, Any]) -> tuple[bytes, str, tuple[int, int]]:
    if "link" in given:
        return tarfile.SYMTYPE, given["link"], (0, 0)
    if "hardlink" in given:
        return tarfile.LNKTYPE, given["hardlink"], (0, 0)
    if "device" in given:
        letter, major, minor = given["device"].split()
        return {"c": tarfile.CHRTYPE, "b": tarfile.BLKTYPE}[letter], "", (int(major), int(minor))
    if "fifo" in given:
        return tarfile.FIFOTYPE, "", (0, 0)
    return (tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE), "", (0, 0)


def _mode(kind: bytes, given: Mapping[str, Any]) -> int | str:
    if kind == tarfile.SYMTYPE:
        return 0o777
    return "0o755" if kind == tarfile.DIRTYPE or given.get("executable") else "0o644"


def _data(given: Mapping[str, Any]) -> bytes:
    if "tar" in given:
        return _COMPRESS[given.get("compress", "")](archive(given["tar"]))
    if "base64" in given:
        return base64.b64decode(given["base64"])
    if "size" in given:
        size: int = given["size"]
        return (b"Lineal makes the same bytes each time.\n" * (size // 39 + 1))[:size]
    text: str = given.get("text", "")
    data = text.encode("utf-8", "surrogateescape")
    return _COMPRESS[given["compress"]](data) if "compress" in given else data
