"""Chart archives: read with limits, and written so that equal files give equal bytes on every machine."""

from __future__ import annotations

import io
import os
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from lineal.errors import DeployFailed
from lineal.tar.layer import GZIP_HEADER
from lineal.tar.writer import MTIME
from lineal.text import quoted

MOST = 64 << 20
"""Bytes that a chart may have, unpacked; Helm itself takes no more than 100 MiB."""
_FILES = 10_000
"""Entries that an archive may have, directories included."""
_LONGEST, _LONGEST_NAME = 1024, 255
"""Bytes that a path may have, and one name in it."""
_BLOCK = 0xFFFF


def pack(name: str, files: Mapping[str, bytes]) -> bytes:
    """A `.tgz` of `files` below a directory `name`. `Chart.yaml` comes first, as Helm wants it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(files, key=lambda path: (path != "Chart.yaml", path)):
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size, entry.mtime, entry.mode = len(files[path]), MTIME, 0o644
            tar.addfile(entry, io.BytesIO(files[path]))
    return _gzip(made.getvalue())


def _gzip(data: bytes) -> bytes:
    """The data as gzip, uncompressed: two versions of a compressor would give one chart two digests."""
    blocks = [data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK)] or [b""]
    parts = [GZIP_HEADER]
    for number, block in enumerate(blocks, 1):
        size = len(block).to_bytes(2, "little")
        parts += [bytes([number == len(blocks)]), size, bytes(byte ^ 0xFF for byte in size), block]
    ends = (zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return b"".join([*parts, *(number.to_bytes(4, "little") for number in ends)])


def unpack(data: bytes, where: str) -> tuple[str, dict[str, bytes]]:
    """The chart's directory and its files by their path in it. `where` names it in an error.

    The archive is read in memory: none of its names becomes a path on a disk. Raises `DeployFailed`."""
    found: dict[str, bytes] = {}
    names: set[str] = set()
    left = MOST
    try:
        unzip = zlib.decompressobj(31)
        plain = unzip.decompress(data, MOST)
        if not unzip.eof:
            raise _strange(where, f"it is cut short, or larger than {MOST >> 20} MiB")
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as tar:
            for number, entry in enumerate(tar):
                if number == _FILES:
                    raise _strange(where, f"it has more than {_FILES} files")
                if entry.isdir():
                    continue
                path = _path(entry, where)
                left -= entry.size
                if left < 0:
                    raise _strange(where, f"it is larger than {MOST >> 20} MiB")
                content = tar.extractfile(entry)
                names.add(path.parts[0])
                found["/".join(path.parts[1:])] = content.read() if content else b""
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, RecursionError):
        raise _strange(where, "it cannot be unpacked") from None
    if len(names) != 1 or "Chart.yaml" not in found:
        raise _strange(where, "it has no Chart.yaml")
    twice = next((str(above) for path in found for above in PurePosixPath(path).parents if str(above) in found), None)
    if twice is not None:
        raise _strange(where, f"{quoted(twice)} is a file and a directory in it")
    return names.pop(), found


def _path(entry: tarfile.TarInfo, where: str) -> PurePosixPath:
    """The path of an entry. Raises `DeployFailed` unless it is a plain file that any file system takes. A sparse file
    is refused: its few bytes stand for as many as they claim."""
    path = PurePosixPath(entry.name)
    plain = entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not entry.issparse() and entry.size >= 0
    inside = not path.is_absolute() and ".." not in path.parts and len(path.parts) >= 2 and "\0" not in entry.name
    if not plain or not inside:
        raise _strange(where, f"it has an entry {quoted(entry.name)} that is no plain file inside it")
    if len(os.fsencode(path)) > _LONGEST or any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        raise _strange(where, f"it has an entry with too long a name, {quoted(entry.name)}")
    return path


def _strange(where: str, why: str) -> DeployFailed:
    return DeployFailed(
        f"{where} is no Helm chart: {why}.", id="LN-6011", remedy="Check the reference, and publish it again."
    )
