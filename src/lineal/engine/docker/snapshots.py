"""Where containerd keeps a container's files, for an engine with its image store: the engine's API does not tell.

Each layer is a directory with a number for a name. The numbers stand in a database of the snapshotter, with the
container's id, which no other container has had: so a record of that id is of this container, in whatever state the
file is read while containerd writes it, and the number of a record never changes."""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Iterator
from typing import Any

from lineal.engine.docker.client import Client, Refused
from lineal.engine.docker.resources import RunResources
from lineal.tar import raw

_SNAPSHOTTER = "io.containerd.snapshotter.v1.overlayfs"
_DATABASE = "/snapshots.db"
_KERNEL = "/overlay"
"""Where the container that never starts shows the file, and what the kernel does with every overlay."""
_LARGEST = 64 << 20
"""Bytes of a database that is still read; one of ten thousand layers has some 5 MB."""
_ACTIVE, _COMMITTED = b"\x02", b"\x03"
_LEAF = 2


class Snapshots:
    """The directories of one engine's containers. Safe to use from several threads."""

    def __init__(self, client: Client, resources: RunResources) -> None:
        """`resources` are those of the run."""
        self._client = client
        self._resources = resources
        self._lock = threading.Lock()
        self._roots: list[str] | None = None
        self._reader = ""

    def close(self) -> None:
        self._resources.__exit__()

    def directories(self, id: str, image: str) -> tuple[str, str] | None:
        """Paths on the engine's machine: the upper directory of the container with this id (64 digits), and that of
        the engine's own layer below it. None where they cannot be told. `image` is any that the engine has."""
        with self._lock:
            if self._roots is None:
                self._roots = self._find(image)
            if not self._roots:
                return None
            try:
                data = self._database()
            except Refused:
                # Somebody removed the container that shows it (`docker container prune`); the next one gets another.
                self._roots = None
                return None
        upper, init = number(data, id, _ACTIVE), number(data, f"{id}-init", _COMMITTED)
        if upper is None or init is None:
            return None
        return f"{self._roots[0]}/snapshots/{upper}/fs", f"{self._roots[0]}/snapshots/{init}/fs"

    def _find(self, image: str) -> list[str]:
        """The snapshotter's directory, or nothing."""
        for root in _roots(self._client.info()):
            mounts = [_bind(f"{root}/metadata.db", _DATABASE), _bind("/sys/module/overlay/parameters", _KERNEL)]
            body = {"Image": image, "Cmd": ["-"], "NetworkDisabled": True, "HostConfig": {"Mounts": mounts}}
            try:
                self._reader = self._resources.container(body, "create a container to find a layer")
            except Refused:
                continue
            return [root] if self._is_plain() else []
        return []

    def _is_plain(self) -> bool:
        """Whether an upper directory has all that was changed. With these settings of the kernel, a directory that
        was renamed, or a file that has another owner, is there without what is in it."""
        return all(self._setting(name) in (None, b"N") for name in ("redirect_dir", "metacopy"))

    def _setting(self, name: str) -> bytes | None:
        """One letter, None for a kernel without this setting."""
        params = {"path": f"{_KERNEL}/{name}"}
        try:
            # The file says that it is larger than it is: what comes is no whole tar.
            with self._client.reader(f"/containers/{self._reader}/archive", "read a setting", params) as stream:
                return stream.read(513)[512:]
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def _database(self) -> bytes:
        params = {"path": _DATABASE}
        with self._client.reader(f"/containers/{self._reader}/archive", "find a layer", params) as stream:
            for entry, body in raw.read(stream):
                return b"".join(body) if entry.size <= _LARGEST else b""
        return b""


def _roots(info: dict[str, Any]) -> list[str]:
    """Where the snapshotter may be: beside the engine's own data, or that of a containerd which others use too."""
    own, system = f"{info.get('DockerRootDir')}/containerd/daemon", "/var/lib/containerd"
    address = (info.get("Containerd") or {}).get("Address")
    first = [system, own] if address == "/run/containerd/containerd.sock" else [own, system]
    return [f"{root}/{_SNAPSHOTTER}" for root in first]


def _bind(source: str, target: str) -> dict[str, Any]:
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": True}


def number(data: bytes, name: str, kind: bytes) -> int | None:
    """The number of the snapshot with this name and kind in a database of containerd's snapshotter
    (`core/snapshots/storage/bolt.go`), None when the file does not say it once and for all."""
    found = set()
    for match in re.finditer(rb"/\d+/" + re.escape(name.encode()), data):
        record = _record(data, match.end())
        if record.get(b"kind") == kind and b"id" in record:
            found.add(_uvarint(record[b"id"]))
    return found.pop() if len(found) == 1 else None


def _record(data: bytes, at: int) -> dict[bytes, bytes]:
    """A bucket of bbolt that stands in its parent's page: what follows its name. Empty where none does."""
    try:
        return dict(_pairs(data, at))
    except struct.error:
        return {}


def _pairs(data: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    root, _sequence, _page, flags, count, overflow = struct.unpack_from("<QQQHHI", data, at)
    if root or flags != _LEAF or overflow:
        return
    for index in range(count):
        start = at + 32 + 16 * index
        _flags, position, keys, values = struct.unpack_from("<IIII", data, start)
        key = start + position
        yield data[key : key + keys], data[key + keys : key + keys + values]


def _uvarint(data: bytes) -> int:
    return sum((byte & 0x7F) << 7 * index for index, byte in enumerate(data))
