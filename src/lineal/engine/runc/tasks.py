"""Tasks: processes of this program in namespaces of their own, which end with it, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from lineal.errors import Interrupted, Unreachable
from lineal.oci.image import unreadable
from lineal.tar.zstd import Invalid

_BOOT = """
import ctypes, json, os, signal, sys
parent = int(sys.argv[1])
if parent:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if not parent or os.getppid() == parent:
    sys.path[:] = json.loads(sys.argv[3])
    from lineal.engine.runc.inside.main import main
    main(int(sys.argv[2]), tethered=bool(parent))
"""
"""1 is PR_SET_PDEATHSIG: the kernel kills this process when its parent dies. One without a parent outlives us."""

_PIPE = 1 << 20
"""Bytes of a tar on its way into a task: what any user may have."""


class Task:
    """One that runs: its answers, and what it reads and writes."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self.process = process
        self.control = control
        self._answers = control.makefile("rb")

    def answer(self) -> dict[str, Any]:
        """The next answer; nothing from one that was killed. Raises `Unreachable` for what it could not do."""
        try:
            line = self._answers.readline()
        except OSError:
            line = b""
        document: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
        if "failed" in document:
            raise Unreachable(
                f"The engine runc cannot work here: {document['failed']}.", id="LN-5042",
                remedy="See docs/engines.md for what it needs, or name another engine by `--engine` (LINEAL_ENGINE).",
            )  # fmt: skip
        return document

    def send(self, document: dict[str, Any]) -> None:
        self.control.sendall(json.dumps(document).encode() + b"\n")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        # Its namespaces hold this socket until the last process in them is gone.
        with suppress(OSError):
            while self._answers.readline():
                pass
        self.let_go()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def let_go(self) -> None:
        self._answers.close()
        self.control.close()


def _spawned(parent: int, held: Sequence[int], stdin: int, output: int) -> Task:
    """A process that waits for its orders. It ends with the process `parent`, when that is not 0."""
    ours, theirs = socket.socketpair()
    told = (str(parent), str(theirs.fileno()), json.dumps(sys.path))
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOT, *told],
            stdin=stdin, stdout=output, stderr=output,
            pass_fds=(theirs.fileno(), *held), process_group=0,
        )  # fmt: skip
    return Task(process, ours)


