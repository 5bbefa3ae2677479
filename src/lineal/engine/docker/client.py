"""The Docker Engine's HTTP API: one connection, its calls typed, its failures in plain sentences."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast
from urllib.parse import quote

from lineal.engine.docker import endpoint
from lineal.errors import LinealError, Unreachable
from lineal.tar.compression import ChunkStream

if TYPE_CHECKING:
    import docker
    import requests

T = TypeVar("T")
TIMEOUT = 600.0
"""Seconds without an answer to an ordinary call. Calls that last as long as the user's command have no limit."""
_CHECK_EVERY = 0.2
"""Seconds between two checks whether the run goes on, while the engine is silent."""
_INTERACTIVE = {"stdin": 1, "stdout": 1, "stream": 1}

_REMEDY = (
    "Start Docker, choose another `docker context` or set DOCKER_HOST; in GitLab CI add the service docker:dind "
    "(or a runner with a Docker socket), on GitHub use a Linux runner, which has one."
)


class Refused(Unreachable):
    """The engine answered, with an error. `status` is the HTTP status, `reason` the engine's own words."""

    def __init__(self, status: int, reason: str, what: str, host: str) -> None:
        sentence = f"Docker Engine at {host} could not {what}: {reason.strip()} (HTTP {status})."
        super().__init__(sentence, id="LN-5002")
        self.status = status
        self.reason = reason.strip()


