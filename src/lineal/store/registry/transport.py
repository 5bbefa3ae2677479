"""HTTP to one registry: time-outs, retries, redirects, credentials for its own host only, counted traffic."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit, urlunsplit

from lineal.clock import Time
from lineal.errors import Unreachable
from lineal.oci import Traffic
from lineal.oci.credential import Credential
from lineal.oci.reference import DOCKER_HUB, DOCKER_HUB_HOSTS
from lineal.oci.types import Blob
from lineal.oci.verify import invalid_response
from lineal.store.registry.auth import Authenticator, Scope
from lineal.store.registry.deadline import Deadline
from lineal.store.registry.errors import ConnectionFailed, connection_error, refused
from lineal.store.registry.http import POOL, Answer, RequestFailed, Session
from lineal.store.registry.network_policy import is_loopback, may_redirect
from lineal.store.registry.response import Response
from lineal.store.registry.server_clock import ServerClock
from lineal.store.registry.tries import STRANGER_TRIES, TRIES, Tries, Waiting

MAX_REDIRECTS = 5
CONNECT_SECONDS = 10.0
CONNECTING_SECONDS = 1.0
"""How long a request waits for a connection that is being opened for it, before it opens its own."""
READ_SECONDS = 60.0
SMALL = 1024 * 1024
CHUNK = 256 * 1024


class Transport:
    def __init__(
        self,
        host: str,
        repository: str,
        *,
        insecure: bool,
        environ: Mapping[str, str],
        credential: Credential | None,
        fallback: Credential | None = None,
        time: Time,
        session: Session | None = None,
        note: Callable[[str], None] = lambda _text: None,
        most_tries: int | None = None,
        at_a_limit: float = 0.0,
    ) -> None:
        """`note` takes a line for people: what is waited for. `at_a_limit`: seconds to wait where a limit is used up
        and nobody says for how long."""
        self.host, self.traffic, self.clock, self.time = host, Traffic(), ServerClock(time), time
        self._note, self._most_tries = note, most_tries or TRIES
        self._waiting = Waiting(host, time, note, at_a_limit)
        self.endpoint = DOCKER_HUB if host in DOCKER_HUB_HOSTS else host
        self._scheme = "http" if insecure or is_loopback(host) else "https"
        self.session = session or Session(self.endpoint, environ)
        self._counting = threading.Lock()
        self._connecting: list[threading.Thread] = []
        self.auth = Authenticator(
            host,
            repository,
            secure=self._scheme == "https",
            exchange=self._token,
            monotonic=time.monotonic,
            environ=environ,
            credential=credential,
            fallback=fallback,
        )

    def connect(self, count: int) -> None:
        """Open connections beside what the caller does next: round trips of TCP and TLS, for which the first requests
        then do not wait. What goes wrong is left to these requests to say."""
        for _ in range(min(count, POOL)):
            thread = threading.Thread(target=self._connect, name="connect", daemon=True)
            thread.start()
            self._connecting.append(thread)

    def _connect(self) -> None:
        url = f"{self._scheme}://{self.endpoint}/"
        with suppress(Exception):
            self.session.connect(url, CONNECT_SECONDS)

    @property
    def scheme(self) -> str:
        return self._scheme

    def ask(
        self,
        method: str,
        where: str,
        scopes: Sequence[Scope] = (),
        *,
        headers: Mapping[str, str] | None = None,
        body: Blob | None = None,
        limit: int = SMALL,
        stream: bool = False,
        tries: int = TRIES,
        seconds: float = READ_SECONDS,
    ) -> Response:
        """Send to a path of the registry (or a URL that it gave) and read at most `limit` bytes of the answer.

        Raises `ConnectionFailed` when the connection fails at every try, `Unreachable` for what no retry can mend."""

        # One that calls itself would hold the body until Python looks for such circles.
        def send() -> Response:
            while True:
                url = urljoin(f"{self._scheme}://{self.endpoint}/", where)
                response, foreign = self._authorized(method, url, scopes, dict(headers or {}), body, seconds)
                answer = self._finish(response, foreign, limit, stream)
                if not self._wants_tls(answer):
                    return answer
                self._scheme = "https"

        return self._retried(send, self.host, tries)

    def _retried(self, send: Callable[[], Response], host: str, tries: int) -> Response:
        """The first answer of `host` that another try would not change, else the last one. Raises as `ask` does."""
        tries = min(tries, self._most_tries)
        counted = Tries(self._waiting if host == self.host else Waiting(host, self.time, self._note), tries)
        while True:
            answer = None
            try:
                answer = send()
            except RequestFailed as error:
                failure = connection_error(host, error)
                patience = tries if self.clock.known or host != self.host else min(tries, STRANGER_TRIES)
                if counted.number >= patience or not isinstance(failure, ConnectionFailed):
                    raise failure from None
            if answer and not (answer.passing and counted.again(answer)):
                return answer
            if not answer:
                counted.again()

    def tries(self) -> Tries:
        """For a request that its caller sends again by itself."""
        return Tries(self._waiting, self._most_tries)

    def resolve(self, base: str, location: str, what: str) -> tuple[str, bool]:
        """The URL that an answer from `base` points to, and whether it is on another host.

        A registry behind a proxy that ends TLS may call itself http: on its own host, our scheme stays."""
        try:
            url = urlsplit(urljoin(base, location))
            if url.scheme in ("http", "https") and self._own(url.netloc):
                return urlunsplit((self._scheme, self.endpoint, url.path, url.query, "")), False
            allowed = may_redirect(url, self.host, secure=self._scheme == "https")
        except ValueError:
            allowed = False
        if not allowed:
            raise Unreachable(
                f"{self.host} points to another place for {what}, which is not safe to follow.",
                id="LN-4007",
                remedy="Check the registry's configuration of its own address.",
            )
        return url.geturl(), True

    def count(self, *, read: int = 0, sent: int = 0, requests_: int = 0) -> None:
        with self._counting:
            self.traffic.bytes_read += read
            self.traffic.bytes_sent += sent
            self.traffic.requests += requests_

    def _wants_tls(self, answer: Response) -> bool:
        """A registry on loopback that has a certificate says so when it is spoken to in plain http."""
        return self._scheme == "http" and answer.status == 400 and b"HTTPS server" in answer.body

    def _own(self, netloc: str) -> bool:
        port = ":80" if self._scheme == "http" else ":443"
        return netloc.lower().removesuffix(port) == self.endpoint.lower().removesuffix(port)

    def _authorized(
        self,
        method: str,
        url: str,
        scopes: Sequence[Scope],
        headers: dict[str, str],
        body: Blob | None,
        seconds: float,
    ) -> tuple[Answer, bool]:
        if not self._own(urlsplit(url).netloc):
            return self._send(method, url, headers, body, seconds), True
        authorization = self.auth.header(scopes)
        response, foreign = self._followed(method, url, headers, authorization, body, seconds)
        if response.status != 401 or foreign:
            return response, foreign
        fresh = self.auth.answer(response.headers.get("WWW-Authenticate", ""), scopes, authorization)
        if fresh is None:
            return response, foreign
        self._drain(response, SMALL)
        return self._followed(method, url, headers, fresh, body, seconds)

    def _followed(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        authorization: str | None,
        body: Blob | None,
        seconds: float,
    ) -> tuple[Answer, bool]:
        """Follow redirects of GET and HEAD. The credential is not sent once another host has been involved."""
        foreign = False
        for _ in range(MAX_REDIRECTS + 1):
            own = {"Authorization": authorization} if authorization and not foreign else {}
            response = self._send(method, url, {**headers, **own}, body, seconds, observe=not foreign)
            location = response.headers.get("Location")
            if method not in ("GET", "HEAD") or response.status not in (301, 302, 303, 307, 308) or not location:
                return response, foreign
            self._drain(response, SMALL)
            url, elsewhere = self.resolve(url, location, "content")
            foreign = foreign or elsewhere
        raise invalid_response(self.host, "with one redirect after the other")

    def _send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: Blob | None,
        seconds: float,
        *,
        observe: bool = False,
    ) -> Answer:
        data: bytes | _Upload | None = None
        if body is not None:
            data = body.content if isinstance(body.content, bytes) else _Upload(body.open(), body.size)
        if not self.session.is_connected(url):
            with suppress(IndexError):
                self._connecting.pop(0).join(CONNECTING_SECONDS)
        sent = self.time.monotonic()
        # How long an upload takes is not for us to say.
        waiting = nullcontext() if isinstance(data, _Upload) else Deadline(self.host)
        if isinstance(data, _Upload):
            headers = {**headers, "Content-Length": str(data.size)}
        try:
            with waiting:
                response = self.session.request(
                    method, url, headers=headers, body=data, timeout=(CONNECT_SECONDS, seconds)
                )
        finally:
            size = data.sent if isinstance(data, _Upload) else len(data or b"")
            self.count(sent=size, requests_=1)
            if isinstance(data, _Upload):
                data.close()
        if observe and "Age" not in response.headers and response.status in (*range(200, 300), 401, 404):
            self.clock.observe(response.headers.get("Date"), sent, self.time.monotonic())
        return response

    def _finish(self, response: Answer, foreign: bool, limit: int, stream: bool) -> Response:
        kept = response if stream and response.status in (200, 206) else None
        body = b"" if kept is not None else self._drain(response, limit)
        return Response(response.status, response.headers, body, response.url, foreign, kept)

    def _drain(self, response: Answer, limit: int) -> bytes:
        """The whole body; reading it to its end is what lets the connection be used again."""
        parts, size = [], 0
        try:
            with Deadline(self.host):
                for part in response.chunks(CHUNK):
                    self.count(read=len(part))
                    size += len(part)
                    if size > limit:
                        sentence = f"with more than {limit} bytes where less was to be expected"
                        raise invalid_response(self.host, sentence)
                    parts.append(part)
        finally:
            response.close()
        return b"".join(parts)

    def _token(self, method: str, url: str, headers: dict[str, str], form: bytes | None) -> tuple[int, bytes]:
        """Ask a token server; its address has been checked, and it may not send our credentials on."""
        body = Blob("", len(form), form) if form is not None else None

        def send() -> Response:
            return self._finish(self._send(method, url, headers, body, READ_SECONDS), True, SMALL, False)

        server = urlsplit(url).netloc
        answer = self._retried(send, server, TRIES)
        if answer.limited:
            raise refused(server, "tokens", answer, "read", answer.pause(self.time))
        return answer.status, answer.body


class _Upload:
    """A file as a request body that counts what is sent of it."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size, self.sent = file, size, 0

    def read(self, size: int, /) -> bytes:
        part = self._file.read(size)
        self.sent += len(part)
        return part

    def close(self) -> None:
        self._file.close()
