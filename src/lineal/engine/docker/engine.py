"""`RUN` on a Docker Engine, local or remote: nothing of this machine is mounted, everything goes through its API."""

from __future__ import annotations

import struct
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lineal.engine import Command, CommandFailed, NoWorkingDirectory, RunOptions
from lineal.engine.devices import leave_out
from lineal.engine.log_lines import LogLines
from lineal.engine.machine import Machine
from lineal.errors import BuildFailed, Interrupted, LinealError
from lineal.oci import Store
from lineal.oci.types import Image, Layer

if TYPE_CHECKING:
    from lineal.engine.docker.cache_mounts import KeptVolumes
    from lineal.engine.docker.client import Client, Refused
    from lineal.engine.docker.image_loader import ImageLoader
    from lineal.engine.docker.mounts import Mounts
    from lineal.engine.docker.resources import Removals, RunResources
    from lineal.engine.docker.snapshots import Snapshots

HOSTNAME = "buildkitsandbox"
"""BuildKit's host name for containers; some packages write it into their files."""
_MOUNT_POINTS = ("/dev", "/proc", "/sys")
"""Directories of every container; an image without them gets them with its first `RUN`, as with BuildKit."""


class _Parts(NamedTuple):
    client: Client
    images: ImageLoader
    snapshots: Snapshots
    removals: Removals
    kept: KeptVolumes


