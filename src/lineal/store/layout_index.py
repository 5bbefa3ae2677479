"""The index.json of a layout: its tags, read once for each version of the file and replaced as a whole."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from lineal.errors import Unreachable
from lineal.oci.types import OCI_INDEX, Manifest
from lineal.oci.verify import is_digest

Entry = dict[str, Any]
"""A descriptor of the index, with the tag among its annotations."""
INDEX, TEMPORARY = "index.json", ".lineal-"
REF_NAME = "org.opencontainers.image.ref.name"
_Stamp = tuple[int, int, int]


class LayoutIndex:
    """Reading is safe from several threads; a writer holds the layout's lock. Raises `OSError`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._parsed: tuple[_Stamp, list[Entry], dict[str, str]] | None = None

    def read(self) -> tuple[list[Entry], dict[str, str]]:
        """The entries, and the digests by their tags. Raises `Unreachable` for a file that is no index.

        Parsed again only when the file is another one: each write makes a new file."""
        with self._file.open("rb") as file:
            status = os.fstat(file.fileno())
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if (parsed := self._parsed) and parsed[0] == stamp:
                return parsed[1:]
            data = file.read()
        entries = _parse(data)
        if entries is None:
            raise Unreachable(
                f"{self._file} is not the index of an OCI Image Layout.",
                id="LN-4023",
                remedy="Restore it, or choose another directory.",
            )
        tags = {name: entry["digest"] for entry in entries if (name := name_of(entry))}
        self._parsed = (stamp, entries, tags)
        return entries, tags

    def write(self, entries: list[Entry]) -> None:
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        with replacing(self._file) as file:
            file.write(json.dumps(document, separators=(",", ":")).encode())
            # Unlike a blob, which its digest checks, a half-written index after a power cut would lose every tag.
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file beside `target` that takes its place at the end, or vanishes when something goes wrong."""
    temporary = target.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def entry_of(manifest: Manifest, tag: str) -> Entry:
    return {**manifest.descriptor().to_json(), "annotations": {REF_NAME: tag}}


def name_of(entry: Entry) -> str | None:
    """The tag of an entry, None when it has none."""
    annotations = entry.get("annotations")
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def _parse(data: bytes) -> list[Entry] | None:
    try:
        index = json.loads(data)
    except (ValueError, RecursionError):
        return None
    entries = (index.get("manifests") or []) if isinstance(index, dict) else None
    return entries if isinstance(entries, list) and all(_valid(entry) for entry in entries) else None


def _valid(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("digest"), str) and is_digest(entry["digest"])
