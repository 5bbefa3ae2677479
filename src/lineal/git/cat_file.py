"""Contents of objects from `git cat-file` processes, which stay for the next reader."""

from __future__ import annotations

import os
import subprocess
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lineal.git.command import GitFailed

_CHUNK = 1 << 20
_BIG_FILE = "16m"
"""git streams larger blobs. It holds all others in its memory."""
_PACK_LIMITS = ("-c", "core.packedGitWindowSize=1m", "-c", "core.packedGitLimit=16m")
"""How much of a pack git maps at once. By default git maps all of it, and the system counts that as used memory."""


class MissingObject(GitFailed):
    """The repository does not have an object that it needs, and it could not be fetched."""

    exit_code = 3

    def __init__(self, oid: str, root: Path) -> None:
        super().__init__(
            f"git has no object {oid} in {root}.",
            id="LN-3007",
            remedy="A partial clone lacks what it did not check out: clone without --filter.",
        )
        self.oid = oid


class CatFilePool:
    """The processes of one repository. Several threads may stream at once."""

    def __init__(self, root: Path, environ: dict[str, str]) -> None:
        self._root, self._environ = root, environ
        self._idle = deque[subprocess.Popen[bytes]]()
        _pools.add(self)

    def forget(self) -> None:
        """In a child process: the processes of git are its parent's, who would get half of an answer."""
        self._idle = deque()

    def stream(self, oid: str) -> Iterator[bytes]:
        """An object's content in chunks of at most 1 MiB. Raises `MissingObject`."""
        with self._process() as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(oid.encode() + b"\n")
            process.stdin.flush()
            header = process.stdout.readline().split()
            if len(header) != 3:
                raise MissingObject(oid, self._root)
            left = int(header[2])
            while left:
                chunk = process.stdout.read(min(left, _CHUNK))
                if not chunk:
                    raise GitFailed(f"git ended while it read {oid}.", id="LN-3006")
                left -= len(chunk)
                yield chunk
            process.stdout.read(1)

    @contextmanager
    def _process(self) -> Iterator[subprocess.Popen[bytes]]:
        """A `git cat-file --batch`. The next reader gets it, unless this reader stops in the middle of an object."""
        try:
            process = self._idle.popleft()
        except IndexError:
            process = subprocess.Popen(
                ["git", "-c", f"core.bigFileThreshold={_BIG_FILE}", *_PACK_LIMITS, "cat-file", "--batch"],
                cwd=self._root, env=self._environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        done = False
        try:
            yield process
            done = True
        finally:
            if done:
                self._idle.append(process)
            else:
                _end(process)

    def close(self) -> None:
        with suppress(IndexError):
            while True:
                _end(self._idle.popleft())


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.kill()
    process.wait()


def _forget() -> None:
    for pool in _pools:
        pool.forget()


_pools: weakref.WeakSet[CatFilePool] = weakref.WeakSet()
os.register_at_fork(after_in_child=_forget)
