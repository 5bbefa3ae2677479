"""HTTP/1.1 with the standard library: connections are kept for the next request, and nothing is decided here: no
netrc, no cookies, no redirects, no retries.

`requests` can do the same, and importing it takes a sixth of a run that finds everything."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Protocol, Self
from urllib.parse import quote, urlsplit

import lineal
from lineal.store.registry.connection import Connection, ProxyError
from lineal.store.registry.deadline import watch
from lineal.store.registry.proxies import Proxies
from lineal.store.registry.tls import Certificates

POOL = 24
"""Connections to one server that are kept: for as many look-ups at once."""
_UNQUOTED = "!#$%&'()*+,/:;=?@[]~"
_REDIRECTS = (301, 302, 303, 307, 308)


class RequestFailed(Exception):
    """A request that was not answered, or not to the end. Its `__cause__` says why."""


class InvalidAddress(RequestFailed):
    """No request can be sent to this address."""


class Body(Protocol):
    """What is sent, when it is not bytes; its size is in the headers."""

    def read(self, size: int, /) -> bytes: ...


class Session:
    """Proxies and certificate authorities come from the environment, as for every tool, and from Docker's certificate
    directory for `endpoint`. Several threads may send at once."""

    def __init__(self, endpoint: str, environ: Mapping[str, str]) -> None:
        """Raises `BadConfiguration`."""
        self.headers = {
            "User-Agent": f"lineal/{lineal.__version__}",
            "Accept-Encoding": "identity",
            "Accept": "*/*",
            "Connection": "keep-alive",
        }
        self._proxies, self._certificates = Proxies(environ), Certificates(endpoint, environ)
        self._guard = threading.Lock()
        self.idle: dict[tuple[str, str], list[Connection]] = {}
        """By scheme and server; what is opened for later requests before what was used."""
        self._closing: set[tuple[str, str]] = set()
        """Servers that close a connection behind an answer. Some serve one after the other: a connection that is
        opened for later would keep them from all others."""

    def connect(self, url: str, seconds: float) -> None:
        """Open a connection to the host of `url` and keep it for the next request there. Raises `RequestFailed`."""
        with _told():
            if self._proxies.of(url):
                return  # the request tells the proxy first where to go
            if _server(url) in self._closing:
                return
            scheme, netloc = _server(url)
            if scheme == "https":
                self._certificates.expect(netloc)
            self._keep(url, self._opened(url, seconds), unused=True)

    def is_connected(self, url: str) -> bool:
        """Whether a connection to the host of `url` waits for its next request."""
        return bool(self.idle.get(_server(url)))

    def close(self) -> None:
        """Close what nobody uses; the next request opens another one."""
        with self._guard:
            unused, self.idle = self.idle, {}
        for connections in unused.values():
            for connection in connections:
                connection.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        timeout: tuple[float, float],
    ) -> Answer:
        """The head of the answer; its body is still to be read. `timeout` has the seconds for connecting and for each
        wait of the rest. Raises `RequestFailed`."""
        with _told():
            url = quote(url.partition("#")[0], safe=_UNQUOTED)
            connecting, reading = timeout
            connection = self._kept(url) or self._opened(url, connecting)
            try:
                watch(connection.sock.fileno())
                connection.sock.settimeout(reading)
                response = _ask(connection, method, url, {**self.headers, **(headers or {})}, body)
                if response.will_close:
                    self._closing.add(_server(url))
                return Answer(response, url, connection, self._keep)
            except BaseException:
                connection.close()
                raise

    def _opened(self, url: str, seconds: float) -> Connection:
        connection = Connection(urlsplit(url), self._proxies.of(url), self._certificates, seconds)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def _kept(self, url: str) -> Connection | None:
        while True:
            with self._guard:
                idle = self.idle.get(_server(url))
                connection = idle.pop() if idle else None
            if connection is None or connection.is_quiet:
                return connection
            connection.close()

    def _keep(self, url: str, connection: Connection, unused: bool = False) -> None:
        """The last one is used next. Of unused ones it is the first that was opened: the server may wait for it."""
        with self._guard:
            idle = self.idle.setdefault(_server(url), [])
            if len(idle) < POOL:
                idle.insert(0 if unused else len(idle), connection)
                return
        connection.close()


class Answer:
    """An answer whose body is still to be read. Raises `RequestFailed` where that fails."""

    def __init__(
        self, response: HTTPResponse, url: str, connection: Connection, keep: Callable[[str, Connection], None]
    ) -> None:
        """`keep` takes the connection when all has been read."""
        self.status, self.url = response.status, url
        self.headers: Mapping[str, str] = Headers(response)
        self._response, self._connection, self._keep = response, connection, keep
        self._read, self._closed = False, False

    @property
    def is_redirect(self) -> bool:
        return self.status in _REDIRECTS and "Location" in self.headers

    def chunks(self, size: int) -> Iterator[bytes]:
        """The body in chunks of at most `size` bytes."""
        packed = self.headers.get("Content-Encoding", "").lower() in ("gzip", "x-gzip", "deflate")
        with _told():
            # Some say gzip however they are asked.
            yield from _unpacked(self._chunks(size), size) if packed else self._chunks(size)

    def _chunks(self, size: int) -> Iterator[bytes]:
        if not self._response.isclosed():
            watch(self._response.fileno())
        while chunk := self._response.read(size):
            yield chunk
        if self._response.length:
            raise IncompleteRead(b"", self._response.length)
        self._read = True

    def close(self) -> None:
        """The connection is kept for another request when the body has been read to its end."""
        if self._closed:
            return
        self._closed = True
        if self._read and not self._response.will_close:
            self._keep(self.url, self._connection)
        else:
            self._response.close()
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Headers(Mapping[str, str]):
    """Of an answer. Case does not matter, and what a header says several times stands in one text."""

    def __init__(self, response: HTTPResponse) -> None:
        self._values: dict[str, str] = {}
        for name, value in response.getheaders():
            key = name.lower()
            self._values[key] = f"{self._values[key]}, {value}" if key in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _ask(
    connection: Connection, method: str, url: str, headers: dict[str, str], body: bytes | Body | None
) -> HTTPResponse:
    """Send a request and read the head of its answer."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if connection.asks_proxy:
        target = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{target}"
        headers |= connection.proxy_login
    with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it had all
        connection.request(method, target, body, headers)  # type: ignore[arg-type]
    return connection.getresponse()


def _server(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _unpacked(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """What zlib or gzip has packed, in chunks of at most `size` bytes."""
    unpacker = zlib.decompressobj(32 + zlib.MAX_WBITS)
    for chunk in chunks:
        while part := unpacker.decompress(chunk, size):
            yield part
            chunk = unpacker.unconsumed_tail


@contextmanager
def _told() -> Iterator[None]:
    """What can go wrong with a request, as `RequestFailed`."""
    try:
        yield
    except (OSError, HTTPException, ProxyError, zlib.error) as error:
        raise RequestFailed from error
    except ValueError as error:
        raise InvalidAddress from error
