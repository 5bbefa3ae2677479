"""Contents of git objects, read by `git cat-file` processes that stay for the next reader."""

from __future__ import annotations

import queue
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lineal.git.command import GitFailed

_CHUNK = 1 << 20
# Blobs above this are streamed by git instead of being held in its memory (reference/git.md §1).
_BIG_FILE = "16m"
# How much of a pack git maps at once; by default all of it, which then counts as resident.
_PACK_LIMITS = ("-c", "core.packedGitWindowSize=1m", "-c", "core.packedGitLimit=16m")


Entries = dict[bytes, tuple[str, str]]
"""Name -> mode as git keeps it (a directory's is `40000`) and object id."""


class CatFilePool:
    """The processes of one repository. Several threads may stream at once."""

    def __init__(self) -> None:
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()

    def stream(self, oid: str, root: Path, environ: dict[str, str]) -> Iterator[bytes]:
        """An object's content in chunks of at most 1 MiB."""
        with self._reader(root, environ) as reader:
            assert reader.stdin is not None and reader.stdout is not None
            reader.stdin.write(oid.encode() + b"\n")
            reader.stdin.flush()
            header = reader.stdout.readline().split()
            if len(header) != 3:
                raise no_object(oid, root)
            left = int(header[2])
            while left:
                chunk = reader.stdout.read(min(left, _CHUNK))
                if not chunk:
                    raise GitFailed(f"git ended while reading {oid}.")
                left -= len(chunk)
                yield chunk
            reader.stdout.read(1)

    @contextmanager
    def _reader(self, root: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """A `git cat-file --batch`, kept for the next reader unless this one stopped in the middle."""
        try:
            reader = self._idle.get_nowait()
        except queue.Empty:
            reader = subprocess.Popen(
                ["git", "-c", f"core.bigFileThreshold={_BIG_FILE}", *_PACK_LIMITS, "cat-file", "--batch"],
                cwd=root, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
        done = False
        try:
            yield reader
            done = True
        finally:
            if done:
                self._idle.put(reader)
            else:
                _end(reader)

    def close(self) -> None:
        with suppress(queue.Empty):
            while True:
                _end(self._idle.get_nowait())


def entries_of(tree: bytes, size: int) -> Entries:
    """What is in a directory (gitformat-pack(5), "tree"); `size` is that of an object id in bytes."""
    found: Entries = {}
    start = 0
    while start < len(tree):
        end = tree.find(b"\0", start)
        if end < 0 or end + size >= len(tree):
            raise GitFailed("git has a directory that is cut off.", remedy="Clone the repository again.")
        mode, _, name = tree[start:end].partition(b" ")
        start = end + 1 + size
        # Some tools write a directory's mode with a zero before it.
        found[name] = mode.lstrip(b"0").decode(), tree[end + 1 : start].hex()
    return found


def no_object(oid: str, root: Path) -> GitFailed:
    return GitFailed(
        f"git has no object {oid} in {root}.",
        remedy="A partial clone lacks what it did not check out: clone without --filter.",
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.kill()
    process.wait()
