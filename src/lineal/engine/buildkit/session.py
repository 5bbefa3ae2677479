"""What one build gives its daemon while it lasts: secrets, logins, SSH agents, blobs; and a place for its result.

A session is one build's, and what it hands out is asked for at the moment of use. Nothing here is named by what it
is: the ids of secrets and agents are made up for this build, so that no other client of a shared daemon can ask for
them by guessing."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from lineal.engine.buildkit.grpc import NOT_FOUND, Connection, Handler, RpcError, Stream, unary
from lineal.engine.buildkit.protocol import auth_pb2, content_pb2, control_pb2, secrets_pb2, ssh_pb2
from lineal.oci.credential import Credential

_CHUNK = 1 << 20
_LARGEST = 256 * 1024
_IDENTITIES, _SIGN = 11, 13
"""The requests that a command may make of an agent: to list keys and to sign, as with `docker build`."""
_FAILURE = struct.pack(">LB", 1, 5)
_SERVING = b"\x08\x01"
_SERVICES = {
    "/grpc.health.v1.Health/Check": "_health",
    "/moby.filesync.v1.Auth/Credentials": "_credentials",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret": "_secret",
    "/moby.sshforward.v1.SSH/CheckAgent": "_check_agent",
    "/containerd.services.content.v1.Content/Info": "_info",
}


class Blobs(Protocol):
    def size(self, digest: str) -> int | None:
        """Bytes of a blob; None when it is none of this build's."""

    def open(self, digest: str) -> BinaryIO:
        """A file of its own for each call. Raises `LinealError`."""


class Session:
    """The services of one build. Fill it before the build starts."""

    def __init__(self, login: Callable[[str], Credential | None], blobs: Blobs) -> None:
        """`login` gives the credential for a registry's host, looked up anew each time."""
        self.id = secrets.token_hex(16)
        self._login = login
        self._blobs = blobs
        self._secrets: dict[str, bytes] = {}
        self._agents: dict[str, Path] = {}
        self._result: Callable[[Stream], None] | None = None
        self.failure: Exception | None = None
        """What went wrong here while the daemon asked: the reason of a failure that the daemon tells in its way."""

    def secret(self, value: bytes) -> str:
        """A made-up id under which the daemon gets this value."""
        id = secrets.token_hex(16)
        self._secrets[id] = value
        return id

    def agent(self, path: Path) -> str:
        id = secrets.token_hex(16)
        self._agents[id] = path
        return id

    def result(self, take: Callable[[Stream], None]) -> None:
        """`take` gets the file that the daemon sends."""
        self._result = take

    def serve(self, control: Connection) -> Connection:
        """Open the session on a connection to the daemon; close what is returned to end it."""
        handlers: dict[str, Handler] = {path: unary(getattr(self, name)) for path, name in _SERVICES.items()}
        handlers["/moby.sshforward.v1.SSH/ForwardAgent"] = self._forward
        handlers["/containerd.services.content.v1.Content/Read"] = self._read
        handlers["/moby.filesync.v1.FileSend/DiffCopy"] = self._take
        metadata = [("x-docker-expose-session-uuid", self.id), ("x-docker-expose-session-sharedkey", "")]
        metadata += [("x-docker-expose-session-grpc-method", path) for path in handlers]
        stream = control.open("/moby.buildkit.v1.Control/Session", metadata)
        return Connection(_Tunnel(stream), handlers={path: self._noting(one) for path, one in handlers.items()})

    def _noting(self, handler: Handler) -> Handler:
        def handle(stream: Stream) -> None:
            try:
                handler(stream)
            except RpcError:
                raise
            except Exception as error:
                self.failure = self.failure or error
                raise

        return handle

    # --- services ---

    def _health(self, _: bytes) -> bytes:
        return _SERVING

    def _credentials(self, message: bytes) -> bytes:
        found = self._login(auth_pb2.CredentialsRequest.FromString(message).Host)
        if found is None:
            return b""
        # Without a name, it is a refresh token, as in docker's configuration.
        name = "" if found.identity_token else found.username
        answer = auth_pb2.CredentialsResponse(Username=name, Secret=found.identity_token or found.password)
        return answer.SerializeToString()

    def _secret(self, message: bytes) -> bytes:
        id = secrets_pb2.GetSecretRequest.FromString(message).ID
        if id not in self._secrets:
            raise RpcError(NOT_FOUND, "there is no such secret")
        return secrets_pb2.GetSecretResponse(data=self._secrets[id]).SerializeToString()

    def _check_agent(self, message: bytes) -> bytes:
        if ssh_pb2.CheckAgentRequest.FromString(message).ID not in self._agents:
            raise RpcError(NOT_FOUND, "there is no such agent")
        return b""

    def _forward(self, stream: Stream) -> None:
        agent = self._agents.get(stream.metadata.get("buildkit.ssh.id", ""))
        if agent is None:
            raise RpcError(NOT_FOUND, "there is no such agent")
        _AgentCall(stream, agent).run()

    def _info(self, message: bytes) -> bytes:
        digest = content_pb2.InfoRequest.FromString(message).digest
        info = content_pb2.Info(digest=digest, size=self._size(digest))
        return content_pb2.InfoResponse(info=info).SerializeToString()

    def _size(self, digest: str) -> int:
        size = self._blobs.size(digest)
        if size is None:
            raise RpcError(NOT_FOUND, f"{digest} is none of this build's")
        return size

    def _read(self, stream: Stream) -> None:
        request = content_pb2.ReadContentRequest.FromString(stream.receive() or b"")
        whole = self._size(request.digest)
        offset = max(request.offset, 0)
        rest = min(request.size or whole, whole - offset)
        with self._blobs.open(request.digest) as file:
            file.seek(offset)
            while rest > 0 and (data := file.read(min(rest, _CHUNK))):
                stream.send(content_pb2.ReadContentResponse(offset=offset, data=data).SerializeToString())
                offset += len(data)
                rest -= len(data)

    def _take(self, stream: Stream) -> None:
        if self._result is None:
            raise RpcError(NOT_FOUND, "no file is expected")
        self._result(stream)


