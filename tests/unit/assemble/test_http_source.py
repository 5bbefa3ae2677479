"""`ADD` of a URL against a real server on this machine."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lineal.assemble.http_source import download, settled
from lineal.context.remote_source import GitSource, HttpSource
from lineal.errors import BadConfiguration, BuildFailed, LinealError, Unreachable

DATA = bytes(range(256)) * 5000
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.broken = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        # As a proxy it is asked for whole addresses.
        path = self.path.removeprefix("http://files.example.com")
        if path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", path.removeprefix("/to/"))
            self.end_headers()
            return
        self.send_response(404 if self.path.startswith("/none") else 200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        cut = self.path == "/cut" and self.server.broken > 0
        self.server.broken -= 1
        self.wfile.write(DATA[:1000] if cut else DATA)
        if cut:
            self.close_connection = True


@contextmanager
def running() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as made:
        yield made


def test_the_file_is_verified_and_only_its_owner_s(server: Server, tmp_path: Path) -> None:
    tree = download(HttpSource(f"{server.url}/x/y.tgz?token=1#part", "y.tgz", DIGEST), tmp_path)
    (node,) = tree.walk("")
    assert (node.path, node.kind, node.mode, node.size, node.mtime) == ("y.tgz", "file", 0o600, len(DATA), None)
    assert b"".join(tree.open(node)) == DATA
    assert not list(tmp_path.iterdir()), "its content is in a file without a name"
    assert [path for path, _ in server.asked] == ["/x/y.tgz?token=1"]


def test_nothing_of_this_machine_is_sent(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hidden\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    download(HttpSource(f"{server.url}/a", "a", DIGEST), tmp_path)
    ((_, headers),) = server.asked
    assert not {"authorization", "cookie"} & {name.lower() for name in headers}


def test_another_content_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=rf"is {DIGEST}, not sha256:{'0' * 64}.* correct --checksum"):
        download(HttpSource(f"{server.url}/a", "a", "sha256:" + "0" * 64), tmp_path)


def test_sha512_counts_too(server: Server, tmp_path: Path) -> None:
    digest = "sha512:" + hashlib.sha512(DATA).hexdigest()
    assert download(HttpSource(f"{server.url}/a", "a", digest), tmp_path).children("") == ["a"]


def test_redirects_are_followed_within_http(server: Server, tmp_path: Path) -> None:
    with running() as other:
        download(HttpSource(f"{server.url}/to/{other.url}/b", "a", DIGEST), tmp_path)
        assert [path for path, _ in other.asked] == ["/b"]
    for elsewhere in ("file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x"):
        with pytest.raises(Unreachable, match="neither http nor https"):
            download(HttpSource(f"{server.url}/to/{elsewhere}", "a", DIGEST), tmp_path)


def test_redirects_end(server: Server, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="more than 10 times"):
        download(HttpSource(f"{server.url}" + "/to/" * 12 + "a", "a"), tmp_path, opens=True)


def test_a_connection_that_breaks_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.broken = 1
    tree = download(HttpSource(f"{server.url}/cut", "a", DIGEST), tmp_path)
    assert b"".join(tree.open(next(tree.walk("")))) == DATA


def test_what_is_not_there_is_said_without_the_address_it_led_to(server: Server, tmp_path: Path) -> None:
    with pytest.raises(LinealError) as refused:
        download(HttpSource(f"{server.url}/to/{server.url}/none?signature=secret", "a"), tmp_path, opens=True)
    assert "answers with status 404" in str(refused.value)
    server.shutdown()
    server.server_close()
    with pytest.raises(Unreachable, match="cannot be downloaded"):
        download(HttpSource(f"{server.url}/a", "a"), tmp_path, opens=True)


def test_what_nothing_pins_is_told_once_it_is_there(server: Server, tmp_path: Path) -> None:
    told: list[str] = []
    download(HttpSource(f"{server.url}/a", "a"), tmp_path, told.append, opens=True)
    assert told == [DIGEST]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "ip6-localhost.localdomain"])
def test_what_nothing_pins_is_not_fetched_from_this_machine(server: Server, tmp_path: Path, host: str) -> None:
    with pytest.raises(BadConfiguration, match="leads to this machine or its network"):
        download(HttpSource(f"http://{host}:{server.server_address[1]}/a", "a"), tmp_path)
    assert not server.asked


def test_a_name_that_leads_to_this_machine_is_this_machine(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_rest: found)
    with pytest.raises(BadConfiguration, match="leads to this machine"):
        download(HttpSource(f"http://files.example.com:{server.server_address[1]}/a", "a"), tmp_path)
    assert not server.asked


@pytest.fixture
def outside(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a public host: the server, as the proxy of this network, answers for it."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    return "http://files.example.com"


INSIDE = [
    "http://169.254.169.254/latest",
    "http://127.0.0.1:1/x",
    "http://localhost/x",
    "//10.0.0.1/x",
    "http://[::1]/x",
]


@pytest.mark.parametrize("place", INSIDE)
def test_a_redirect_leads_to_no_service_of_this_network(
    server: Server, outside: str, tmp_path: Path, place: str
) -> None:
    with pytest.raises(BadConfiguration, match=r"ADD of .* leads to this machine or its network"):
        download(HttpSource(f"{outside}/to/{place}", "a"), tmp_path)
    with pytest.raises(BadConfiguration, match="leads to this machine or its network"):
        settled(GitSource(f"{outside}/to/{place}"))
    assert len(server.asked) == 2


def test_a_redirect_to_another_public_place_is_followed(server: Server, outside: str, tmp_path: Path) -> None:
    tree = download(HttpSource(f"{outside}/to/{outside}/b", "a"), tmp_path)
    assert tree.children("") == ["a"]
    refs = "info/refs?service=git-upload-pack"
    found = settled(GitSource(f"{outside}/to/{outside}/new.git", "main"))
    assert found == GitSource(f"{outside}/new.git", "main", redirected=True)
    assert server.asked[-1][0] == f"{outside}/new.git/{refs}"
