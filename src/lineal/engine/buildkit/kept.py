"""Cache mounts that the run keeps by itself. A daemon gives no cache mount away, so each of these is an image that
the command may write to, and what it changed comes back as a layer, on which the next command begins."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from lineal.engine import SAME, CacheMount, Mount
from lineal.engine.buildkit.blobs import ROOT, directory_layer
from lineal.engine.layer import OPAQUE, WHITEOUT
from lineal.oci.types import OCI_LAYER, Layer
from lineal.tar import raw
from lineal.tar.compression import CHUNK, ChunkStream, open_archive
from lineal.tar.header import DIRECTORY, END, FILE, HARDLINK, padding
from lineal.tar.raw import Entry

_BELOW = ROOT + b"/"
_SIZE = slice(124, 136)
_WAIT = 0.2


class KeptTree:
    """What one cache holds: layers on the disk here, the first of which is what it began with."""

    def __init__(self, mount: CacheMount, workspace: Path, check: Callable[[], None]) -> None:
        self._mount, self._workspace = mount, workspace
        self._first: dict[bytes, Entry] = {}
        tar = mount.tar() if mount.tar else iter((END,))
        owner = (mount.mode, mount.uid, mount.gid)
        self.layers = [directory_layer(workspace, tar, owner, check, note=self._note)]

    def _note(self, entry: Entry) -> None:
        self._first[entry.name] = entry

    def changed(self, digest: str, path: Path) -> None:
        """Put the layer of a command on top: an uncompressed tar, which becomes this tree's."""
        own = self._workspace / f"cache-{id(self):x}-{len(self.layers)}.tar"
        path.rename(own)
        self.layers.append(Layer(own, digest, own.stat().st_size, digest, OCI_LAYER))

    def keep(self) -> None:
        """Give away what is in it."""
        kept = self._mount.kept
        if kept is not None and kept.keep is not None and self._mount.writable:
            kept.keep(cast(BinaryIO, io.BufferedReader(ChunkStream(self._tar()), CHUNK)))

    def close(self) -> None:
        for layer in self.layers:
            layer.path.unlink(missing_ok=True)

    def _tar(self) -> Iterator[bytes]:
        assert self._mount.kept is not None
        providers = self._providers()
        for number, layer in enumerate(self.layers):
            if not number and self._mount.kept.known:
                for path, entry in self._first.items():
                    if providers.get(path) == 0:
                        yield _same(entry) if entry.kind in (FILE, b"7") else entry.encode()
                continue
            for entry, body in _entries(layer.path):
                if providers.get(entry.name) == number and not _is_whiteout(entry.name):
                    yield entry.encode()
                    yield from body
                    yield padding(entry.size)
        yield END

    def _providers(self) -> dict[bytes, int]:
        """The number of the layer that each path is of."""
        found = dict.fromkeys(self._first, 0)
        for number, layer in enumerate(self.layers[1:], 1):
            gone: set[bytes] = set()
            emptied: set[bytes] = set()
            made: dict[bytes, bytes] = {}
            for entry, _ in _entries(layer.path):
                directory, _, base = entry.name.rpartition(b"/")
                if base == OPAQUE:
                    emptied.add(directory)
                elif base.startswith(WHITEOUT):
                    gone.add(_joined(directory, base.removeprefix(WHITEOUT)))
                else:
                    made[entry.name] = entry.kind
            covers = gone | emptied | {name for name, kind in made.items() if kind != DIRECTORY}
            stay = {
                path: own for path, own in found.items()
                if path not in gone and covers.isdisjoint(_above(path)) and b"" not in emptied
            }  # fmt: skip
            found = stay | dict.fromkeys(made, number)
        return found


class KeptCaches:
    """Those of one engine. Commands that share one take turns: each begins with what the one before has left."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._guard = threading.Lock()
        self._trees: dict[str, KeptTree] = {}
        self._locks: dict[str, threading.Lock] = {}

    @contextmanager
    def opened(self, mounts: Sequence[Mount], workspace: Path) -> Iterator[dict[str, KeptTree]]:
        """The trees of a command by their targets. They are kept when the block ends well."""
        caches = [mount for mount in mounts if isinstance(mount, CacheMount) and mount.kept]
        with ExitStack() as held:
            trees: dict[str, KeptTree] = {}
            locked: set[str] = set()
            # In one order by all, so that no two commands wait for each other.
            for mount in sorted(caches, key=lambda one: one.id):
                if mount.sharing == "private":
                    trees[mount.target] = tree = KeptTree(mount, workspace, self._check)
                    held.callback(tree.close)
                    continue
                if mount.id not in locked:
                    held.enter_context(self._locked(mount.id))
                    locked.add(mount.id)
                if mount.id not in self._trees:
                    self._trees[mount.id] = KeptTree(mount, workspace, self._check)
                trees[mount.target] = self._trees[mount.id]
            yield trees
            for tree in dict.fromkeys(trees.values()):
                tree.keep()

    @contextmanager
    def _locked(self, id: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(id, threading.Lock())
        while not lock.acquire(timeout=_WAIT):
            self._check()
        try:
            yield
        finally:
            lock.release()


def _entries(path: Path) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    """The entries of a layer that are below `ROOT`, with their names in there."""
    with path.open("rb") as file:
        for entry, body in raw.read(open_archive(iter(lambda: file.read(CHUNK), b""))):
            if entry.name.startswith(_BELOW):
                entry.name = entry.name.removeprefix(_BELOW)
                if entry.kind == HARDLINK:
                    entry.link = entry.link.removeprefix(_BELOW)
                yield entry, body


def _same(entry: Entry) -> bytes:
    """An entry without its content."""
    block = bytearray(entry.header)
    block[_SIZE] = b"%011o\0" % 0
    records = {key: value for key, value in entry.records.items() if key != b"size"}
    return Entry(entry.name, FILE, b"", 0, entry.mode, bytes(block), {**records, SAME: b"1"}).encode()


def _is_whiteout(name: bytes) -> bool:
    return name.rpartition(b"/")[2].startswith(WHITEOUT)


def _joined(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name


def _above(path: bytes) -> list[bytes]:
    """The directories above a path, without the root."""
    return [path[:end] for end, byte in enumerate(path) if byte == ord("/")]
