"""Requests as servers and proxies see them: what is kept, unpacked, quoted and tunnelled."""

from __future__ import annotations

import gzip
import http.server
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lineal.errors import Unreachable
from lineal.store.registry.client import Registry
from lineal.store.registry.http import InvalidAddress, RequestFailed, Session
from tests.servers import free_port
from tests.unit.store.conftest import SELF_SIGNED, Fake, environ

Start = Callable[[Any], Fake]
_TIMEOUT = (10.0, 10.0)
_BIG = b"0" * 1_000_000


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session("registry.example", environ(tmp_path))


def read(session: Session, url: str, **options: Any) -> bytes:
    with session.request("GET", url, timeout=_TIMEOUT, **options) as answer:
        return b"".join(answer.chunks(1000))


# --- connections ------------------------------------------------------------------------------------------------


def test_a_connection_serves_again_once_an_answer_was_read_to_its_end(fake: Start, session: Session) -> None:
    server = fake(lambda *_: (200, {}, _BIG))
    url = f"http://{server.host}/"
    assert read(session, url) == read(session, url) == _BIG
    assert server.connections == 1
    with session.request("GET", url, timeout=_TIMEOUT) as left:
        next(left.chunks(1000))
    assert read(session, url) == _BIG
    assert server.connections == 2
    with session.request("GET", url, timeout=_TIMEOUT) as twice:
        assert sum(map(len, twice.chunks(1000))) == len(_BIG)
        twice.close()
    assert [len(kept) for kept in session.idle.values()] == [1]


def test_what_is_closed_keeps_no_connection_and_opens_another_when_it_is_used(fake: Start, session: Session) -> None:
    server = fake(lambda *_: (200, {}, _BIG))
    url = f"http://{server.host}/"
    read(session, url)
    [[kept]] = session.idle.values()
    session.close()
    assert kept.sock is None and not session.idle
    assert read(session, url) == _BIG
    assert server.connections == 2


def test_answers_that_are_read_at_once_come_on_connections_of_their_own(fake: Start, session: Session) -> None:
    server = fake(lambda _method, path, *_: (200, {}, path.encode()))
    answers = [session.request("GET", f"http://{server.host}/{name}", timeout=_TIMEOUT) for name in "ab"]
    assert [b"".join(answer.chunks(9)) for answer in answers] == [b"/a", b"/b"]
    assert server.connections == 2


