"""The filesystem index of a stage: directories, links and accounts, so that a `COPY` reads none of its layers."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from posixpath import basename, dirname
from typing import Any, BinaryIO, NamedTuple

from lineal.assemble import accounts
from lineal.context.tree import Unresolvable, chown_number, clamp, owner_id, resolve_links
from lineal.errors import BuildFailed, Unreachable
from lineal.tar.header import Malformed
from lineal.tar.layer import OPAQUE, WHITEOUT
from lineal.tar.reader import MAX_DEPTH, Entry, TarReader
from lineal.text import printable

VERSION = 1
MAX_DECODED = 256 << 20
"""Bytes of an index that has been unpacked."""
_MAX_ACCOUNTS = 4 << 20
_PASSWD, _GROUP = "etc/passwd", "etc/group"


class AccountFileIsALink(LookupError):
    """Names of users or groups are in a file that the index does not have."""


class DirectoryEntry(NamedTuple):
    mode: int
    uid: int
    gid: int
    layer: int
    """The lowest layer (from 0) of the image in which this directory exists: nothing below it matters to a reader."""


_ROOT = DirectoryEntry(0o755, 0, 0, 0)


@dataclass(frozen=True)
class Filesystem:
    """Directories, symbolic links and accounts of an image. Paths have no leading slash; the root is `""`.

    Methods take paths with or without a leading slash."""

    directories: Mapping[str, DirectoryEntry] = field(default_factory=lambda: {"": _ROOT})
    symlinks: Mapping[str, str] = field(default_factory=dict)
    passwd: bytes = b""
    group: bytes = b""

    @staticmethod
    def empty() -> Filesystem:
        return Filesystem()

    def draft(self) -> FilesystemBuilder:
        return FilesystemBuilder(dict(self.directories), dict(self.symlinks), self.passwd, self.group)

    def apply(self, layer_number: int, tar: BinaryIO) -> Filesystem:
        """The image after one more layer, read from its uncompressed tar to the end. Raises `Unreachable`."""
        draft = self.draft()
        try:
            LayerApplier(draft, layer_number).read(TarReader(tar))
        except Malformed as error:
            raise Unreachable(f"Layer {layer_number} of the image cannot be read: {error}.", id="LN-5017") from error
        return draft.freeze()

    def resolve(self, path: str, *, last: bool = True) -> str:
        """The path with symbolic links followed inside the root, in the last component only if `last`.

        What does not exist is kept as it is. Raises `BuildFailed` when links go round in circles."""
        return resolve(self.symlinks, path, last=last)

    def is_directory(self, path: str) -> bool:
        return self.resolve(path) in self.directories

    def user(self, spec: str) -> tuple[int, int]:
        """uid and gid that a process gets from `USER spec`. Raises `LookupError` for an unknown name."""
        return accounts.runtime(spec, self.passwd, self.group)

    def owner(self, spec: str) -> tuple[int, int]:
        """uid and gid that BuildKit gives files for `--chown=spec`, and a `WORKDIR` under `USER spec`.

        A number alone is uid and gid; a name has the gid of its account; an unknown name is 0 (like BuildKit).
        Raises `LookupError` when a name is given and the image has no such file to look it up (like BuildKit), and
        `AccountFileIsALink` when it has one elsewhere: only what is at the path itself is known here."""
        for part, path in zip(spec.split(":"), (_PASSWD, _GROUP), strict=False):
            place = self.resolve(path)
            if place != path and part and chown_number(part) is None:
                raise AccountFileIsALink(
                    f"{part!r} cannot be looked up: /{path} leads to /{place} by a link; use a number."
                )
        return accounts.owner(spec, self.passwd, self.group)

    def encode(self, limit: int = MAX_DECODED) -> bytes:
        """Canonical: equal indexes give equal bytes (gzip with time 0 of JSON).

        Raises `BuildFailed` for an index of more than `limit` bytes, which `decode` would refuse."""
        size, encoded = self._encoded
        if size > limit:
            count = len(self.directories) + len(self.symlinks)
            raise BuildFailed(
                f"The image has too many directories and symbolic links ({count:,}): their index would have "
                f"more than the {limit >> 20} MiB that are the limit.",
                id="LN-5016",
                remedy="Pack some of them into archives, or remove them in the step that makes them.",
            )
        return encoded

    @cached_property
    def _encoded(self) -> tuple[int, bytes]:
        """The bytes of the text, and the text packed."""
        value = {
            "version": VERSION,
            "directories": [[path, *self.directories[path]] for path in sorted(self.directories, key=os.fsencode)],
            "symlinks": [[path, self.symlinks[path]] for path in sorted(self.symlinks, key=os.fsencode)],
            "passwd": os.fsdecode(self.passwd),
            "group": os.fsdecode(self.group),
        }
        text = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        return len(text), packer.compress(text) + packer.flush()

    @staticmethod
    def decode(data: bytes, limit: int = MAX_DECODED) -> Filesystem:
        """Raises `Unreachable` for what `encode` of this version did not make, or more than `limit` bytes of it."""
        try:
            unpacker = zlib.decompressobj(31)
            # One more byte than allowed: only with room left does zlib notice that the stream is at its end.
            text = unpacker.decompress(data, limit + 1)
            if not unpacker.eof or len(text) > limit:
                raise ValueError("it is cut short or too large")
            return _checked(json.loads(text))
        except (ValueError, TypeError, KeyError, RecursionError, zlib.error) as error:
            raise Unreachable(
                f"The filesystem index of a stage cannot be read: {error}.",
                id="LN-5017",
                remedy="Change the image's cache_version to build it again.",
            ) from error


def _checked(value: Any) -> Filesystem:
    if not isinstance(value, dict) or value.get("version") != VERSION:
        raise ValueError("it has another version")
    directories = {}
    for path, *numbers in value["directories"]:
        if not isinstance(path, str) or clamp(path) != path or len(numbers) != 4:
            raise ValueError("a directory is wrong")
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("a directory is wrong")
        mode, uid, gid, layer = numbers
        directories[path] = DirectoryEntry(mode, owner_id(uid), owner_id(gid), layer)
    symlinks = {}
    for path, target in value["symlinks"]:
        if not isinstance(path, str) or not isinstance(target, str) or not path or clamp(path) != path:
            raise ValueError("a symbolic link is wrong")
        symlinks[path] = target
    if any(path and dirname(path) not in directories for path in (*directories, *symlinks)) or "" not in directories:
        raise ValueError("a parent directory is missing")
    return Filesystem(directories, symlinks, os.fsencode(value["passwd"]), os.fsencode(value["group"]))


def resolve(symlinks: Mapping[str, str], path: str, *, last: bool = True, root: str = "") -> str:
    """`path` with links followed, seen from `root` (a resolved directory) as if it were the root of all."""

    def link_at(parts: list[str]) -> str | None:
        return symlinks.get("/".join([root, *parts] if root else parts))

    try:
        done = resolve_links(path, link_at, last=last, deepest=MAX_DEPTH)
    except Unresolvable as error:
        raise BuildFailed(f"/{printable(clamp(path))} {error}.", id="LN-5015") from None
    return "/".join([root, *done] if root and done else done) if done else root


@dataclass
class FilesystemBuilder:
    """A `Filesystem` being changed. Paths are resolved; a directory's parents are always there."""

    directories: dict[str, DirectoryEntry]
    symlinks: dict[str, str]
    passwd: bytes = b""
    group: bytes = b""

    def freeze(self) -> Filesystem:
        return Filesystem(self.directories, self.symlinks, self.passwd, self.group)

    def directory(self, path: str, mode: int, uid: int, gid: int, layer: int) -> None:
        self.parents(path, layer)
        old = self.directories.get(path)
        if old is None:
            self.remove(path)
        self.directories[path] = DirectoryEntry(mode, uid, gid, layer if old is None else old.layer)

    def symlink(self, path: str, target: str, layer: int) -> None:
        self.file(path, layer)
        self.symlinks[path] = target

    def file(self, path: str, layer: int) -> None:
        self.parents(path, layer)
        self.remove(path)

    def parents(self, path: str, layer: int) -> None:
        """Make missing parents as an engine does that meets an entry without them."""
        parent = dirname(path)
        if parent not in self.directories:
            self.directory(parent, 0o755, 0, 0, layer)

    def remove(self, path: str) -> None:
        self.symlinks.pop(path, None)
        if path in self.directories and path:
            self.clear(path, frozenset())
            del self.directories[path]
        self.account(path, b"")

    def clear(self, path: str, keep: frozenset[str] | set[str]) -> None:
        """Remove what is in a directory, except for what `keep` names."""
        prefix = f"{path}/" if path else ""
        for table in (self.directories, self.symlinks):
            for name in [name for name in table if name.startswith(prefix) and name != path and name not in keep]:
                del table[name]
        for name in (_PASSWD, _GROUP):
            if name.startswith(prefix) and name not in keep:
                self.account(name, b"")

    def account(self, path: str, data: bytes) -> None:
        if path == _PASSWD:
            self.passwd = data
        elif path == _GROUP:
            self.group = data


