"""The filesystem index of a stage: directories, links and accounts, so that a `COPY` reads none of its layers."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from posixpath import dirname
from typing import Any, BinaryIO, NamedTuple

from lineal.assemble import accounts
from lineal.assemble.allowance import Allowance
from lineal.assemble.links import resolve
from lineal.assemble.unpacked_layer import MAX_NAMES, Inode, Inside, UnpackedLayer
from lineal.context.tree import chown_number, clamp, owner_id
from lineal.engine import Tree
from lineal.errors import BuildFailed, Unreachable
from lineal.oci.image import unreadable
from lineal.tar.header import Malformed
from lineal.tar.reader import Entry, TarReader

VERSION = 1
MAX_DECODED = MAX_NAMES
"""Bytes of an index that has been unpacked."""
_MIN_DECODED, _RATIO = 16 << 20, 64
"""Bytes that any index may have, and how often it may be larger than its packed form: real ones pack a tenth."""
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


_ROOT = _MADE = DirectoryEntry(0o755, 0, 0, 0)


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

    def apply(self, layer_number: int, tar: BinaryIO, allowance: Allowance | None = None) -> Filesystem:
        """The image after one more layer, read from its uncompressed tar to the end. `allowance` is for the layers of
        others. Raises `Unreachable`."""
        given = allowance or Allowance()

        def account(entry: Entry, reader: TarReader) -> bytes:
            if entry.size > _MAX_ACCOUNTS:
                return b""
            given.take(entry.size)
            return b"".join(reader.content())

        def is_known(path: str) -> bool:
            return path in self.directories or path in self.symlinks or path in (_PASSWD, _GROUP)

        layer: UnpackedLayer[bytes] = UnpackedLayer(_may_be_account, is_known, account, given)
        try:
            layer.read(tar)
        except Malformed as error:
            raise unreadable(layer_number, error) from error
        return self._below(layer, layer_number)

    def after(self, layer_number: int, tree: Tree) -> Filesystem:
        """The image after one more layer, of which only the outcome is known. A directory that was removed and made
        anew counts as the old one: a reader looks at more layers than it must, and finds the same.

        Raises `Unreachable` for a tree that no image has."""
        directories = {
            path: DirectoryEntry(*owner, self.directories[path].layer if path in self.directories else layer_number)
            for path, owner in tree.directories.items()
        }
        try:
            for path in (*directories, *tree.symlinks):
                if clamp(path) != path or (path and dirname(path) not in directories):
                    raise ValueError(f"{path!r} is in no directory")
            for entry in directories.values():
                owner_id(entry.uid), owner_id(entry.gid)
        except ValueError as error:
            raise Unreachable(f"Layer {layer_number} of the image cannot be read: {error}.", id="LN-5017") from error
        return Filesystem(directories, dict(tree.symlinks), tree.passwd, tree.group)

    def _below(self, layer: UnpackedLayer[bytes], number: int) -> Filesystem:
        """The image with a layer on top, as overlay shows it."""
        directories, symlinks = dict(self.directories), dict(self.symlinks)
        hides = Inside(layer.closed.__contains__)
        if layer.closed:
            directories = {path: entry for path, entry in directories.items() if not hides(path)}
            symlinks = {path: target for path, target in symlinks.items() if not hides(path)}
        for path, inode in layer.names.items():
            if inode is None or inode.is_directory:
                directories[path] = self._directory(path, inode, directories.get(path), number)
                symlinks.pop(path, None)
            elif inode.entry.kind == "symlink":
                symlinks[path] = inode.entry.target
        for path, target in layer.elsewhere.items():
            if target in self.symlinks and not hides(target):
                symlinks[path] = self.symlinks[target]
        passwd, group = (
            known if path not in layer.names and not hides(path) else _content(layer.names.get(path))
            for path, known in ((_PASSWD, self.passwd), (_GROUP, self.group))
        )
        return Filesystem(directories, symlinks, passwd, group)

    def _directory(
        self, path: str, inode: Inode[bytes] | None, shown: DirectoryEntry | None, number: int
    ) -> DirectoryEntry:
        """One of a layer: without an entry of its own it is like the one below it."""
        floor = number if shown is None else shown.layer
        if inode is None:
            return self.directories.get(path, _MADE)._replace(layer=floor)
        return DirectoryEntry(inode.entry.mode, inode.entry.uid, inode.entry.gid, floor)

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
        limit = min(limit, _MIN_DECODED + _RATIO * len(data))
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


def _may_be_account(path: str) -> bool:
    """Also what an account file is often a hard link to, such as `/etc/passwd-`."""
    return path.startswith((_PASSWD, _GROUP))


def _content(inode: Inode[bytes] | None) -> bytes:
    return (inode.content if inode else b"") or b""


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
        missing = []
        while (path := dirname(path)) not in self.directories:
            missing.append(path)
        for path in reversed(missing):
            self.remove(path)
            self.directories[path] = DirectoryEntry(*_MADE[:3], layer)

    def remove(self, path: str) -> None:
        self.symlinks.pop(path, None)
        self.account(path, b"")
        if path and self.directories.pop(path, None) is not None:
            prefix = f"{path}/"
            for table in (self.directories, self.symlinks):
                for name in [name for name in table if name.startswith(prefix)]:
                    del table[name]
            for name in (_PASSWD, _GROUP):
                if name.startswith(prefix):
                    self.account(name, b"")

    def account(self, path: str, data: bytes) -> None:
        if path == _PASSWD:
            self.passwd = data
        elif path == _GROUP:
            self.group = data
