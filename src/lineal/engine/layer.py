"""A command's changes as a layer: an engine's tar stream without the marks of the engine."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from lineal.engine.secret_parts import SecretSearch
from lineal.errors import BuildFailed, Unreachable
from lineal.tar import raw
from lineal.tar.header import DIRECTORY, END, HARDLINK, padding
from lineal.tar.raw import Entry

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
_COVER = 0o755


@dataclass(frozen=True)
class LayerExclusions:
    """Paths in a container's root that the command did not make, without leading slash, and secrets."""

    dropped: frozenset[bytes] = frozenset()
    """Files put there for the time of the run: neither they nor their deletion belong to the layer."""
    stubs: frozenset[bytes] = frozenset()
    """Directories made to mount something: kept only when they hold something else."""
    covers: frozenset[bytes] = frozenset()
    """Files of the engine in the image's place, made 0755: what a command writes there would be 0644 without them."""
    owners: Mapping[bytes, tuple[int, int, int]] = field(default_factory=dict)
    """Mode, uid and gid of directories that could not be given theirs in the container."""
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    """Values that must not be found in the layer."""


class LayerTar:
    """Writes a layer's uncompressed tar to `sink`, from one or several streams of an engine.

    No time is later than `latest`, in seconds since 1970."""

    def __init__(
        self, sink: Callable[[bytes], object], exclusions: LayerExclusions, latest: int | None = None
    ) -> None:
        self._sink = sink
        self._latest = latest
        self._exclusions = exclusions
        self._search = SecretSearch(exclusions.secrets)
        self._held: dict[bytes, bytes] = {}
        self._whiteouts: set[bytes] = set()
        self._dropped: set[bytes] = set()
        self._said: set[tuple[str, str]] = set()
        """What a device of overlay said is gone: directory and name, as the engine spells them."""
        self._unspeakable: dict[str, set[bytes]] = {}
        """Directories whose names the engine's JSON does not carry, by what it says instead."""

    def copy(self, stream: BinaryIO, below: bytes = b"") -> None:
        """Take over a stream whose root is the directory `below` of the layer."""
        for entry, body in raw.read(stream):
            entry.name = b"/".join(part for part in (below, entry.name) if part)
            if entry.kind == HARDLINK and below:
                entry.link = below + b"/" + entry.link
            if entry.name:
                self._take(entry, body)

    def directory(self, name: bytes) -> None:
        """Add an empty directory at the root, which no stream holds."""
        now = int(time.time())
        mtime = now if self._latest is None else min(now, self._latest)
        self._sink(raw.header(name, DIRECTORY, mode=0o755, mtime=mtime))

    def finish(self, deleted: Iterable[str] = ()) -> None:
        """Name the deletions still unsaid, and end the tar.

        `deleted` are the paths that the engine says are gone (in its words: absolute, bad UTF-8 replaced). Most were
        in the stream as overlay's devices; those that a directory made anew hides are only here."""
        unsaid: dict[str, set[str]] = {}
        for path in deleted:
            parent, _, name = path.lstrip("/").rpartition("/")
            gone = _merged(parent), _merged(name)
            if gone not in self._said:
                unsaid.setdefault(gone[0], set()).add(gone[1])
        for spoken in sorted(unsaid):
            self._settle(self._spelled(spoken), unsaid[spoken])
        self._sink(END)

    def _spelled(self, directory: str) -> bytes:
        """A directory as the stream spells it."""
        if "\ufffd" not in directory:
            return directory.encode()
        meant = self._unspeakable.get(directory, ())
        if len(meant) != 1:
            raise Unreachable(f"The engine does not say exactly what was deleted in {directory!r}.", id="LN-5003")
        return next(iter(meant))

    def _check_names(self, entry: Entry) -> None:
        if self._search.in_names(entry):
            # Its name may be the secret.
            raise BuildFailed(
                "The command left a secret in a name, a link or an attribute, which would be part of the image.",
                id="LN-5009", remedy="Delete the file in the same RUN, or keep it in a tmpfs mount.",
            )  # fmt: skip

    def _take(self, entry: Entry, body: Iterator[bytes]) -> None:
        self._check_names(entry)
        if self._latest is not None:
            entry.date(self._latest)
        if entry.is_whiteout_device or (entry.kind == HARDLINK and entry.link in self._whiteouts):
            self._whiteouts.add(entry.name)
            self._delete(entry.name)
        elif self._is_dropped(entry.name):
            self._dropped.add(entry.name)
        elif entry.kind == HARDLINK and entry.link in self._dropped:
            raise BuildFailed(
                f"The command made /{_shown(entry.name)} a hard link to the mounted file /{_shown(entry.link)}.",
                id="LN-5010",
                remedy="Copy a mounted file instead, if it may stay in the image.",
            )
        elif entry.kind == DIRECTORY:
            self._directory(entry)
        elif (parted := entry.name.rpartition(b"/"))[2].startswith(WHITEOUT):
            self._whiteout(parted[0], parted[2])
        else:
            if entry.name in self._exclusions.covers and entry.mode == _COVER:
                entry.mode = 0o644
            self._ancestors(entry.name)
            self._sink(entry.encode())
            self._content(entry, body)

    def _directory(self, entry: Entry) -> None:
        if "\ufffd" in (spoken := _spoken(entry.name)):
            self._unspeakable.setdefault(spoken, set()).add(entry.name)
        if entry.name in self._exclusions.owners:
            entry.own(*self._exclusions.owners[entry.name])
        if entry.name in self._exclusions.stubs:
            self._held[entry.name] = entry.encode()
            return
        self._ancestors(entry.name)
        self._sink(entry.encode())

    def _ancestors(self, name: bytes) -> None:
        """Write the held directories above `name`: they hold something after all."""
        if not self._held:
            return
        parts = name.split(b"/")
        for depth in range(1, len(parts)):
            held = self._held.pop(b"/".join(parts[:depth]), None)
            if held is not None:
                self._sink(held)

    def _content(self, entry: Entry, body: Iterator[bytes]) -> None:
        for chunk in self._search.watched(body, entry.size, lambda: _secret_in(entry.name)):
            self._sink(chunk)
        if entry.kind in b"07":
            self._sink(padding(entry.size))

    def _is_dropped(self, name: bytes) -> bool:
        if not self._exclusions.dropped:
            return False
        directory, _, base = name.rpartition(b"/")
        shown = directory + b"/" + base.removeprefix(WHITEOUT) if directory else base.removeprefix(WHITEOUT)
        return shown in self._exclusions.dropped

    def _delete(self, name: bytes) -> None:
        directory, _, base = name.rpartition(b"/")
        self._said.add((_spoken(directory), _spoken(base)))
        if not self._is_dropped(name):
            self._whiteout(directory, WHITEOUT + base)

    def _whiteout(self, directory: bytes, base: bytes) -> None:
        path = directory + b"/" + base if directory else base
        self._ancestors(path)
        self._sink(raw.header(path))

    def _settle(self, directory: bytes, unsaid: set[str]) -> None:
        """Say what is gone from a directory and had no device of its own: the directory was made anew."""
        known = sorted(name for name in unsaid if "\ufffd" not in name)
        for name in known:
            path = directory + b"/" + name.encode() if directory else name.encode()
            if not self._is_dropped(path):
                self._whiteout(directory, WHITEOUT + name.encode())
        if len(known) < len(unsaid):
            # The engine's JSON does not carry these names; everything of the parent is gone here anyway.
            self._whiteout(directory, OPAQUE)


def _secret_in(name: bytes) -> BuildFailed:
    return BuildFailed(
        f"The command left a secret in /{_shown(name)}, which would become part of the image.",
        id="LN-5009",
        remedy="Delete the file in the same RUN, or keep it in a tmpfs mount.",
    )


def _spoken(path: bytes) -> str:
    """A path as the engine's JSON says it, however many marks it makes of one bad byte."""
    return _merged(path.decode("utf-8", "replace"))


def _merged(text: str) -> str:
    return re.sub("\ufffd+", "\ufffd", text) if "\ufffd" in text else text


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "replace")