class DockerEngine:
    """An `Engine`. Connects at the first `run`; `run` may be called from several threads.

    `network` is what a `RUN` with the default network gets: `default`, or `host` for an engine without a bridge.
    `environment` says where the engine is (see `endpoint`); by default the process's own.
    `connect` makes a client of its own from it and from what that must call between chunks. `upper` says whether
    layers are read from the overlay's upper directory; by default the engine's settings say whether they can be.
    `emulated` gives the platforms that the engine executes, None when nobody knows: its API does not say it."""

    def __init__(
        self,
        *,
        network: str = "default",
        environment: Mapping[str, str] | None = None,
        connect: Callable[[Mapping[str, str] | None, Callable[[], None]], Client] | None = None,
        upper: bool | None = None,
        emulated: Callable[[Client], Sequence[str] | None] = lambda _: None,
    ) -> None:
        self.id = uuid.uuid4().hex
        """The value of the label `dev.lineal.run` on whatever this engine makes for the time of a run."""
        self._network = network
        self._environment = environment
        self._lock = threading.Lock()
        self._parts: _Parts | None = None
        self._make_client = connect
        self._upper = upper
        self._emulated = emulated
        self._bare_hostname = True
        self._running: dict[str, Client] = {}
        self._caches: dict[str, threading.Lock] = {}
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Kill what runs; every `run`, also later ones, raises `Interrupted`. For another thread than `run`'s."""
        self._stopped.set()
        with self._lock:
            running = dict(self._running)
        for name, client in running.items():
            self._kill(client, name)

    def close(self) -> None:
        if self._parts is not None:
            self._parts.snapshots.close()
            # First the containers that use the volumes.
            self._parts.removals.join()
            self._parts.kept.close()
            self._parts.removals.join()

    def prepare(self, parent: Image, store: Store, platform: str, workspace: Path) -> None:  # noqa: ARG002
        self._connect().images.ensure(parent, store)

    def run(
        self, parent: Image, store: Store, command: Command, output: Callable[[str], None], workspace: Path
    ) -> Layer:
        """See `Engine.run`. Raises `BuildFailed` when the parent cannot run here or a secret is in the layer."""
        from lineal.engine.docker.cache_mounts import locked_caches, shared_caches
        from lineal.engine.docker.client import Refused
        from lineal.engine.docker.engine_files import NOWHERE
        from lineal.engine.docker.mounts import Mounts
        from lineal.engine.docker.resources import RunResources

        # Docker Engine has devices of CDI since 28 only, and says nothing of those that it has not.
        leave_out(command, "docker", output)
        parts = self._connect()
        client, kept = parts.client, parts.kept
        self._check()
        load = partial(parts.images.ensure, parent, store)
        with (
            self._locked(locked_caches(command.mounts)),
            RunResources(client, self.id, parts.removals, load) as resources,
            kept.used(command.mounts) as caches,
        ):
            image, pack = load(), partial(load, packed=True)
            with self._locked(shared_caches(command.mounts)):
                mounts = Mounts(client, resources, command, kept)
                mounts.fill(image)
            self._check()
            try:
                layer = self._run(parts, resources, mounts, image, pack, command, output, workspace)
            except Refused as refused:
                if NOWHERE not in refused.reason:
                    raise
                # Podman and Docker Desktop look at what is to be mounted: there the engine's /etc/hostname stays.
                self._bare_hostname = False
                layer = self._run(parts, resources, mounts, image, pack, command, output, workspace)
            # Who wants to use them waits meanwhile.
            with self._locked(shared_caches(command.mounts) if caches else []):
                mounts.save(image, kept.leave(caches))
            return layer

    def _run(
        self,
        parts: _Parts,
        resources: RunResources,
        mounts: Mounts,
        image: str,
        pack: Callable[[], object],
        command: Command,
        output: Callable[[str], None],
        workspace: Path,
    ) -> Layer:
        from lineal.engine.docker import container_diff
        from lineal.engine.docker.container_files import ContainerFiles
        from lineal.engine.docker.engine_files import uncover
        from lineal.engine.docker.ssh_forward import SshForward
        from lineal.engine.layer import LayerTar
        from lineal.tar.layer import LayerWriter

        client = parts.client
        container = self._container(resources, image, command, mounts)
        helper, uncovered = None, False
        if self._reads_upper(client):
            helper = container_diff.upper_helper(client, resources, parts.snapshots, container, image)
            uncovered = helper is not None and self._bare_hostname and uncover(client, helper, command.etc)
        paths = ContainerFiles(client, container)
        mounts.place(paths)
        exclusions = mounts.exclusions(paths, uncovered=uncovered)
        with SshForward(client, resources, image, mounts.sockets, mounts.socket_volume):
            self._execute(client, container, output, command.secrets)
        mounts.wipe_secrets()
        # To list them the engine walks through the whole image, beside what is read here.
        with LayerWriter(workspace) as writer, ThreadPoolExecutor(1) as pool:
            deleted = pool.submit(container_diff.deletions, client, container) if helper else None
            tar = LayerTar(writer.write, exclusions, command.options.epoch)
            if helper:
                container_diff.copy_upper(client, helper, tar)
            else:
                pack()
                container_diff.copy_commit(client, resources, container, image, tar, workspace)
            # Docker 29 may look at a container that another call has not mounted yet, and say that all is deleted.
            gone = deleted.result() if deleted else ()
            for path in _MOUNT_POINTS:
                if not command.existing(path):
                    tar.directory(path.lstrip("/").encode())
            for path in mounts.kept():
                container_diff.copy_directory(client, container, path, paths.real(path).lstrip("/").encode(), tar)
            tar.finish(gone)
            self._check()
            return writer.finish()

    def machine(self) -> Machine:
        parts = self._connect()
        return Machine(parts.images.platform(), lambda: self._emulated(parts.client))

    def _connect(self) -> _Parts:
        from lineal.engine.docker.cache_mounts import KeptVolumes
        from lineal.engine.docker.client import Client
        from lineal.engine.docker.image_loader import ImageLoader
        from lineal.engine.docker.orphans import remove_orphans
        from lineal.engine.docker.resources import Removals, RunResources
        from lineal.engine.docker.snapshots import Snapshots

        with self._lock:
            if self._parts is not None:
                return self._parts
            client = (self._make_client or Client)(self._environment, self._check)
            removals = Removals()
            kept = KeptVolumes(RunResources(client, self.id, removals))
            snapshots = Snapshots(client, RunResources(client, self.id, removals))
            self._parts = parts = _Parts(client, ImageLoader(client, self._check), snapshots, removals, kept)
        # A service to others: this run can do without.
        with suppress(LinealError):
            remove_orphans(client)
        return parts

    def _check(self) -> None:
        if self._stopped.is_set():
            raise Interrupted("The build was interrupted.")

    def _reads_upper(self, client: Client) -> bool:
        if self._upper is None:
            from lineal.engine.docker.container_diff import reads_upper

            self._upper = reads_upper(client.info())
        return self._upper

    @contextmanager
    def _locked(self, caches: list[str]) -> Iterator[None]:
        """Alone with caches, among the commands of this run."""
        with ExitStack() as held:
            for id in caches:
                with self._lock:
                    lock = self._caches.setdefault(id, threading.Lock())
                while not lock.acquire(timeout=0.2):
                    self._check()
                held.callback(lock.release)
            yield

    def _container(self, resources: RunResources, image: str, command: Command, mounts: Mounts) -> str:
        from lineal.engine.docker.client import Refused
        from lineal.engine.docker.engine_files import NOWHERE

        try:
            return resources.container(self._body(image, command, mounts), "create a container")
        except Refused as refused:
            if NOWHERE in refused.reason or "not a directory" not in refused.reason:
                raise
            raise NoWorkingDirectory from refused

    def _body(self, image: str, command: Command, mounts: Mounts) -> dict[str, Any]:
        from lineal.engine.docker.engine_files import HOSTNAME as HOSTNAME_FILE
        from lineal.engine.docker.engine_files import NOWHERE

        binds = [f"{NOWHERE}:{HOSTNAME_FILE}"] if self._bare_hostname and not mounts.covers(HOSTNAME_FILE) else []
        network = self._network if command.network == "default" else command.network
        host = {"NetworkMode": network, "LogConfig": {"Type": "json-file"}, "Privileged": command.insecure}
        return {
            "Image": image,
            "Entrypoint": [],
            "Cmd": list(command.argv),
            # A name alone takes away what the engine would set; BuildKit sets no HOSTNAME.
            "Env": ["HOSTNAME", *(f"{key}={value}" for key, value in command.env.items())],
            "WorkingDir": command.workdir or "/",
            "User": command.user,
            # With the host's network the name is the host's too, and the engine refuses another.
            "Hostname": "" if network == "host" else HOSTNAME,
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {**host, "Binds": binds, **mounts.settings(), **_settings(command.options)},
        }

    def _execute(
        self, client: Client, container: str, output: Callable[[str], None], secrets: Sequence[bytes]
    ) -> None:
        """Start, pass the output on, wait. Raises `CommandFailed`, `Interrupted`."""
        from lineal.engine.docker.client import Refused

        said = _ExecFormatWatcher(output)
        printed = client.output(container, "read the command's output")
        with self._killable(client, container), printed as stream:
            try:
                client.call("POST", f"/containers/{container}/start", "start the command")
            except Refused as refused:
                _explain_start(refused, output)
            if self._stopped.is_set():
                # `stop` came before there was anything to kill.
                self._kill(client, container)
            for line in lines(stream, secrets):
                said(line)
            ended = client.json("POST", f"/containers/{container}/wait", "wait for the command", endless=True)
        self._check()
        status = int(ended["StatusCode"])
        if status and said.wrong_machine:
            raise BuildFailed(_WRONG_MACHINE, id="LN-5007", remedy=_MACHINE_REMEDY)
        if status:
            raise CommandFailed(status)

    @contextmanager
    def _killable(self, client: Client, container: str) -> Iterator[None]:
        with self._lock:
            self._running[container] = client
        try:
            self._check()
            yield
        finally:
            with self._lock:
                del self._running[container]

    @staticmethod
    def _kill(client: Client, container: str) -> None:
        # Not started yet or ended already: `run` sees the flag by itself.
        with suppress(LinealError):
            client.call("POST", f"/containers/{container}/kill", "stop a command")