class Tasks:
    """Starts the tasks of one engine. `stop` ends those that run, and keeps others from starting."""

    def __init__(self, *, rootless: bool, held: Sequence[int] = ()) -> None:
        """`held` are descriptors that live as long as any task does."""
        self.rootless = rootless
        self.held = tuple(held)
        self._lock = threading.Lock()
        self._running: set[Task] = set()
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()
        with self._lock:
            for task in self._running:
                task.process.kill()

    def check(self) -> None:
        if self._stopped.is_set():
            raise Interrupted("The build was interrupted.")

    def perform(self, name: str, **orders: Any) -> dict[str, Any]:
        """A task that needs no more than its orders. Raises `Unreachable`, `Interrupted`."""
        with self.started(name, orders) as task:
            answer = task.answer()
        return self.ended(answer)

    def ended(self, answer: dict[str, Any]) -> dict[str, Any]:
        """An answer that there must be."""
        if not answer:
            self.check()
            raise Unreachable(
                "A process of the engine runc was killed.", id="LN-5043",
                remedy="Mostly the memory was too small: give the job more, or fewer `--jobs`.",
            )  # fmt: skip
        return answer

    @contextmanager
    def started(
        self, name: str, orders: dict[str, Any], *, inside: bool = True, fds: Sequence[int] = (),
        stdin: int = subprocess.DEVNULL, output: int = subprocess.DEVNULL,
    ) -> Iterator[Task]:  # fmt: skip
        """`inside`: in namespaces of processes and mounts. It is gone at the end."""
        self.check()
        task = _spawned(os.getpid(), (*self.held, *fds), stdin, output)
        with self._lock:
            self._running.add(task)
        try:
            self._tell(task, {"task": name, "namespaces": inside, **orders})
            self.check()
            yield task
        finally:
            with self._lock:
                self._running.discard(task)
            task.end()

    def leave(self, name: str, held: Sequence[int] = (), **orders: Any) -> None:
        """Start a task that ends by itself, after us if need be, and holds these descriptors until then. Also after
        a stop. Raises `Unreachable` and `OSError`."""
        task = _spawned(0, held, subprocess.DEVNULL, subprocess.DEVNULL)
        threading.Thread(target=task.process.wait, daemon=True).start()
        self._tell(task, {"task": name, "namespaces": False, **orders})
        task.let_go()

    def _tell(self, task: Task, orders: dict[str, Any]) -> None:
        with _gone_is_no_error():
            task.send({"rootless": self.rootless, **orders})
            if self.rootless:
                self._map(task)

    def _map(self, task: Task) -> None:
        from lineal.engine.runc.users import map_users

        if answer := task.answer():
            # Its number is the one that we know it by: it has no namespace of processes yet.
            map_users(int(answer["map"]))
            task.send({"mapped": True})

    def pump(
        self, chunks: Iterator[bytes], directory: str, *, layer: int | None = None,
        root: tuple[int, int, int] | None = None,
    ) -> list[str]:  # fmt: skip
        """Unpack a tar, compressed or not, into a directory that is empty: that of a layer, which has this number in
        its image, or what is to be mounted. Returns the directories that only its names imply.

        Raises what `chunks` raises, `Unreachable` and `Interrupted`."""
        answer = self._given("unpack", chunks, directory=directory, layer=layer is not None, root=root)
        if reason := answer.get("malformed"):
            if layer is not None:
                raise unreadable(layer, reason)
            raise Unreachable(
                f"What is to be mounted cannot be read: {reason}.", id="LN-5017",
                remedy="Take another version of the image that it comes from, or make it anew.",
            )  # fmt: skip
        return list(answer["implied"])

    def restore(self, stream: Iterator[bytes], directory: Path, root: tuple[int, int, int], inodes: Path) -> None:
        """Fill an empty directory with a stream of `lineal.engine.frames`; `inodes` becomes a file for `read`.

        Raises what the stream raises, `zstd.Invalid`, `Unreachable` and `Interrupted`."""
        if self._given("restore", stream, directory=str(directory), root=root, inodes=str(inodes))["broken"]:
            raise Invalid

    def _given(self, name: str, chunks: Iterator[bytes], **orders: Any) -> dict[str, Any]:
        """The answer of a task that reads these."""
        with self.started(name, orders, inside=False, stdin=subprocess.PIPE) as task:
            assert task.process.stdin is not None
            # A user who has many of them gets a smaller one.
            with suppress(OSError):
                fcntl.fcntl(task.process.stdin, fcntl.F_SETPIPE_SZ, _PIPE)
            try:
                for chunk in chunks:
                    self.check()
                    task.process.stdin.write(chunk)
                task.process.stdin.close()
            except BrokenPipeError:
                pass  # its answer says why
            return self.ended(task.answer())

    def read(self, directory: Path, since: int, inodes: Path, take: Callable[[BinaryIO], None]) -> None:
        """Give a directory's content as a tar to `take`; of what was not changed since that time (ns, of the
        file system's clock; 0 for no time) the names alone, with the record `SAME`. `inodes` is from `restore`.

        Raises what `take` raises, `Unreachable` and `Interrupted`."""
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb", 1 << 18) as tar, os.fdopen(writer, "wb", 0) as theirs:
            orders = {"directory": str(directory), "since": since, "inodes": str(inodes), "tar": writer}
            with self.started("read", orders, inside=False, fds=[writer]) as task:
                theirs.close()
                try:
                    # It may give up, or fail, and the task would wait for a reader.
                    with tar:
                        take(tar)
                except Unreachable:
                    self.check()
                    # It says itself why its tar is not whole.
                    task.answer()
                    raise
                self.ended(task.answer())


@contextmanager
def _gone_is_no_error() -> Iterator[None]:
    """A task that is killed while it is spoken to gives no answer afterwards."""
    with suppress(BrokenPipeError, ConnectionResetError):
        yield


def program(environment: dict[str, str] | Any) -> str | None:
    """The OCI runtime."""
    for name in ("runc", "crun"):
        if found := shutil.which(name, path=environment.get("PATH")):
            return found
    return None
