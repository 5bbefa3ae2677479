"""`ADD` of local archives: which files are archives, and how their entries are unpacked, as an engine does it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from lineal.assemble.allowance import FILES, NAME, Allowance
from lineal.assemble.layer_builder import LayerBuilder, LayerEntry
from lineal.assemble.unpacked_layer import weight
from lineal.errors import BuildFailed
from lineal.tar.compression import open_archive
from lineal.tar.header import Malformed, Unsupported
from lineal.tar.reader import Entry, TarReader
from lineal.tar.spool import Spool


def is_archive(content: Iterator[bytes]) -> bool:
    """Whether a file is a tar (plain, gzip, bzip2, xz or zstd) with at least one entry; reads only its beginning."""
    try:
        return next(iter(TarReader(open_archive(content))), None) is not None
    except Unsupported:
        return True
    except Malformed:
        return False


def extract(
    content: Iterator[bytes],
    name: str,
    destination: LayerBuilder,
    below: str,
    spool: Spool,
    owner: tuple[int, int] | None = None,
) -> None:
    """Unpack into the directory `below` (resolved, existing): modes, times and, unless there is an `owner`, numeric
    owners are the archive's.

    Names are clamped to `below`, links in them are followed inside it. Contents go through `spool`.
    Raises `BuildFailed` for an archive that is broken or not supported."""
    allowance = Allowance(0, FILES)
    reader = TarReader(open_archive(_granted(content, allowance)))
    try:
        for entry in reader:
            allowance.take(NAME + len(entry.path) + len(entry.target) + weight(entry.xattrs))
            if owner is not None:
                entry.uid, entry.gid = owner
            _put(entry, reader, destination, below, spool)
    except Malformed as error:
        raise BuildFailed(f"The archive {name} cannot be unpacked: {error}.", id="LN-5018") from error


def _granted(chunks: Iterator[bytes], allowance: Allowance) -> Iterator[bytes]:
    for chunk in chunks:
        allowance.grant(len(chunk))
        yield chunk


def _put(entry: Entry, reader: TarReader, destination: LayerBuilder, below: str, spool: Spool) -> None:
    path = destination.resolve(entry.path, last=False, root=below)
    if path == below:
        return  # "./": the directory to unpack into is the user's
    destination.make_directories(path.rpartition("/")[0], 0o755, (0, 0))
    staged = LayerEntry(entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime, xattrs=entry.xattrs)
    if entry.kind == "hardlink":
        staged = _linked(entry, destination, below)
    elif entry.kind == "file":
        offset = spool.add(reader.content())
        staged.size = entry.size
        staged.content = partial(spool.read, offset, entry.size)
    elif entry.kind == "symlink":
        staged.target = entry.target
    elif entry.kind == "special":
        staged.flag, staged.device = entry.flag, entry.device
    if entry.kind == "directory":
        if not destination.is_directory(path):
            destination.remove(path)
        destination.directory(path, staged)
    else:
        destination.remove(path)
        destination.put(path, staged)


def _linked(entry: Entry, destination: LayerBuilder, below: str) -> LayerEntry:
    staged = destination.staged(destination.resolve(entry.target, last=False, root=below))
    if staged is None or staged.kind == "directory":
        raise Malformed(
            f"{entry.path} is a hard link to {entry.target}, which is not a file before it in the archive"
        )
    return staged
