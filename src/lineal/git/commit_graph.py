"""The commit-graph of git: the parents and trees of all commits in one file, where a clone has one.

A search in 200,000 commits takes 0.2 s in place of 1.2 s with `git log`. `dulwich.commit_graph` makes an object of
each commit first: a million commits take 4.4 s and 730 MB."""

from __future__ import annotations

import mmap
import struct
import sys
from array import array
from collections.abc import Collection, Iterable
from itertools import pairwise
from pathlib import Path

_HEADER = struct.Struct(">4sBBBB")
_CHUNK = struct.Struct(">4sQ")
_NO_PARENT, _MORE_PARENTS = 0x70000000, 0x80000000
_COUNT = 0x7FFFFFFF


class CommitGraph:
    """One `objects/info/commit-graph` file (gitformat-commit-graph).

    The file identifies a commit by its position. A commit that is in the file has all its ancestors there. Raises
    `ValueError` for a file of another version, in layers, or damaged."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        chunks, id_size = self._chunks()
        ids, data = chunks[b"OIDL"], chunks[b"CDAT"]
        self._ids, self._size, self.count = ids, id_size, len(ids) // id_size
        row = id_size + 16
        if len(data) != self.count * row or len(ids) != self.count * id_size or len(chunks[b"OIDF"]) != 1024:
            raise ValueError("chunks of a wrong size")
        self._fanout = _numbers(chunks[b"OIDF"])
        self._data_rows = struct.Struct(f"{id_size}s16x"), data
        words = data.cast("I")
        width = row // 4
        self._first, self._second = _numbers(words[width - 4 :: width]), _numbers(words[width - 3 :: width])
        # The upper 30 bits hold the level, the lower two belong to the date.
        self._levels = _numbers(words[width - 2 :: width])
        self._edges = _numbers(chunks.get(b"EDGE", data[:0]))
        if self._fanout[255] != self.count or min(self._levels, default=4) < 4:
            raise ValueError("a commit-graph without generation numbers")

    def _chunks(self) -> tuple[dict[bytes, memoryview], int]:
        """The chunks of the file by name, and the size of an id in bytes."""
        data = self._data
        signature, version, hashing, chunks, bases = _HEADER.unpack_from(data)
        if (signature, version, bases) != (b"CGPH", 1, 0) or hashing not in (1, 2):
            raise ValueError("a commit-graph of another kind")
        rows = [_CHUNK.unpack_from(data, _HEADER.size + number * _CHUNK.size) for number in range(chunks + 1)]
        found = {name: data[start:end] for (name, start), (_, end) in pairwise(rows)}
        if not found.keys() >= {b"OIDF", b"OIDL", b"CDAT"}:
            raise ValueError("a commit-graph that lacks chunks")
        return found, 20 if hashing == 1 else 32

    def position(self, commit: str) -> int | None:
        """The position of a commit, None when the file does not have it."""
        oid = _bytes(commit, self._size)
        if oid is None:
            return None
        low, high = self._fanout[oid[0] - 1] if oid[0] else 0, self._fanout[oid[0]]
        while low < high:
            middle = (low + high) // 2
            found = self._id(middle)
            if found == oid:
                return middle
            low, high = (middle + 1, high) if found < oid else (low, middle)
        return None

    def commit(self, position: int) -> str:
        return self._id(position).hex()

    def level(self, position: int) -> int:
        """The generation number: higher than those of all the commit's parents."""
        return self._levels[position] >> 2

    def with_trees(self, trees: Collection[str]) -> list[tuple[str, int]]:
        """The commits that have one of the trees, each with that tree."""
        wanted = {_bytes(tree, self._size) for tree in trees}
        rows, data = self._data_rows
        return [(tree.hex(), at) for at, (tree,) in enumerate(rows.iter_unpack(data)) if tree in wanted]

    def reached(self, starts: Iterable[int], lowest: int) -> bytearray:
        """A byte for each position: 1 for the starts and their ancestors, down to the level `lowest`."""
        seen = bytearray(self.count)
        first, second, levels = self._first, self._second, self._levels
        stack, end = list(starts), lowest + 1 << 2
        while stack:
            at = stack.pop()
            while at != _NO_PARENT and not seen[at]:
                seen[at] = 1
                if levels[at] < end:
                    break
                other = second[at]
                if other != _NO_PARENT:
                    stack += self._more(other & _COUNT) if other & _MORE_PARENTS else [other]
                at = first[at]
        return seen

    def _more(self, edge: int) -> list[int]:
        """The parents of an octopus merge from the second one on."""
        found = []
        while True:
            parent = self._edges[edge]
            found.append(parent & _COUNT)
            if parent & _MORE_PARENTS:
                return found
            edge += 1

    def _id(self, position: int) -> bytes:
        return bytes(self._ids[position * self._size : (position + 1) * self._size])


def _bytes(text: str, size: int) -> bytes | None:
    """An id as git stores it, None for a text that is no id: ids come from records in a registry."""
    try:
        oid = bytes.fromhex(text)
    except ValueError:
        return None
    return oid if len(oid) == size and oid.hex() == text else None


def _numbers(words: memoryview) -> array[int]:
    """Big-endian numbers of 32 bits."""
    numbers = array("I")
    numbers.frombytes(words.tobytes())
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