class _Tunnel:
    """The bytes inside of a session's call, as a transport for the connection in it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def receive(self) -> bytes:
        while (message := self._stream.receive()) is not None:
            if data := control_pb2.BytesMessage.FromString(message).data:
                return bytes(data)
        return b""

    def send(self, data: bytes) -> None:
        self._stream.send(control_pb2.BytesMessage(data=data).SerializeToString())

    def close(self) -> None:
        self._stream.cancel()


def received(stream: Stream) -> bytes:
    """The next bytes of a stream of `BytesMessage`; none at its end."""
    message = stream.receive()
    return b"" if message is None else bytes(control_pb2.BytesMessage.FromString(message).data)


class _AgentCall:
    """One client of an SSH agent in the container, with a connection of its own to the agent here."""

    def __init__(self, stream: Stream, agent: Path) -> None:
        self._stream = stream
        self._agent = agent
        self._buffer = bytearray()

    def run(self) -> None:
        with suppress(OSError, EOFError), socket.socket(socket.AF_UNIX) as agent:
            agent.connect(str(self._agent))
            while (message := self._message()) is not None:
                answer = (
                    self._answer(agent, message) if message[:1] and message[0] in (_IDENTITIES, _SIGN) else _FAILURE
                )
                self._stream.send(ssh_pb2.BytesMessage(data=answer).SerializeToString())

    def _message(self) -> bytes | None:
        """The next whole request, None at the end."""
        while len(self._buffer) < 4 or len(self._buffer) < 4 + self._length():
            message = self._stream.receive()
            if message is None:
                return None
            self._buffer += ssh_pb2.BytesMessage.FromString(message).data
        size = self._length()
        found = bytes(self._buffer[4 : 4 + size])
        del self._buffer[: 4 + size]
        return found

    def _length(self) -> int:
        (size,) = struct.unpack(">L", self._buffer[:4])
        if size > _LARGEST:
            raise EOFError
        return int(size)

    def _answer(self, agent: socket.socket, message: bytes) -> bytes:
        agent.sendall(struct.pack(">L", len(message)) + message)
        head = _exactly(agent, 4)
        (size,) = struct.unpack(">L", head)
        if size > _LARGEST:
            raise EOFError
        return head + _exactly(agent, size)


def _exactly(agent: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = agent.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data
