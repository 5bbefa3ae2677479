"""The one layer of an image that a daemon sends as an OCI archive, looked through as Docker's layers are."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from lineal.engine.layer import LayerExclusions, LayerTar
from lineal.errors import Unreachable
from lineal.oci.types import Layer
from lineal.tar import raw
from lineal.tar.compression import ChunkStream, open_archive
from lineal.tar.header import DIRECTORY, END
from lineal.tar.layer import LayerWriter

_BLOB = b"blobs/sha256/"
_WHITEOUT = b".wh."
_MANIFEST = 4 << 20
_UNREADABLE = "The buildkitd sent an image in a form that is not understood"


class OciArchive:
    """Takes an archive's stream apart into files of `workspace`; use as a context manager, which removes them."""

    def __init__(self, workspace: Path, check: Callable[[], None]) -> None:
        self._folder = workspace
        self._check = check
        self._blobs: dict[str, Path] = {}
        self._index = b""

    def __enter__(self) -> OciArchive:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._blobs.values():
            path.unlink(missing_ok=True)

    def take(self, chunks: Iterator[bytes]) -> None:
        """Read the whole stream. Raises `Unreachable`."""
        for entry, body in raw.read(cast(BinaryIO, io.BufferedReader(ChunkStream(chunks), 1 << 18))):
            name = entry.name.removeprefix(_BLOB)
            if name != entry.name and len(name) == 64 and name.isalnum():
                path = self._folder / f"archive-{name.decode()}-{id(self):x}"
                self._blobs[f"sha256:{name.decode()}"] = path
                with path.open("wb") as file:
                    for chunk in body:
                        self._check()
                        file.write(chunk)
            elif entry.name == b"index.json":
                self._index = b"".join(body)

    def layer(
        self, secrets: tuple[bytes, ...], made: frozenset[bytes] = frozenset(), latest: int | None = None
    ) -> Layer:
        """The layer, written anew. Where there are two, the first holds nothing but the directories `made` (and those
        above) for the command of the second: both become one. No time is later than `latest`, in seconds since 1970.

        Raises `BuildFailed` when a secret is in it, and `Unreachable`."""
        *below, last = self._layers(0) or [""]
        if len(below) > 1:
            raise Unreachable(f"{_UNREADABLE}: it has {len(below) + 1} layers in place of one.", id="LN-5003")
        gone, directories = self._directories(below[0], last, made) if below else (frozenset(), b"")
        with LayerWriter(self._folder) as writer:
            tar = LayerTar(writer.write, LayerExclusions(secrets=secrets, dropped=gone), latest=latest)
            tar.copy(io.BytesIO(directories + END))
            if last:
                with self._open(last) as stream:
                    tar.copy(stream)
            tar.finish()
            self._check()
            return writer.finish()

    def _directories(self, below: str, last: str, made: frozenset[bytes]) -> tuple[frozenset[bytes], bytes]:
        """What was made and is gone again, and the entries of the first layer that the last one does not have."""
        with self._open(last) as stream:
            names = {entry.name for entry, _ in raw.read(stream)}
        gone = frozenset(path for path in made if _whiteout(path) in names)
        left = b""
        with self._open(below) as stream:
            for entry, _ in raw.read(stream):
                if entry.kind != DIRECTORY:
                    raise Unreachable(f"{_UNREADABLE}: {entry.name!r} is no directory.", id="LN-5003")
                above = {entry.name, *(entry.name[:end] for end, byte in enumerate(entry.name) if byte == ord("/"))}
                if entry.name and entry.name not in names and not above & gone:
                    left += entry.encode()
        return gone, left

    @contextmanager
    def _open(self, digest: str) -> Iterator[BinaryIO]:
        with self._blobs[digest].open("rb") as file:
            yield open_archive(iter(lambda: file.read(1 << 18), b""))

    def claim(self, number: int) -> Iterator[tuple[str, Path]]:
        """The layers of another image of the archive, with their digests; the files are the caller's. Raises
        `Unreachable`."""
        for digest in self._layers(number):
            yield digest, self._blobs.pop(digest)

    def _layers(self, number: int) -> list[str]:
        """The digests of the layers of one of the images."""
        try:
            found = json.loads(self._index)["manifests"]
            if len(found) == 1 and "manifests" in (index := self._json(found[0]["digest"])):
                found = index["manifests"]
            manifest = self._json(found[number]["digest"])
            digests = [str(layer["digest"]) for layer in manifest["layers"]]
        except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
            raise Unreachable(f"{_UNREADABLE}.", id="LN-5003") from error
        if any(digest not in self._blobs for digest in digests):
            raise Unreachable(f"{_UNREADABLE}: a layer is missing.", id="LN-5003")
        return digests

    def _json(self, digest: str) -> dict[str, Any]:
        path = self._blobs[digest]
        if path.stat().st_size > _MANIFEST:
            raise ValueError("it is too large")
        return cast(dict[str, Any], json.loads(path.read_bytes()))


def _whiteout(path: bytes) -> bytes:
    directory, separator, name = path.rpartition(b"/")
    return directory + separator + _WHITEOUT + name
