"""An image's layers on top of each other, as the kernel's overlay shows them: read once each, from the top down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from lineal.assemble.allowance import Allowance
from lineal.assemble.selection import Selection
from lineal.assemble.unpacked_layer import Inode, Inside, UnpackedLayer
from lineal.errors import Unreachable
from lineal.tar.compression import open_archive
from lineal.tar.header import Malformed
from lineal.tar.reader import Entry, TarReader
from lineal.tar.spool import Spool
from lineal.text import printable

LayerSource = Callable[[], Iterator[bytes]]
"""Opens one layer: its bytes as they are stored, in chunks."""
Found = dict[str, Inode[int]]
"""What is at a path; the content of a file is its offset in the spool. Hard links are one object."""
_MAX_LINKS = 2
"""How often a hard link may lead on to a lower layer. An engine that has overlay does not unpack even one such."""


class _View:
    """What the layers read so far show."""

    def __init__(self) -> None:
        self.found: Found = {}
        self._bare: set[str] = set()
        """Directories without an entry so far: only a directory's can still be found."""
        self._closed: set[str] = set()
        self._is_hidden = Inside(self._closed.__contains__)

    def settles(self, path: str, *, directory: bool = False) -> bool:
        """Whether no file, or no directory, that a lower layer has at this path is to be seen."""
        return path in self.found or (path in self._bare and not directory) or self._is_hidden(path)

    def add(self, shown: Found, layer: UnpackedLayer[int]) -> None:
        self.found |= shown
        self._bare |= {path for path, inode in layer.names.items() if inode is None}
        self._closed |= layer.closed
        self._is_hidden = Inside(self._closed.__contains__)


class LayerStack:
    def __init__(self, layers: Sequence[LayerSource], spool: Spool, allowance: Allowance) -> None:
        self._layers = layers
        self._allowance = allowance
        self._spool = spool

    def read(self, wanted: Selection) -> Found:
        """Everything that is wanted, but for directories that no layer has an entry of. Raises `Unreachable`."""
        return self._read(wanted, len(self._layers) - 1, 0)

    def _read(self, wanted: Selection, top: int, depth: int) -> Found:
        view = _View()
        for number in range(top, -1, -1):
            if wanted.needs(number, view.settles):
                shown, layer = self._unpacked(number, wanted, view)
                self._complete(shown, number, depth)
                view.add(shown, layer)
        return view.found

    def _unpacked(self, number: int, wanted: Selection, above: _View) -> tuple[Found, UnpackedLayer[int]]:
        """What one layer shows of what is wanted, below those `above`; and the layer."""

        def is_shown(path: str, *, directory: bool = False) -> bool:
            return wanted.covers(path) and not above.settles(path, directory=directory)

        layer = UnpackedLayer(is_shown, wanted.touches, self._store, self._allowance)
        try:
            layer.read(open_archive(self._layers[number]()))
        except Malformed as error:
            raise Unreachable(f"Layer {number} of an image cannot be read: {error}.", id="LN-5017") from error
        names = ((path, inode) for path, inode in layer.names.items() if inode is not None)
        return {path: inode for path, inode in names if is_shown(path, directory=inode.is_directory)}, layer

    def _store(self, entry: Entry, reader: TarReader) -> int:
        del entry
        return self._spool.add(reader.content())

    def _complete(self, shown: Found, number: int, depth: int) -> None:
        """Find the files that hard links lead to which are not wanted themselves: in the same layer, read once more
        for them alone, or else in those below."""
        links = {path: inode.entry.target for path, inode in shown.items() if inode.entry.kind == "hardlink"}
        if not links:
            return
        again, _ = self._unpacked(number, Selection([*links, *links.values()]), _View())
        shown |= {path: again[path] for path in links}
        down = {path: target for path, target in links.items() if again[path].entry.kind == "hardlink"}
        if not down:
            return
        deeper = number > 0 and depth < _MAX_LINKS
        below = self._read(Selection(down.values()), number - 1, depth + 1) if deeper else {}
        for path, target in down.items():
            there, inode = below.get(target), shown[path]
            if there is None or there.is_directory:
                raise Unreachable(
                    f"/{printable(path)} in layer {number} of an image is a hard link to nothing.", id="LN-5017"
                )
            own = inode.entry
            inode.entry = replace(there.entry, mode=own.mode, uid=own.uid, gid=own.gid, mtime=own.mtime)
            inode.content = there.content
