"""A proxy before a real docker-registry that makes it behave like another one, quirk by quirk."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_ABORT = b"\1\0\0\0\0\0\0\0"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "date", "server"}


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    """Path and query as sent."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    @property
    def kind(self) -> str:
        """What it is about: `tags`, `manifests`, `blobs`, `uploads`, or nothing of these."""
        if self.path.endswith("/tags/list"):
            return "tags"
        if "/blobs/uploads/" in self.path:
            return "uploads"
        return next((kind for kind in ("manifests", "blobs") if f"/{kind}/" in self.path), "")

    @property
    def tag(self) -> str:
        """The tag that it writes, if any."""
        name = self.path.rpartition("/")[2]
        return name if self.method == "PUT" and self.kind == "manifests" and ":" not in name else ""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def but(self, **headers: str | None) -> Answer:
        """The same with other headers (`_` stands for `-`); None takes one away."""
        names = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in names}
        return replace(self, headers=kept | {name: value for name, value in names.items() if value is not None})

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")


def refusal(status: int, code: str, message: str, **headers: str) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Answer(status, {"Content-Type": "application/json", **headers}, body)


class Dropped(Exception):
    """The connection is reset instead of an answer."""


Forward = Callable[[Request], Answer]


class Quirk:
    """One way in which a registry differs: it sees each request, and may pass it on, or answer by itself."""

    home = ""
    """`host:port` of the proxy that it is part of."""
    faults = 0
    """How many requests a client had to send again because of it."""

    def __call__(self, request: Request, forward: Forward) -> Answer:
        return forward(request)


@dataclass
class Proxy:
    """A registry at `host`: the real one at `upstream`, seen through the quirks, the first one outermost."""

    upstream: str
    quirks: Sequence[Quirk]
    host: str = ""
    seen: list[Request] = field(default_factory=list)
    written: dict[str, set[str]] = field(default_factory=dict)
    """By path of a tag: the digests that it was pointed at."""
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _connections: threading.local = field(default_factory=threading.local)

    @property
    def moved(self) -> list[str]:
        """The tags that were pointed at one digest and then at another."""
        return [path for path, digests in self.written.items() if len(digests) > 1]

    @property
    def faults(self) -> int:
        return sum(quirk.faults for quirk in self.quirks)

    def asked(self, kind: str = "", method: str = "") -> int:
        """How many requests there were of this kind and method; empty stands for all."""
        counted = Counter((request.kind, request.method) for request in self.seen)
        return sum(count for key, count in counted.items() if kind in ("", key[0]) and method in ("", key[1]))

    def serve(self, request: Request) -> Answer:
        with self._guard:
            self.seen.append(request)
        forward: Forward = self._pass_on
        for quirk in reversed(self.quirks):
            forward = partial(quirk, forward=forward)
        return forward(request)

    def _pass_on(self, request: Request) -> Answer:
        connection = getattr(self._connections, "it", None) or http.client.HTTPConnection(self.upstream, timeout=300)
        self._connections.it = connection
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        connection.request(request.method, request.target, request.body or None, headers)
        response = connection.getresponse()
        body = response.read()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP}
        if request.tag and response.status == 201:
            with self._guard:
                digest = f"sha256:{hashlib.sha256(request.body).hexdigest()}"
                self.written.setdefault(request.path, set()).add(digest)
        return Answer(response.status, kept, body)


@contextmanager
def proxy(upstream: str, *quirks: Quirk) -> Iterator[Proxy]:
    made = Proxy(upstream, quirks)
    with serve(made.serve) as made.host:
        for quirk in quirks:
            quirk.home = made.host
        yield made


@contextmanager
def serve(answer: Forward) -> Iterator[str]:
    """An HTTP server on a port of its own; gives `127.0.0.1:PORT`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                said = answer(Request(self.command, self.path, headers, body))
            except Dropped:
                self.close_connection = True
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                self.connection.close()
                return
            self.send_response(said.status)
            for name, value in said.headers.items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            # An answer to HEAD keeps the length of what it does not have.
            length = said.header("Content-Length") if self.command == "HEAD" else ""
            self.send_header("Content-Length", length or str(len(said.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _serve

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
