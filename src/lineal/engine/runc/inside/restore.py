"""A directory filled with what a kept cache begins with: `lineal.engine.frames` has the format."""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

from lineal.engine.frames import Frame, Node, frame_of, head_of
from lineal.engine.runc.inside import kernel
from lineal.engine.runc.inside.control import Control
from lineal.tar import zstd

_TOGETHER = 256 << 10
"""Bytes that are unpacked and in memory at a time."""


def restore(orders: dict[str, Any], control: Control) -> None:
    """Standard input is the stream; `directory` exists and is empty, and gets the mode, uid and gid of `root`.
    `inodes` becomes a file with the inodes of the directories in it.

    Answers `broken`: whether a frame is not what it was said to be."""
    os.chdir(orders["directory"])
    kernel.keep_memory()
    # What is loaded only now would be looked for in there.
    zstd.load()
    with open(orders["inodes"], "wb") as noted:
        os.chroot(".")
        try:
            marshal.dump(_fill(sys.stdin.buffer), noted)
        except zstd.Invalid:
            control.send(broken=True)
            return
    mode, uid, gid = orders["root"]
    os.chown("/", uid, gid)
    os.chmod("/", mode)
    control.send(broken=False)


def _fill(stream: BinaryIO) -> dict[bytes, int]:
    """The inodes of the directories. These are their maker's alone until all is in them, and links come last: none
    leads anywhere while files are made. Raises `zstd.Invalid`."""
    head = head_of(stream)
    for node in head.directories:
        os.mkdir(node[0], 0o700)
    for node in head.scattered:
        os.close(_made(node[0], 0o600))
    for _ in range(head.frames):
        _unpack(*frame_of(stream), head.scattered)
    for node in head.scattered:
        _set(node)
    for path, target in head.hardlinks:
        os.link(target, path)
    for node, text in head.symlinks:
        path, _, uid, gid, time = node
        os.symlink(text, path)
        os.chown(path, uid, gid, follow_symlinks=False)
        os.utime(path, ns=(time, time), follow_symlinks=False)
    for node in reversed(head.directories):
        _set(node)
    return {node[0]: os.lstat(node[0]).st_ino for node in head.directories}


def _unpack(frame: Frame, packed: bytes, scattered: Sequence[Node]) -> None:
    reader = _Reader(zstd.Frame(packed, frame.size), frame.size)
    for start, size, file, at in frame.parts:
        end = start + size
        content = (reader.read(one, min(_TOGETHER, end - one)) for one in range(start, end, _TOGETHER))
        if isinstance(file, int):
            _write_at(scattered[file][0], at, content)
        else:
            _write(file, content)


class _Reader:
    """A frame that is read from its beginning on, small files from what is unpacked at a time for several of them."""

    def __init__(self, frame: zstd.Frame, size: int) -> None:
        self._frame, self._size = frame, size
        self._start, self._data = 0, memoryview(b"")

    def read(self, start: int, size: int) -> memoryview:
        """At most `_TOGETHER` bytes. Raises `zstd.Invalid`."""
        inside = start - self._start
        if not 0 <= inside <= inside + size <= len(self._data):
            rest = self._data[inside:] if 0 <= inside <= len(self._data) else b""
            behind = start + len(rest)
            more = min(_TOGETHER - len(rest), self._size - behind)
            self._start, self._data = start, memoryview(b"".join((rest, self._frame.read(behind, more))))
            inside = 0
        return self._data[inside : inside + size]


def _made(path: bytes, mode: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)


def _write(node: Node, content: Iterable[memoryview]) -> None:
    path, mode, uid, gid, time = node
    file = _made(path, mode)
    try:
        _write_all(file, content)
        if uid or gid or mode & ~0o777:
            os.chown(file, uid, gid)
            os.chmod(file, mode)
        os.utime(file, ns=(time, time))
    finally:
        os.close(file)


def _write_at(path: bytes, at: int, content: Iterable[memoryview]) -> None:
    file = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.lseek(file, at, os.SEEK_SET)
        _write_all(file, content)
    finally:
        os.close(file)


def _write_all(file: int, content: Iterable[memoryview]) -> None:
    for piece in content:
        while piece:
            piece = piece[os.write(file, piece) :]


def _set(node: Node) -> None:
    path, mode, uid, gid, time = node
    os.chown(path, uid, gid)
    os.chmod(path, mode)
    os.utime(path, ns=(time, time))
