"""`RUN` on this machine, without a daemon: see the folder's words."""

from __future__ import annotations

import os
import secrets
import selectors
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.engine import (
    Command,
    NoWorkingDirectory,
    SecretMount,
)
from lineal.engine.devices import leave_out
from lineal.engine.log_lines import LogLines
from lineal.engine.machine import Machine
from lineal.errors import BuildFailed, Interrupted, LinealError, Unreachable
from lineal.oci import Store
from lineal.oci.types import Image, Layer

if TYPE_CHECKING:
    from lineal.engine.runc.caches import Caches
    from lineal.engine.runc.failures import Watcher
    from lineal.engine.runc.layers import Layers
    from lineal.engine.runc.mounts import CommandMounts
    from lineal.engine.runc.run_directory import Remove, RunDirectory
    from lineal.engine.runc.tasks import Task, Tasks

_GATEWAY = "127.0.0.1"
"""This machine, as a command with its network sees it."""
_PIECE = 1 << 16


class _Parts:
    """What the engine has from its first `run` on."""

    def __init__(self, program: str, directory: RunDirectory, tasks: Tasks, layers: Layers, caches: Caches) -> None:
        self.program = program
        self.directory = directory
        self.tasks = tasks
        self.layers = layers
        self.caches = caches


class RuncEngine:
    """An `Engine`. `run` may be called from several threads; `close` removes what it has on the disk.

    `environment` says where that is (`LINEAL_RUNC_ROOT`) and where the runtime is (`PATH`)."""

    def __init__(self, *, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._lock = threading.Lock()
        self._parts: _Parts | None = None
        self._stopped = False

    def open(self) -> None:
        """Look whether it can work here. Raises `Unreachable`, which says what is missing."""
        self._open()

    def machine(self) -> Machine:
        """Raises `Unreachable`."""
        from lineal.engine.runc.emulation import machine

        self._open()
        return machine()

    def stop(self) -> None:
        """Kill what runs; every `run`, also later ones, raises `Interrupted`. For another thread than `run`'s."""
        self._stopped = True
        if self._parts is not None:
            self._parts.tasks.stop()

    def close(self) -> None:
        with self._lock:
            parts, self._parts = self._parts, None
        if parts is not None:
            self._stopped = True
            parts.tasks.stop()
            parts.layers.close()
            parts.directory.close(_remover(parts.tasks))

    def prepare(self, parent: Image, store: Store, platform: str, workspace: Path) -> None:  # noqa: ARG002
        self._open().layers.ensure(parent, store)

    def run(
        self, parent: Image, store: Store, command: Command, output: Callable[[str], None], workspace: Path
    ) -> Layer:
        """See `Engine.run`. Raises `BuildFailed` when the parent cannot run here or a secret is in the layer."""
        from lineal.engine.runc.mounts import CommandMounts

        _check_rights(command, output)
        parts = self._open()
        lower = parts.layers.begin(parent, store)
        directory, name = parts.directory.task(), parts.layers.new()
        with ExitStack() as held:
            mounts = CommandMounts(parts.caches, parts.tasks, directory, held)
            orders = self._orders(parts, directory, command, mounts.of(command.mounts))
            # Caches are filled while the parent is unpacked.
            orders |= {"lower": [f"../../layers/{one}" for one in lower()], "upper": f"../../layers/{name}"}
            layer, plain = self._execute(parts, orders, command, output, workspace, mounts)
        if plain:
            parts.layers.add((*(one.digest for one in parent.layers), layer.digest), name)
        # What else this command needed goes with the run: nobody waits for it here.
        return layer

    def _open(self) -> _Parts:
        with self._lock:
            if self._stopped:
                raise Interrupted("The build was interrupted.")
            if self._parts is None:
                self._parts = self._made()
            if self._stopped:
                # `stop` came while there was nothing to stop.
                self._parts.tasks.stop()
            return self._parts

    def _made(self) -> _Parts:
        from lineal.engine.runc.caches import Caches
        from lineal.engine.runc.layers import Layers
        from lineal.engine.runc.run_directory import RunDirectory, root_of
        from lineal.engine.runc.tasks import Tasks, program

        found = program(self._environment)
        if found is None:
            raise Unreachable(
                "The engine runc needs an OCI runtime: neither runc nor crun is on the PATH.", id="LN-5041",
                remedy="Install one, or name another engine by `--engine` (LINEAL_ENGINE).",
            )  # fmt: skip
        root = root_of(self._environment)
        directory = RunDirectory(root)
        tasks = Tasks(rootless=os.geteuid() != 0, held=(directory.lock,))
        try:
            tasks.perform("probe", directory=str(directory.task()))
            directory.sweep(_remover(tasks))
        except BaseException:
            directory.close(_remover(tasks))
            raise
        layers = Layers(directory.path / "layers", tasks)
        return _Parts(found, directory, tasks, layers, Caches(root / "caches", directory.path / "caches", tasks))

    def _orders(
        self, parts: _Parts, directory: Path, command: Command, mounts: list[dict[str, Any]]
    ) -> dict[str, Any]:
        from lineal.engine.runc.run_directory import cgroup_for

        id = f"lineal-{secrets.token_hex(8)}"
        options = command.options
        return {
            "directory": str(directory),
            "program": parts.program,
            "id": id,
            "cgroup": cgroup_for(directory, options.cgroup_parent, id),
            "command": {
                "argv": list(command.argv),
                "env": command.env,
                "workdir": command.workdir or "/",
                "user": command.user,
                "network": command.network,
                "directories": [(one.path, one.mode, one.uid, one.gid) for one in command.directories],
                "mounts": mounts,
                "hosts": [(name, _GATEWAY if ip == "host-gateway" else ip) for name, ip in options.hosts],
                "shm": options.shm_size,
                "ulimits": list(options.ulimits),
            },
        }

    def _execute(
        self, parts: _Parts, orders: dict[str, Any], command: Command, output: Callable[[str], None], workspace: Path,
        mounts: CommandMounts,
    ) -> tuple[Layer, bool]:  # fmt: skip
        """The layer, and whether the upper directory is one as it is."""
        from lineal.engine.runc.failures import Watcher

        said = Watcher(output)
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb", 1 << 18) as tar, os.fdopen(writer, "wb", 0) as theirs:
            orders = orders | {"layer": writer}
            with parts.tasks.started("run", orders, fds=[writer], output=subprocess.PIPE) as task:
                theirs.close()
                _follow(task, command, said)
                _judge(parts.tasks.ended(task.answer()), said)
                with mounts.saved():
                    return _layer(parts.tasks, task, tar, command, workspace)


def _check_rights(command: Command, output: Callable[[str], None]) -> None:
    """What this engine gives to no command."""
    if command.insecure:
        raise BuildFailed(
            "RUN --security=insecure needs a daemon: the engine runc gives no command the rights of root.",
            id="LN-5047", remedy="Name one by `--engine docker` or `--engine buildkit:ADDRESS` (LINEAL_ENGINE).",
        )  # fmt: skip
    leave_out(command, "runc", output)


def _follow(task: Task, command: Command, output: Watcher) -> None:
    """Pass the command's lines on until it has ended."""
    joined = LogLines(command.secrets)
    with selectors.DefaultSelector() as selector:
        for channel, stream in enumerate((task.process.stdout, task.process.stderr)):
            assert stream is not None
            selector.register(stream, selectors.EVENT_READ, channel)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, _PIECE)
                if not data:
                    selector.unregister(key.fileobj)
                for line in joined.add(key.data, data) if data else ():
                    output(line)
    for line in joined.rest():
        output(line)