class Client:
    """Calls to one engine. Safe to use from several threads."""

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        check: Callable[[], None] = lambda: None,
        *,
        timeout: float = TIMEOUT,
    ) -> None:
        """Connects to the engine that `environment` names (see `endpoint`) and negotiates the API version.

        `check` is called between the chunks of what is sent or received and raises when that is to stop. `timeout` is
        in seconds, for calls that do not last as long as the user's command."""
        self._check = check
        self._timeout = timeout
        found = endpoint.find(os.environ if environment is None else environment)
        self.host = str(found)
        self._attached: list[Any] = []
        self._info: dict[str, Any] | None = None
        self._api = self._connect(found)

    def _connect(self, found: endpoint.Endpoint) -> docker.APIClient:
        import docker

        try:
            options = {"base_url": found.host, "tls": endpoint.tls_of(found), "timeout": int(self._timeout)}
            api = docker.APIClient(version="auto", max_pool_size=32, **options)
        except (docker.errors.DockerException, OSError, ValueError) as error:
            self._unreachable(error)
        # Otherwise the daemon gzips archive answers, which takes thirteen times as long as reading them.
        api.headers["Accept-Encoding"] = "identity"
        return api

    def _unreachable(self, error: Exception) -> NoReturn:
        text = str(error)
        if "Permission denied" in text:
            remedy = "Run as a user who may use Docker (root, or a member of the group docker) or set DOCKER_HOST."
            raise Unreachable(
                f"No permission to use the Docker Engine at {self.host}.", id="LN-5001", remedy=remedy
            ) from error
        if any(word in text for word in ("SSL", "TLS", "certificate", "HTTP request to an HTTPS server")):
            remedy = (
                "Set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH to the directory with ca.pem, cert.pem and key.pem."
            )
            raise Unreachable(
                f"No TLS connection to the Docker Engine at {self.host}.", id="LN-5001", remedy=remedy
            ) from error
        raise Unreachable(
            f"The Docker Engine at {self.host} cannot be reached.", id="LN-5001", remedy=_REMEDY
        ) from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import requests
        import urllib3.exceptions

        try:
            yield
        except LinealError:
            raise
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            self._unreachable(error)

    def call(
        self,
        method: str,
        path: str,
        what: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        data: Iterable[bytes] | None = None,
        endless: bool = False,
        stream: bool = False,
    ) -> requests.Response:
        """One call; `what` completes "could not ...". `body` is sent as JSON, `data` as a tar stream (in HTTP
        chunks, so that the engine unpacks while we read).

        Raises `Refused` for a status of 400 and above, `Unreachable` when there is no answer."""
        headers = {} if data is None else {"Content-Type": "application/x-tar"}
        with self._errors():
            answer = self._api.request(
                method,
                f"{self._api.base_url}/v{self._api.api_version}{quote(path)}",
                params=params,
                json=body,
                data=None if data is None else self._checked(data),
                headers=headers,
                stream=stream,
                timeout=None if endless else self._timeout,
            )
            if answer.status_code >= 400:
                raise Refused(answer.status_code, _reason(answer.text), what, self.host)
        return answer

    def json(self, method: str, path: str, what: str, **options: Any) -> Any:
        answer = self.call(method, path, what, **options)
        with self._errors():
            return answer.json()

    def info(self) -> dict[str, Any]:
        """The engine's settings, as they were when they were first asked for."""
        if self._info is None:
            self._info = cast(dict[str, Any], self.json("GET", "/info", "ask for the engine's settings"))
        return self._info

    def in_containerd(self) -> bool:
        """Whether the engine keeps its images in containerd, as new installations of Docker 29 do."""
        return ["driver-type", "io.containerd.snapshotter.v1"] in (self.info().get("DriverStatus") or [])

    def find(self, path: str, what: str) -> dict[str, Any] | None:
        """The object at `path`, None when the engine has none."""
        try:
            return cast(dict[str, Any], self.json("GET", path, what))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    @contextmanager
    def reader(self, path: str, what: str, params: Mapping[str, str] | None = None) -> Iterator[BufferedReader]:
        """The body of a GET as a buffered stream, which gives what is there without waiting for a full buffer."""
        with self.call("GET", path, what, params=params, endless=True, stream=True) as answer:
            yield BufferedReader(ChunkStream(self._chunks(answer)), 1 << 16)

    def _chunks(self, answer: requests.Response) -> Iterator[bytes]:
        with self._errors():
            yield from self._checked(answer.raw.stream(1 << 18))

    def _checked(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._check()
            yield chunk

    @contextmanager
    def output(self, container: str, what: str) -> Iterator[BufferedReader]:
        """What a container prints, in Docker's frames; to be asked for before it starts.

        An engine's log that is followed may lose the last lines of a short command."""
        connection = self.attach(container, what, {"stdout": 1, "stderr": 1, "stream": 1})

        def chunks() -> Iterator[bytes]:
            with self._errors():
                yield from self._checked(iter(lambda: connection.recv(1 << 16), b""))

        try:
            yield BufferedReader(ChunkStream(chunks()), 1 << 16)
        finally:
            self.detach(connection)

    def attach(self, container: str, what: str, streams: Mapping[str, int] = _INTERACTIVE) -> socket.socket:
        """A container's standard input and output: bytes as they are there, output in Docker's frames."""
        import docker

        try:
            found = self._api.attach_socket(container, params=dict(streams))
        except docker.errors.APIError as error:
            raise Refused(error.status_code or 500, str(error.explanation or error), what, self.host) from error
        except (OSError, docker.errors.DockerException) as error:
            self._unreachable(error)
        # Over unix and TCP it is a reader around the socket; it must live as long as that.
        plain = cast(socket.socket, getattr(found, "_sock", found))
        self._attached.append(found)
        return plain

    def start(self, program: str) -> Any:
        """The standard streams of a program that was created in a container (`/exec`): a socket, or a reader around
        one (`_sock`), which must live as long."""
        import docker

        try:
            return self._api.exec_start(program, socket=True)
        except docker.errors.APIError as error:
            raise Refused(
                error.status_code or 500, str(error.explanation or error), "start a program", self.host
            ) from error
        except (OSError, docker.errors.DockerException) as error:
            self._unreachable(error)

    def upgraded(self, path: str) -> tuple[socket.socket, bytes]:
        """A connection that speaks another protocol from here on, and what came with the answer already.

        Raises `Refused` for an engine that does not change."""
        headers = {"Connection": "Upgrade", "Upgrade": "h2c"}
        with self._errors():
            answer = self._api.request(
                "POST", f"{self._api.base_url}{path}", headers=headers, stream=True, timeout=self._timeout
            )
        if answer.status_code != 101:
            raise Refused(answer.status_code, _reason(answer.text), "change the protocol", self.host)
        reader = cast(Any, answer.raw)._fp.fp
        plain = cast(socket.socket, getattr(reader.raw, "_sock", reader.raw))
        # The answer owns the connection.
        self._attached.append(answer)
        plain.setblocking(False)
        there = reader.peek()
        plain.setblocking(True)
        return plain, there

    def detach(self, connection: socket.socket) -> None:
        """End what `attach` gave, also for a thread that reads from it."""
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        self._attached = [one for one in self._attached if getattr(one, "_sock", one) is not connection]

    def stat(self, container: str, path: str) -> dict[str, Any] | None:
        """The entry at `path` of a container: `mode` (Go's bits), `linkTarget` (resolved); None when nothing is."""
        try:
            answer = self.call("HEAD", f"/containers/{container}/archive", f"look at {path}", params={"path": path})
        except Refused as refused:
            if refused.status == 404:
                return None
            raise
        return cast(dict[str, Any], json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"])))

    def put(self, container: str, path: str, tar: Iterable[bytes], what: str) -> None:
        """Unpack a tar stream into a directory of a container (or of a volume mounted there)."""
        params = {"path": path, "noOverwriteDirNonDir": "1"}
        self.call("PUT", f"/containers/{container}/archive", what, params=params, data=tar, endless=True)


def _reason(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:500] or "no reason given"


def call_interruptibly(work: Callable[[], T], check: Callable[[], None]) -> T:
    """The result or the exception of `work`; given up, and left to itself, when `check` raises.

    For calls during which the engine is silent for long and whose effect does no harm when nobody waits for it."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 (raised again by the thread that waits)
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_CHECK_EVERY)
        if thread.is_alive():
            check()
    if errors:
        raise errors[0]
    return results[0]
