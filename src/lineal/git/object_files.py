"""Objects in the files that git keeps them in, loose or packed, read with dulwich."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from threading import Lock

from dulwich.object_format import SHA1, SHA256, ObjectFormat
from dulwich.objects import RawObjectID, ShaFile, hex_to_filename, object_header
from dulwich.pack import DELTA_TYPES, Pack, PackData, UnpackedObject, load_pack_index, take_msb_bytes_at

_LARGEST = 16 << 20
"""Bytes of an object that is held in memory. git streams larger blobs."""
_CACHE = 8 << 20
"""Bytes of objects that all packs together keep for the deltas that change them."""
_MAPPED = 32 << 20
"""Bytes of objects after which the pages of their pack are given back: a container's memory counts what is mapped."""
_MOST_PACKS = 50
"""Packs that are kept open, the largest ones. From this number on `git gc --auto` makes one of them."""
_MOST_DIRECTORIES = 20
"""Object directories that are looked at, alternates included."""


class ObjectFiles:
    """The object directories of one repository. Several threads may read at once.

    Whatever dulwich raises or reads wrongly counts as an object that it cannot read: the caller asks git then. An
    object with the right id is the right object, so nothing that dulwich answers needs to be trusted."""

    def __init__(
        self,
        directories: Iterable[Path],
        object_format: str,
        *,
        largest: int = _LARGEST,
        most_packs: int = _MOST_PACKS,
    ) -> None:
        """`largest` is in bytes."""
        self._format = SHA256 if object_format == "sha256" else SHA1
        self._directories = _with_alternates(directories)
        self._largest, self._most_packs = largest, most_packs
        self._guard = Lock()
        self._opened: list[Pack] | None = None

    def read(self, oid: str) -> bytes | None:
        """The content of an object, None when it is too large or dulwich cannot read it."""
        if len(oid) != self._format.hex_length:
            return None
        try:
            kind, content = self._packed(RawObjectID(bytes.fromhex(oid))) or self._loose(oid)
        except Exception:  # noqa: BLE001 (dulwich raises what struct, zlib, mmap and its assertions raise)
            return None
        found = self._format.new_hash()
        found.update(object_header(kind, len(content)))
        found.update(content)
        return content if found.hexdigest() == oid else None

    def has(self, oid: str) -> bool:
        """Whether a file has the object. False also where dulwich cannot read the file."""
        with suppress(Exception):
            raw = RawObjectID(bytes.fromhex(oid))
            return any(raw in pack for pack in self._packs) or any(
                Path(hex_to_filename(str(directory), oid)).exists() for directory in self._directories
            )
        return False

    @cached_property
    def promised(self) -> bool:
        """Whether a pack is of a partial clone: git marks it with a file beside it."""
        return any(True for directory in self._directories for _ in directory.glob("pack/*.promisor"))

    def close(self) -> None:
        with self._guard:
            _close(self._opened or [])
            self._opened = []

    def _packed(self, oid: RawObjectID) -> tuple[int, bytes] | None:
        for pack in self._packs:
            if oid in pack:
                return pack.get_raw(oid)
        return None

    def _loose(self, oid: str) -> tuple[int, bytes]:
        for directory in self._directories:
            path = hex_to_filename(str(directory), oid)
            with suppress(FileNotFoundError):
                if Path(path).stat().st_size > self._largest:
                    break
                found = ShaFile.from_path(path, object_format=self._format, max_size=self._largest)
                return found.type_num, found.as_raw_string()
        raise KeyError(oid)

    @property
    def _packs(self) -> list[Pack]:
        with self._guard:
            if self._opened is None:
                self._opened = list(self._open())
                # dulwich complains of a pack that is still open when the interpreter ends.
                weakref.finalize(self, _close, self._opened)
            return self._opened

    def _open(self) -> Iterator[Pack]:
        """The packs that dulwich can read, the largest first."""
        places = [place for directory in self._directories for place in directory.glob("pack/*.pack")]
        places = sorted(places, key=_size, reverse=True)[: self._most_packs]
        for place in places:
            with ExitStack() as stack, suppress(Exception):
                index = load_pack_index(place.with_suffix(".idx"), self._format)
                stack.callback(index.close)
                data = _BoundedPack(place, self._format, self._largest, _CACHE // len(places))
                stack.callback(data.close)
                pack = Pack.from_objects(data, index)
                stack.pop_all()
                yield pack


class _BoundedPack(PackData):
    """A pack whose objects are refused before they fill the memory."""

    def __init__(self, path: Path, object_format: ObjectFormat, largest: int, cache: int) -> None:
        """`largest` and `cache` are in bytes."""
        super().__init__(path, object_format, delta_base_cache_limit=cache)
        self._largest = largest
        self._touched = 0
        """Bytes of objects that were read since pages were given back, about: threads may count at once."""

    def get_unpacked_object_at(self, offset: int, *, include_comp: bool = False) -> UnpackedObject:
        """Raises `MemoryError` for a large object, a large delta, or a delta that makes a large object."""
        first, *more = take_msb_bytes_at(self._buffer(), offset)[0]
        self._check(first & 15 | _number(more) << 4)
        found = super().get_unpacked_object_at(offset, include_comp=include_comp)
        if found.pack_type_num in DELTA_TYPES:
            delta = b"".join(found.decomp_chunks)
            _, start, _ = take_msb_bytes_at(delta, 0)
            self._check(_number(take_msb_bytes_at(delta, start)[0]))
        self._touch(found.decomp_len or 0)
        return found

    def _check(self, size: int) -> None:
        if size > self._largest:
            raise MemoryError(f"an object of {size} bytes")

    def _touch(self, size: int) -> None:
        self._touched += size
        pages = self._buffer()
        if self._touched > _MAPPED and isinstance(pages, mmap.mmap):
            self._touched = 0
            pages.madvise(mmap.MADV_DONTNEED)


def _number(bits: Iterable[int]) -> int:
    """A number in groups of seven bits, the lowest first."""
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(bits))


def _with_alternates(directories: Iterable[Path]) -> list[Path]:
    """The directories, and those that their files `info/alternates` name. A quoted line is left to git."""
    found = list(dict.fromkeys(directories))
    for directory in found:
        with suppress(OSError, ValueError):
            for line in (directory / "info/alternates").read_bytes().split(b"\n"):
                place = directory / os.fsdecode(line)
                if line and not line.startswith((b"#", b'"')) and place not in found:
                    found.append(place)
        if len(found) > _MOST_DIRECTORIES:
            break
    return found[:_MOST_DIRECTORIES]


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _close(packs: list[Pack]) -> None:
    while packs:
        packs.pop().close()
