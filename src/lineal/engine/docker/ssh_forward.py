"""SSH agents for a `RUN`, on an engine that may be on another machine.

A small program (`forwarder/`) runs in a container beside the command's. It listens on a socket in a volume that both
share, and passes the agent protocol on through its standard input and output, which the engine's API carries here."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from lineal.engine import SshMount
from lineal.engine.docker.client import Client
from lineal.engine.docker.resources import RunResources
from lineal.errors import BuildFailed, Unreachable
from lineal.tar import raw
from lineal.tar.header import END

_PROGRAM = "lineal-agent"
_SOCKETS = "/lineal-sockets"
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
_LARGEST = 256 * 1024
_THERE = 255
_IDENTITIES, _SIGN = 11, 13
"""The requests that a command may make of an agent: to list keys and to sign, as with `docker build`; not to add,
remove or lock."""
_FAILURE = b"\5"


class SshForward:
    """Forwards while the `with` block lasts. `resources` removes the containers."""

    def __init__(
        self, client: Client, resources: RunResources, image: str, sockets: Mapping[str, SshMount], volume: str
    ) -> None:
        self._client = client
        self._resources = resources
        self._image = image
        self._sockets = sockets
        self._volume = volume
        self._running: list[tuple[socket.socket, threading.Thread]] = []

    def __enter__(self) -> SshForward:
        try:
            for name, mount in self._sockets.items():
                self._forward(name, mount)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for connection, thread in self._running:
            self._client.detach(connection)
            thread.join(5)

    def _forward(self, name: str, mount: SshMount) -> None:
        program = _program(self._client)
        body = {
            "Image": self._image,
            "Entrypoint": [],
            "Cmd": [f"/{_PROGRAM}", f"{_SOCKETS}/{name}", f"{mount.mode:o}", str(mount.uid), str(mount.gid)],
            "User": "0:0",
            "WorkingDir": "/",
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "NetworkDisabled": True,
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {
                "NetworkMode": "none",
                # What it passes on is nobody's to read later.
                "LogConfig": {"Type": "none"},
                "CapDrop": ["ALL"],
                "CapAdd": ["CHOWN", "FOWNER", "DAC_OVERRIDE"],
                "SecurityOpt": ["no-new-privileges"],
                "Mounts": [{"Type": "volume", "Source": self._volume, "Target": _SOCKETS}],
            },
        }
        container = self._resources.container(body, "create a container to forward an SSH agent")
        tar = iter([raw.file(_PROGRAM.encode(), program, mode=0o755), END])
        self._client.put(container, "/", tar, "put a program into a container")
        connection = self._client.attach(container, "attach to a container")
        connection.settimeout(30)
        there = threading.Event()
        thread = threading.Thread(target=_Forwarding(connection, mount.agent, there).run, daemon=True)
        self._running.append((connection, thread))
        self._client.call("POST", f"/containers/{container}/start", "forward an SSH agent")
        thread.start()
        while not there.wait(0.2):
            if not thread.is_alive() and not there.is_set():
                raise Unreachable(
                    f"Docker Engine at {self._client.host} ended the container for an SSH agent.", id="LN-5003"
                )


def _program(client: Client) -> bytes:
    machine = str(client.json("GET", "/info", "ask for the engine's machine").get("Architecture"))
    if machine not in _MACHINES:
        raise BuildFailed(
            f"An SSH agent cannot be forwarded to an engine on {machine}, only on x86_64 and aarch64.",
            id="LN-5012",
            remedy="Use a secret with a key in place of type=ssh.",
        )
    return (files("lineal.engine.docker") / "forwarder" / _MACHINES[machine]).read_bytes()


class _Forwarding:
    """One attached container: messages of its clients go to the agent, each client with a connection of its own."""

    def __init__(self, connection: socket.socket, agent: Path, there: threading.Event) -> None:
        self._connection = connection
        self._agent = agent
        self._there = there
        self._open: dict[int, socket.socket] = {}

    def run(self) -> None:
        # The other side is gone, or `detach` has ended this one.
        with suppress(OSError, EOFError, ValueError):
            for number, message in messages(self._connection):
                if number == _THERE:
                    self._connection.settimeout(None)
                    self._there.set()
                elif message:
                    self._say(number, self._answer(number, message))
                else:
                    self._close(number)
                    self._say(number, b"")
        for number in list(self._open):
            self._close(number)

    def _answer(self, number: int, message: bytes) -> bytes:
        if message[0] not in (_IDENTITIES, _SIGN):
            return _FAILURE
        try:
            if number not in self._open:
                self._open[number] = agent = socket.socket(socket.AF_UNIX)
                agent.connect(str(self._agent))
            self._open[number].sendall(struct.pack(">L", len(message)) + message)
            (size,) = struct.unpack(">L", _exactly(self._open[number], 4))
            if size > _LARGEST:
                raise ValueError(size)
            return _exactly(self._open[number], size)
        except (OSError, EOFError, ValueError):
            self._close(number)
            return _FAILURE

    def _say(self, number: int, message: bytes) -> None:
        self._connection.sendall(struct.pack(">BL", number, len(message)) + message)

    def _close(self, number: int) -> None:
        agent = self._open.pop(number, None)
        if agent is not None:
            agent.close()


def messages(connection: socket.socket) -> Iterator[tuple[int, bytes]]:
    """The program's messages out of Docker's frames, whatever the boundaries of these are."""
    buffer = b""
    while True:
        while len(buffer) >= 5:
            number, size = struct.unpack(">BL", buffer[:5])
            if size > _LARGEST:
                raise ValueError(size)
            if len(buffer) < 5 + size:
                break
            yield number, buffer[5 : 5 + size]
            buffer = buffer[5 + size :]
        channel, length = struct.unpack(">BxxxL", _exactly(connection, 8))
        content = _exactly(connection, length)
        buffer += content if channel == 1 else b""


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = connection.recv(min(size - len(data), 1 << 16))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)