def test_a_connection_that_the_server_has_ended_is_not_used_again(session: Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert read(session, url) == b"ok"
        [[kept]] = session.idle.values()
        assert not kept.sock.recv(1)  # the end has arrived
        assert read(session, url) == b"ok"
        thread.join()


def test_an_answer_counts_that_comes_before_all_was_sent(session: Session) -> None:
    """As of a proxy that does not take so much: it says 413 and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with session.request("PUT", url, body=_BIG * 20, timeout=_TIMEOUT) as answer:
            assert answer.status == 413
        thread.join()


# --- what is sent and read --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", gzip.compress(_BIG)), ("x-gzip", gzip.compress(_BIG)), ("Deflate", zlib.compress(_BIG))],
)
def test_an_answer_that_is_packed_unasked_is_unpacked_piece_by_piece(
    fake: Start, session: Session, encoding: str, packed: bytes
) -> None:
    server = fake(lambda *_: (200, {"Content-Encoding": encoding}, packed))
    with session.request("GET", f"http://{server.host}/", timeout=_TIMEOUT) as answer:
        pieces = list(answer.chunks(1000))
    assert b"".join(pieces) == _BIG and max(map(len, pieces)) == 1000
    assert server.seen[0][2]["accept-encoding"] == "identity"


def test_what_is_not_packed_as_it_says_is_no_answer(fake: Start, session: Session) -> None:
    server = fake(lambda *_: (200, {"Content-Encoding": "gzip"}, b"as it is"))
    with pytest.raises(RequestFailed):
        read(session, f"http://{server.host}/")


@pytest.mark.parametrize("wrong", [{"Content-Length": "9"}, {"Transfer-Encoding": "chunked"}])
def test_an_answer_that_breaks_off_is_none(fake: Start, session: Session, wrong: dict[str, str]) -> None:
    server = fake(lambda *_: (200, wrong, b"half"))
    with pytest.raises(RequestFailed):
        read(session, f"http://{server.host}/")
    assert not any(session.idle.values())


def test_an_address_is_quoted_as_far_as_it_is_not(fake: Start, session: Session) -> None:
    server = fake(lambda *_: (200, {}, b""))
    read(session, f"http://{server.host}/ä b%20c?sig=a%2Fb|c#part")
    assert server.paths("GET") == ["/%C3%A4%20b%20c?sig=a%2Fb%7Cc"]


@pytest.mark.parametrize(
    "url", ["http://[/", "http://host:port/", "http:///x", "gopher://host/", "http://.a/", f"http://{'a' * 70}/"]
)
def test_an_address_that_makes_no_sense(session: Session, url: str) -> None:
    with pytest.raises(InvalidAddress):
        read(session, url)


def test_a_header_that_comes_several_times_is_one(session: Session) -> None:
    head = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nwww-authenticate: Bearer\r\nContent-Length: 0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(head)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with session.request("GET", url, timeout=_TIMEOUT) as answer:
            assert answer.headers["Www-Authenticate"] == "Basic, Bearer"
            assert "absent" not in answer.headers and len(answer.headers) == len(list(answer.headers)) == 2
        thread.join()


# --- proxies ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """Of registry.example and of a proxy on loopback."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "tls.key", folder / "tls.crt"
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:registry.example"]
    subprocess.run([*SELF_SIGNED, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return cert, context


class Tags(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b'{"tags": ["%s"]}' % self.headers["Host"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[str]:
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"  # type: ignore[index]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def registry(certificate: tuple[Path, ssl.SSLContext]) -> Iterator[str]:
    """Speaks https, and has one tag, which is the name that it was called by."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tags)
    server.socket = certificate[1].wrap_socket(server.socket, server_side=True)
    with serving(server) as address:
        yield address


@contextmanager
def proxy(target: str, encrypted: ssl.SSLContext | None, answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Answers CONNECT, and sends what follows to `target`, whatever the name."""
    heads: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            heads.append(self.request.recv(1 << 16))
            self.request.sendall(b"HTTP/1.1 " + answer + b"\r\nVia: us\r\n\r\n")
            host, port = target.split(":")
            with socket.create_connection((host, int(port))) as beyond:
                back = threading.Thread(target=carry, args=(beyond, self.request), daemon=True)
                back.start()
                carry(self.request, beyond)
                back.join()

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    if encrypted:
        server.socket = encrypted.wrap_socket(server.socket, server_side=True)
    with serving(server) as address:
        yield address, heads


def carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("scheme", ["", "http://", "https://"])
def test_https_goes_through_a_proxy_that_knows_us(
    registry: str, certificate: tuple[Path, ssl.SSLContext], tmp_path: Path, scheme: str
) -> None:
    authority, context = certificate
    with proxy(registry, context if scheme == "https://" else None, b"200 Go") as (address, heads):
        way = {"HTTPS_PROXY": f"{scheme}me:se%20cret@{address}", "SSL_CERT_FILE": str(authority)}
        store = Registry("registry.example", "team/app", environ=environ(tmp_path, **way))
        store.connect(1)
        assert store.tags() == store.tags() == ["registry.example"]
    head = b"CONNECT registry.example:443 HTTP/1.1\r\nHost: registry.example:443\r\n"
    assert heads[0] == head + b"Proxy-Authorization: Basic bWU6c2UgY3JldA==\r\n\r\n"


def test_http_asks_the_proxy_by_the_whole_address(fake: Start, tmp_path: Path) -> None:
    server = fake(lambda *_: (200, {}, b'{"tags": ["a"]}'))
    environment = environ(tmp_path, http_proxy=f"http://me:secret@{server.host}")
    store = Registry("registry.example:5000", "team/app", insecure=True, environ=environment)
    assert store.tags() == ["a"]
    [(_, path, headers)] = server.seen
    assert path.startswith("http://registry.example:5000/v2/team/app/tags/list")
    assert headers["host"] == "registry.example:5000"
    assert headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"


@pytest.mark.parametrize("kind", ["refuses", "is not there", "speaks something else"])
def test_a_proxy_that_cannot_be_used(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    with proxy(registry, None, b"407 Who are you") as (address, _):
        addresses = {"refuses": address, "is not there": f"127.0.0.1:{free_port()}"}
        way = f"http://{addresses.get(kind)}" if kind in addresses else f"socks5://{address}"
        store = Registry("registry.example", "team/app", environ=environ(tmp_path, HTTPS_PROXY=way), most_tries=1)
        with pytest.raises(Unreachable, match=r"^The proxy to registry\.example cannot be used"):
            store.tags()


def test_pysocks_is_used_where_it_is_installed(
    registry: str, certificate: tuple[Path, ssl.SSLContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def create_connection(*options: Any) -> socket.socket:
        asked.append(options)
        host, port = registry.split(":")
        return socket.create_connection((host, int(port)))

    module = SimpleNamespace(SOCKS4=1, SOCKS5=2, create_connection=create_connection)
    monkeypatch.setitem(sys.modules, "socks", module)
    way = {"ALL_PROXY": "socks5h://me:secret@127.0.0.1", "SSL_CERT_FILE": str(certificate[0])}
    assert Registry("registry.example", "team/app", environ=environ(tmp_path, **way)).tags() == ["registry.example"]
    options = (("registry.example", 443), 10.0, None, 2, "127.0.0.1", 1080, True, "me", "secret")
    assert [given[:-1] for given in asked] == [options]


# --- servers that serve one connection after the other ----------------------------------------------------------


@pytest.fixture
def serial(session: Session) -> Iterator[str]:
    class Once(Tags):
        protocol_version = "HTTP/1.0"

    with serving(http.server.HTTPServer(("127.0.0.1", 0), Once)) as address:
        yield f"http://{address}/"
        session.close()


def test_of_connections_that_wait_the_one_that_was_opened_first_is_used_first(serial: str, session: Session) -> None:
    for _ in range(3):
        session.connect(serial, _TIMEOUT[0])
    assert read(session, serial) == read(session, serial) == read(session, serial)


def test_a_server_that_closes_its_connections_gets_none_that_wait(serial: str, session: Session) -> None:
    read(session, serial)
    session.connect(serial, _TIMEOUT[0])
    assert not session.is_connected(serial)
