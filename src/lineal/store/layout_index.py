"""The tags of a layout: its index.json, and the tags that were written since in a file beside it.

The format keeps all tags in one file, which is replaced as a whole. In a layout of thousands of tags that would cost
more for each tag than all the rest of a stage. So new tags are appended to a file whose name stands in index.json,
and come into index.json when they are an eighth of it, or when the run ends (`fold`)."""

from __future__ import annotations

import json
import os
import re
import uuid
from bisect import bisect_left, insort
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import IO, Any

from lineal.errors import Unreachable
from lineal.oci.types import OCI_INDEX, Manifest
from lineal.oci.verify import is_digest

Entry = dict[str, Any]
"""A descriptor of the index, with the tag among its annotations."""
INDEX, TEMPORARY = "index.json", ".lineal-"
REF_NAME = "org.opencontainers.image.ref.name"
_ADDED = f"{TEMPORARY}tags-"
_ID = "dev.lineal.tags"
"""The annotation of index.json with the end of the name of the file of added tags."""
_FEW, _SHARE = 256, 8
"""An index of so few tags is written for each of them; a larger one when this part of its tags is new."""
_Stamp = tuple[int, int, int]


class LayoutIndex:
    """Reading is safe from several threads and beside writers; a writer holds the layout's lock. Raises `OSError`,
    and `Unreachable` for a file that is no index."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._guard = RLock()
        self._stamp: _Stamp | None = None
        self._id = ""
        self._end = 0
        """How far the added tags have been read, in bytes ..."""
        self._count = 0
        """... and how many they are."""
        self._untagged: list[Entry] = []
        self._tagged: dict[str, Entry] = {}
        self._names: list[str] = []
        """The tags, sorted."""

    # --- reading ------------------------------------------------------------------------------------------------

    def digest(self, tag: str) -> str | None:
        with self._guard:
            self._read()
            entry = self._tagged.get(tag)
            return None if entry is None else str(entry["digest"])

    def tags(self, prefix: str) -> list[str]:
        """The tags that begin with it, sorted."""
        with self._guard:
            self._read()
            start = end = bisect_left(self._names, prefix)
            while end < len(self._names) and self._names[end].startswith(prefix):
                end += 1
            return self._names[start:end]

    def digests(self) -> set[str]:
        """Those that an entry names, with a tag or without."""
        with self._guard:
            self._read()
            return {str(entry["digest"]) for entry in self._entries()}

    def _entries(self) -> list[Entry]:
        return [*self._untagged, *self._tagged.values()]

    def _read(self) -> None:
        """Bring in what was written since the last time. Each version of index.json is a new file, parsed once."""
        while True:
            with self._file.open("rb") as file:
                status = os.fstat(file.fileno())
                stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
                if stamp != self._stamp:
                    self._parse(file.read())
                    self._stamp = stamp
            if not self._id or self._read_added() or _stamp(self._file) == stamp:
                return
            # Its added tags are in the next index.json already.

    def _parse(self, data: bytes) -> None:
        found = _document(data)
        if found is None:
            raise self._refusal(self._file)
        entries, self._id = found
        self._end = self._count = 0
        self._untagged = [entry for entry in entries if name_of(entry) is None]
        self._tagged = {name: entry for entry in entries if (name := name_of(entry)) is not None}
        self._names = sorted(self._tagged)

    def _read_added(self) -> bool:
        """Whether there is a file of added tags; its tags count."""
        try:
            file = self._added.open("rb")
        except FileNotFoundError:
            return False
        with file:
            file.seek(self._end)
            for line in file:
                # The last line of a process that was killed has no end, and never counted.
                if line.endswith(b"\n"):
                    self._take(line)
                    self._end += len(line)
                    self._count += 1
        return True

    def _take(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        name = name_of(entry) if _valid(entry) else None
        if name is None:
            raise self._refusal(self._added)
        if name not in self._tagged:
            insort(self._names, name)
        self._tagged[name] = entry

    @property
    def _added(self) -> Path:
        return self._file.parent / f"{_ADDED}{self._id}"

    def _refusal(self, file: Path) -> Unreachable:
        return Unreachable(
            f"{file} is not the index of an OCI Image Layout.",
            id="LN-4023",
            remedy="Restore it, or choose another directory.",
        )

    # --- writing ------------------------------------------------------------------------------------------------

    def create(self) -> None:
        self._write([])

    def point(self, manifest: Manifest, tag: str) -> None:
        """Point a tag at a manifest."""
        entry = {**manifest.descriptor().to_json(), "annotations": {REF_NAME: tag}}
        with self._guard:
            self._read()
            small = len(self._tagged) < _FEW or self._count * _SHARE >= len(self._tagged)
            if self._id and not small and self._append(entry):
                return
            self._write([*self._untagged, *({**self._tagged, tag: entry}).values()])

    def remove(self, digests: Collection[str]) -> None:
        """Remove every entry of these digests."""
        with self._guard:
            self._read()
            self._write([entry for entry in self._entries() if entry["digest"] not in digests])

    def fold(self) -> None:
        """Have all tags in index.json, where other tools look for them."""
        with self._guard:
            self._read()
            if self._count:
                self._write(self._entries())

    def _append(self, entry: Entry) -> bool:
        """False for another user's file, and for one that lost what was read of it."""
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        try:
            with self._added.open("ab") as file:
                if file.tell() < self._end:
                    return False
                file.truncate(self._end)
                _kept(file, line)
        except PermissionError:
            return False
        return True

    def _write(self, entries: list[Entry]) -> None:
        name = uuid.uuid4().hex
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, "annotations": {_ID: name}}
        with replacing(self._file) as file:
            _kept(file, json.dumps(document, separators=(",", ":")).encode())
        for old in self._file.parent.glob(f"{_ADDED}*"):
            with suppress(OSError):
                old.unlink()


def _kept(file: IO[bytes], data: bytes) -> None:
    """Unlike a blob, which its digest checks, tags that are half written after a power cut would be lost."""
    file.write(data)
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


def name_of(entry: Entry) -> str | None:
    """The tag of an entry, None when it has none."""
    annotations = entry.get("annotations")
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def _document(data: bytes) -> tuple[list[Entry], str] | None:
    """The entries, and the end of the name of the file of added tags; empty for an index that others wrote."""
    try:
        index = json.loads(data)
    except (ValueError, RecursionError):
        return None
    entries = (index.get("manifests") or []) if isinstance(index, dict) else None
    if not isinstance(entries, list) or not all(_valid(entry) for entry in entries):
        return None
    annotations = index.get("annotations")
    name = annotations.get(_ID) if isinstance(annotations, dict) else None
    return entries, name if isinstance(name, str) and re.fullmatch(r"[0-9a-f]{32}", name) else ""


def _valid(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("digest"), str) and is_digest(entry["digest"])


def _stamp(file: Path) -> _Stamp:
    status = file.stat()
    return (status.st_mtime_ns, status.st_size, status.st_ino)