class LayerApplier:
    """One layer's entries put onto a draft, in their order, as an engine unpacks them."""

    def __init__(self, draft: FilesystemBuilder, layer: int) -> None:
        self._draft = draft
        self._layer = layer
        self._seen: set[str] = set()
        self._accounts: dict[str, bytes] = {}

    def read(self, reader: TarReader) -> None:
        for entry in reader:
            path = self._place(entry.path)
            name = basename(path)
            if name.startswith(WHITEOUT):
                self._whiteout(dirname(path), name)
                continue
            self._put(path, entry)
            if path.startswith((_PASSWD, _GROUP)):
                self._account(path, entry, reader)
            self._seen.add(path)

    def _place(self, path: str) -> str:
        if dirname(path) in self._draft.directories:
            return path
        return resolve(self._draft.symlinks, path, last=False)

    def _put(self, path: str, entry: Entry) -> None:
        if entry.kind == "directory":
            self._draft.directory(path, entry.mode, entry.uid, entry.gid, self._layer)
        elif entry.kind == "symlink":
            self._draft.symlink(path, entry.target, self._layer)
        elif not path:
            raise Malformed("it replaces the root directory by a file")
        else:
            target = self._draft.symlinks.get(self._place(entry.target)) if entry.kind == "hardlink" else None
            self._draft.file(path, self._layer)
            if target is not None:
                self._draft.symlinks[path] = target

    def _account(self, path: str, entry: Entry, reader: TarReader) -> None:
        data = b""
        if entry.kind == "file" and entry.size <= _MAX_ACCOUNTS:
            data = b"".join(reader.content())
        elif entry.kind == "hardlink":
            data = self._accounts.get(self._place(entry.target), b"")
        self._accounts[path] = data
        self._draft.account(path, data)

    def _whiteout(self, parent: str, name: str) -> None:
        if name == OPAQUE:
            self._draft.parents(f"{parent}/x" if parent else "x", self._layer)
            self._draft.clear(parent, self._ancestry())
            for path in self._seen:
                if path.startswith(f"{parent}/" if parent else "") and path in self._draft.directories and path:
                    self._draft.directories[path] = self._draft.directories[path]._replace(layer=self._layer)
            if parent:
                self._draft.directories[parent] = self._draft.directories[parent]._replace(layer=self._layer)
        elif not name.startswith(".wh..wh."):
            self._draft.remove(f"{parent}/{name[len(WHITEOUT) :]}" if parent else name[len(WHITEOUT) :])

    def _ancestry(self) -> set[str]:
        """The entries that this layer has written, with the directories on the way to them."""
        keep = set(self._seen)
        for path in self._seen:
            while (path := dirname(path)) and path not in keep:
                keep.add(path)
        return keep