def _judge(answer: dict[str, Any], said: Watcher) -> None:
    """Raises what it means that the command did not end well."""
    if "user" in answer:
        raise BuildFailed(
            f"The image has no such user: {answer['user']}.", id="LN-5008",
            remedy="Create it in an earlier RUN, or use a number.",
        )  # fmt: skip
    if "workdir" in answer:
        raise NoWorkingDirectory
    if answer["status"]:
        raise said.failure(answer["status"], answer["log"])


def _layer(tasks: Tasks, task: Task, tar: Any, command: Command, workspace: Path) -> tuple[Layer, bool]:
    from lineal.engine.layer import LayerExclusions, LayerTar
    from lineal.engine.secret_parts import parts
    from lineal.tar.layer import LayerWriter

    mounted = (mount.value for mount in command.mounts if isinstance(mount, SecretMount))
    hidden = {part for value in (*mounted, *command.secrets) for part in parts(value)}
    with LayerWriter(workspace) as writer:
        layer = LayerTar(writer.write, LayerExclusions(secrets=tuple(hidden)), command.options.epoch)
        try:
            layer.copy(tar)
        except Unreachable:
            tasks.check()
            # It says itself why its tar is not whole.
            task.answer()
            raise
        layer.finish()
        plain = bool(tasks.ended(task.answer())["plain"])
        tasks.check()
        # With other times, the next command is to see those of the layer.
        return writer.finish(), plain and command.options.epoch is None


def _remover(tasks: Tasks) -> Remove:
    """Removes directories, whoever their files belong to, beside what comes after and after the end of this process:
    thousands of files take seconds. What it leaves when it is killed, the next run sweeps."""

    def remove(path: Path, lock: int) -> None:
        with suppress(LinealError, OSError):
            tasks.leave("remove", (lock,), paths=[str(path)])

    return remove