def _settings(options: RunOptions) -> dict[str, Any]:
    """Options in the words of the engine's API; what is not given stays as the engine has it."""
    limits = [{"Name": name, "Soft": soft, "Hard": hard} for name, soft, hard in options.ulimits]
    settings = {
        "ExtraHosts": [f"{name}:{address}" for name, address in options.hosts],
        "ShmSize": options.shm_size,
        "Ulimits": limits,
        "CgroupParent": options.cgroup_parent,
    }
    return {name: value for name, value in settings.items() if value}


class _ExecFormatWatcher:
    """Passes lines on and notices the one that says that the image is for another machine."""

    def __init__(self, output: Callable[[str], None]) -> None:
        self._output = output
        self.wrong_machine = False

    def __call__(self, line: str) -> None:
        if line.endswith("exec format error") and line.startswith(("standard_init_linux.go", "exec ")):
            self.wrong_machine = True
        self._output(line)


_WRONG_MACHINE = "The engine cannot execute programs of this image: it is for another processor architecture."
_MACHINE_REMEDY = "Build for the engine's platform or install emulation (binfmt) on the engine's machine."


def _explain_start(refused: Refused, output: Callable[[str], None]) -> None:
    """Raise what a refused start means: mostly that the image has no such program or user."""
    reason = refused.reason
    if "exec format error" in reason:
        raise BuildFailed(_WRONG_MACHINE, id="LN-5007", remedy=_MACHINE_REMEDY) from refused
    if "unable to find user" in reason or "no matching entries in" in reason:
        raise BuildFailed(
            f"The image has no such user: {reason}.",
            id="LN-5008",
            remedy="Create it in an earlier RUN, or use a number.",
        ) from refused
    for text, status in (("no such file or directory", 127), ("executable file not found", 127)):
        if "exec:" in reason and text in reason:
            output(reason)
            raise CommandFailed(status) from refused
    if "permission denied" in reason and "exec:" in reason:
        output(reason)
        raise CommandFailed(126) from refused
    raise refused


def lines(stream: BufferedReader, secrets: Sequence[bytes] = ()) -> Iterator[str]:
    """Lines of a multiplexed log (frames of 1 byte stream, 3 zero, 4 length), each stream's joined on its own."""
    joined = LogLines(secrets)
    while len(head := stream.read(8)) == 8:
        channel, length = struct.unpack(">BxxxL", head)
        yield from joined.add(channel, stream.read(length))
    yield from joined.rest()
