"""Requests to a registry that is slow, broken or hostile: what is tried again, followed, sent and believed."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from lineal.errors import BadConfiguration, Unreachable
from lineal.oci.types import OCI_MANIFEST, Blob, Manifest, sha256
from lineal.store.registry.client import Registry
from lineal.store.registry.transport import Transport
from lineal.store.registry.tries import PATIENCE, STRANGER_TRIES, TRIES
from tests import servers
from tests.unit.store.conftest import SELF_SIGNED, Fake, Naps, environ, manifest_of

Open = Callable[..., Registry]
Start = Callable[[Any], Fake]
BODY = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}).encode()
GOOD = (200, {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": sha256(BODY)}, BODY)
MANIFEST = Manifest(BODY, OCI_MANIFEST)


def certificate(directory: Path) -> tuple[Path, Path]:
    key, cert = directory / "tls.key", directory / "tls.crt"
    names = ["-addext", "subjectAltName=IP:0.0.0.0,IP:127.0.0.1"]
    made = [*SELF_SIGNED, *names, "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    return key, cert


def always(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Callable[..., Any]:
    return lambda *_: (status, headers or {}, body)


def errors(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def in_turn(*answers: Any) -> Callable[..., Any]:
    waiting = list(answers)
    return lambda *_: waiting.pop(0) if len(waiting) > 1 else waiting[0]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request waits for the connection on a machine that is busy, too."""
    monkeypatch.setattr("lineal.store.registry.transport.CONNECTING_SECONDS", 300.0)


@pytest.mark.usefixtures("patient")
def test_a_connection_that_is_opened_early_is_that_of_the_first_request(fake: Start, open_registry: Open) -> None:
    server = fake(always(*GOOD))
    store = open_registry(server.host)
    store.connect(1)
    end = time.monotonic() + 300
    while not server.connections and time.monotonic() < end:
        time.sleep(0.01)
    assert (server.connections, server.seen) == (1, [])
    assert [store.manifest("one"), store.manifest("two")] == [MANIFEST, MANIFEST]
    assert server.connections == 1 and len(server.seen) == 2


@pytest.mark.usefixtures("patient")
def test_each_of_several_requests_has_a_connection_that_is_opened_early(fake: Start, open_registry: Open) -> None:
    server = fake(always(*GOOD))
    store = open_registry(server.host)
    store.connect(3)
    end = time.monotonic() + 300
    while server.connections < 3 and time.monotonic() < end:
        time.sleep(0.01)
    assert (server.connections, server.seen) == (3, [])
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(store.manifest, ("one", "two", "three"))) == [MANIFEST] * 3
    assert server.connections == 3


def test_a_connection_that_cannot_be_opened_early_is_for_the_first_request_to_say(open_registry: Open) -> None:
    store = open_registry(f"127.0.0.1:{servers.free_port()}")
    store.connect(1)
    with pytest.raises(Unreachable, match="connection refused"):
        store.manifest("one")


def test_too_many_requests_waits_as_long_as_the_registry_says(fake: Start, open_registry: Open, naps: Naps) -> None:
    server = fake(in_turn((429, {"Retry-After": "7"}, b""), GOOD))
    assert open_registry(server.host).manifest("one") == MANIFEST
    assert naps.naps == [7.0]


@pytest.fixture
def notes() -> list[str]:
    return []


REACHED = "limits how often it may be asked, and the limit is used up"


@pytest.mark.parametrize(
    ("status", "headers", "body", "says"),
    [
        (429, {"Retry-After": "3600"}, b"", rf"{REACHED}\. Wait 60 minutes, or log in"),
        (429, {"Retry-After": formatdate(1_000_000 + 7200, usegmt=True)}, b"", rf"{REACHED}\. Wait 2 hours"),
        (429, {"X-Retry-After": "1000000900"}, b"", REACHED),
        (403, {"Retry-After": "90"}, b"", rf"{REACHED}\. Wait 90 s"),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "5400"}, b"", rf"{REACHED}\. Wait 90 minutes"),
        (503, {"Retry-After": "7200"}, b"", "fails with status 503 and wants to be left alone for 2 hours"),
    ],
)
def test_a_registry_that_wants_a_long_pause_is_said_at_once(
    fake: Start, open_registry: Open, naps: Naps, status: int, headers: dict[str, str], body: bytes, says: str
) -> None:
    """No second request: the limit would still be used up after a minute."""
    for use in ("manifest", "put_manifest", "put_blob"):
        server = fake(always(status, headers, body))
        given = {"manifest": "one", "put_manifest": MANIFEST, "put_blob": Blob.of(b"x")}[use]
        with pytest.raises(Unreachable, match=says):
            getattr(open_registry(server.host), use)(given)
        assert len(server.seen) == 1
    assert naps.naps == []


def test_a_pause_is_waited_for_with_one_line_and_within_a_bound(
    fake: Start, open_registry: Open, naps: Naps, notes: list[str]
) -> None:
    server = fake(in_turn((429, {"Retry-After": "2"}, b""), GOOD))
    assert open_registry(server.host, note=notes.append).manifest("one") == MANIFEST
    assert notes == [f"{server.host} limits how often it may be asked: asking again in 2 s."]
    busy = fake(always(503, {"Retry-After": "50"}))
    with pytest.raises(Unreachable, match="fails with status 503 at each try"):
        open_registry(busy.host, note=notes.append).manifest("one")
    assert naps.naps[1:] == [50.0] * int(PATIENCE / 50)
    assert notes[1:] == [f"{busy.host} is busy (status 503): asking again in 50 s."] * 3


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (403, {"Retry-After": "1"}, b'{"message": "You have exceeded a secondary rate limit."}'),
        (403, {}, b'{"message": "You have exceeded a secondary rate limit. Please wait."}'),
        (403, {}, errors("DENIED", "Too Many Requests")),
        (400, {}, errors("TOOMANYREQUESTS", "Rate exceeded")),
        (429, {"Retry-After": "nonsense"}, b""),
    ],
)
def test_a_secondary_limit_is_a_limit(
    fake: Start, open_registry: Open, notes: list[str], status: int, headers: dict[str, str], body: bytes
) -> None:
    """As ghcr.io answers to who writes much: not wrong credentials."""
    server = fake(in_turn((status, headers, body), GOOD))
    assert open_registry(server.host, note=notes.append).manifest("one") == MANIFEST
    assert ["limits how often" in note for note in notes] == [True]
    server = fake(always(status, headers, body))
    with pytest.raises(Unreachable, match=REACHED):
        open_registry(server.host).manifest("one")
    assert len(server.seen) == TRIES
    put = fake(in_turn((status, headers, body), (201, {}, b"")))
    assert open_registry(put.host).try_tag(MANIFEST, "one") is False
    assert open_registry(put.host).try_tag(MANIFEST, "one") is True


def test_a_limit_of_the_token_server_is_a_limit(fake: Start, open_registry: Open) -> None:
    tokens = fake(always(429, {"Retry-After": "3600"}))
    bearer = {"WWW-Authenticate": f'Bearer realm="http://{tokens.host}/token"'}
    server = fake(always(401, bearer))
    with pytest.raises(Unreachable, match=rf"^{tokens.host} {REACHED}"):
        open_registry(server.host).manifest("one")
    assert len(tokens.seen) == 1


def test_a_refusal_is_not_a_limit(fake: Start, open_registry: Open) -> None:
    server = fake(always(403, {"X-RateLimit-Remaining": "4999"}, errors("DENIED", "quota exceeded")))
    with pytest.raises(Unreachable, match="without credentials"):
        open_registry(server.host).manifest("one")


@pytest.mark.parametrize("status", [501, 505, 511])
def test_what_is_not_tried_again_is_not_said_to_be(fake: Start, open_registry: Open, status: int) -> None:
    server = fake(always(status))
    with pytest.raises(Unreachable, match=rf"fails with status {status} to read team/app"):
        open_registry(server.host).manifest("one")
    assert len(server.seen) == 1


PASSING = [408, 425, 429, 499, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 529, 530]


@pytest.mark.parametrize("status", PASSING)
def test_passing_failures_are_tried_again_with_growing_waits(
    fake: Start, open_registry: Open, naps: Naps, status: int
) -> None:
    server = fake(in_turn((status, {}, b""), (status, {}, b""), (status, {}, b""), GOOD))
    assert open_registry(server.host).manifest("one") == MANIFEST
    assert len(naps.naps) == 3
    assert naps.naps[0] < naps.naps[2]


def test_a_failure_that_stays_is_told_in_one_sentence(fake: Start, open_registry: Open, naps: Naps) -> None:
    server = fake(always(503, body=errors("UNAVAILABLE", "maintenance\x1b[31m until noon")))
    with pytest.raises(Unreachable) as error:
        open_registry(server.host).manifest("one")
    assert server.host in str(error.value)
    assert "team/app" in str(error.value)
    assert "maintenance" in str(error.value)
    assert "\x1b" not in str(error.value)
    assert len(server.seen) == TRIES


def test_a_limit_that_is_used_up_to_the_last_try_is_told(fake: Start, open_registry: Open, naps: Naps) -> None:
    server = fake(always(429, body=errors("TOOMANYREQUESTS", "You have reached your pull rate limit.")))
    with pytest.raises(Unreachable, match=r"the limit is used up and says: 'You have reached .* higher limit"):
        open_registry(server.host).manifest("one")
    assert len(server.seen) == TRIES
    assert len(naps.naps) == TRIES - 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_of_what_is_written_is_not_followed(fake: Start, open_registry: Open, status: int) -> None:
    server = fake(always(status, {"Location": "/elsewhere"}))
    with pytest.raises(Unreachable, match=rf"sends requests for team/app elsewhere \(status {status}\)"):
        open_registry(server.host).put_manifest(MANIFEST, "one")
    assert [path for _, path, _ in server.seen] == ["/v2/team/app/manifests/one"]


def test_a_reset_connection_is_tried_again(fake: Start, open_registry: Open) -> None:
    server = fake(in_turn(None, None, GOOD))
    assert open_registry(server.host).manifest("one") == MANIFEST


def test_an_answer_that_breaks_off_is_tried_again(fake: Start, open_registry: Open) -> None:
    short = (200, {**GOOD[1], "Content-Length": str(len(BODY) + 9)}, BODY)
    server = fake(in_turn(short, GOOD))
    assert open_registry(server.host).manifest("one") == MANIFEST


def test_a_registry_that_is_down(open_registry: Open) -> None:
    host = f"127.0.0.1:{servers.free_port()}"
    with pytest.raises(Unreachable, match="cannot be reached: connection refused") as error:
        open_registry(host).manifest("one")
    assert host in str(error.value)


def test_a_host_name_that_does_not_exist(open_registry: Open) -> None:
    with pytest.raises(Unreachable, match="its name is not known"):
        open_registry("registry.invalid").manifest("one")


def test_an_https_registry_that_speaks_http(plain_host: str, open_registry: Open) -> None:
    host = plain_host.replace("127.0.0.1", "0.0.0.0")  # Not loopback by its name, and yet this machine.
    with pytest.raises(Unreachable, match=f"does not speak https.*--insecure-registry {host}"):
        open_registry(host).tags()
    assert open_registry(host, insecure=True).tags() == []


def test_a_redirected_blob_is_fetched_without_the_credential(
    fake: Start, open_registry: Open, tmp_path: Path
) -> None:
    storage = fake(always(200, {}, b"layer"))
    docker = tmp_path / ".docker"
    docker.mkdir()

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if "authorization" not in headers:
            return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b""
        return 307, {"Location": f"http://localhost:{storage.port}/signed?key=1"}, b""

    server = fake(answer)
    auth = base64.b64encode(b"me:secret").decode()
    (docker / "config.json").write_text(json.dumps({"auths": {server.host: {"auth": auth}}}))
    assert b"".join(open_registry(server.host).blob(sha256(b"layer"))) == b"layer"
    assert server.seen[-1][2]["authorization"] == f"Basic {auth}"
    assert storage.paths("GET") == ["/signed?key=1"]
    assert all("authorization" not in headers for _, _, headers in storage.seen)


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "http://a:b@h/"]
)
def test_a_redirect_to_a_dangerous_place_is_refused(fake: Start, open_registry: Open, location: str) -> None:
    server = fake(always(307, {"Location": location}))
    with pytest.raises(Unreachable, match="not safe to follow"):
        list(open_registry(server.host).blob(sha256(b"x")))


def test_redirects_in_a_circle_end(fake: Start, open_registry: Open) -> None:
    server = fake(always(307, {"Location": "/v2/again"}))
    with pytest.raises(Unreachable, match="one redirect after the other"):
        list(open_registry(server.host).blob(sha256(b"x")))


def test_a_location_with_http_on_the_same_host_keeps_to_our_scheme(open_registry: Open) -> None:
    transport = open_registry("registry.example.com")._http
    url, foreign = transport.resolve("https://registry.example.com/v2/", "http://registry.example.com/up/1", "x")
    assert (url, foreign) == ("https://registry.example.com/up/1", False)


def test_the_clock_is_the_registrys(fake: Start, open_registry: Open, naps: Naps) -> None:
    server = fake(always(404, {"Date": "Sat, 01 Jan 2000 00:00:00 GMT"}))
    store = open_registry(server.host)
    naps.monotonic = 50.0
    first = store.now()
    assert 946684800_000 <= first <= 946684801_000
    naps.monotonic += 100.0
    assert store.now() == first + 100_000
    assert len(server.seen) == 1


def test_a_date_from_a_cache_does_not_count(fake: Start, open_registry: Open, naps: Naps) -> None:
    server = fake(always(200, {"Date": "Sat, 01 Jan 2000 00:00:00 GMT", "Age": "3"}))
    assert open_registry(server.host).now() == int(naps.wall * 1000)


def test_a_netrc_does_not_take_the_place_of_the_credential(
    fake: Start, open_registry: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login git password not-for-registries\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    server = fake(always(401, {"WWW-Authenticate": 'Basic realm="x"'}))
    with pytest.raises(Unreachable):
        open_registry(server.host).manifest("one")
    assert all("authorization" not in headers for _, _, headers in server.seen)


def test_a_proxy_is_used_but_not_for_loopback(
    fake: Start, open_registry: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = fake(always(*GOOD)), fake(always(*GOOD))
    monkeypatch.setenv("NO_PROXY", "registry.example")  # The environment of the run counts, not the process's.
    chosen = {"environ": environ(tmp_path, http_proxy=f"http://{proxy.host}", NO_PROXY="*.example.test")}
    assert open_registry(server.host, **chosen).manifest("one") == MANIFEST
    assert proxy.seen == []
    assert open_registry("registry.example", insecure=True, **chosen).manifest("one") == MANIFEST
    assert proxy.paths("GET") == ["http://registry.example/v2/team/app/manifests/one"]
    with pytest.raises(Unreachable, match="its name is not known"):
        open_registry("registry.example.test", insecure=True, **chosen).manifest("one")
    assert len(proxy.seen) == 1


def test_cookies_are_not_kept(fake: Start, open_registry: Open) -> None:
    server = fake(always(200, {**GOOD[1], "Set-Cookie": "spy=1; Path=/"}, BODY))
    store = open_registry(server.host)
    store.manifest("one")
    store.manifest("one")
    assert "cookie" not in server.seen[-1][2]
    assert server.seen[-1][2]["user-agent"].startswith("lineal/")


@pytest.mark.usefixtures("patient")
def test_https_with_an_authority_of_ones_own(
    registry_server: Callable[..., str], open_registry: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cert = certificate(tmp_path)
    tls = f"http: {{addr: '127.0.0.1:PORT', tls: {{certificate: {cert}, key: {key}}}}}\n"
    loopback = registry_server(tls)
    host = loopback.replace("127.0.0.1", "0.0.0.0")  # Not loopback by its name: https is expected.
    with pytest.raises(Unreachable, match=r"is not trusted.*SSL_CERT_FILE"):
        open_registry(host).tags()
    trusting = environ(tmp_path, SSL_CERT_FILE=str(cert))
    assert open_registry(host, environ=trusting).tags() == []
    assert open_registry(loopback, environ=trusting).tags() == []
    early = open_registry(host, environ=trusting)
    idle = early._http.session.idle
    early.connect(1)
    assert early.tags() == early.tags() == []
    assert [len(kept) for kept in idle.values()] == [1]

    docker = tmp_path / "certs.d" / host
    docker.mkdir(parents=True)
    (docker / "ca.crt").write_bytes(cert.read_bytes())
    monkeypatch.setattr("lineal.store.registry.tls.CERTIFICATES", tmp_path / "certs.d")
    store = open_registry(host)
    manifest = manifest_of(store)
    store.put_manifest(manifest, "tls")
    assert store.tags() == ["tls"]


def test_a_certificate_file_that_is_not_there(open_registry: Open, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(BadConfiguration, match=f"SSL_CERT_FILE names {missing}, which does not exist"):
        open_registry("127.0.0.1:1", environ=environ(tmp_path, SSL_CERT_FILE=missing))


@pytest.fixture
def transport(tmp_path: Path, naps: Naps) -> Transport:
    return Transport(
        "registry.example.com",
        "team/app",
        insecure=False,
        environ=environ(tmp_path),
        credential=None,
        time=naps.time(),
    )


@pytest.mark.parametrize(
    ("location", "url", "foreign"),
    [
        ("/v2/x?a=b", "https://registry.example.com/v2/x?a=b", False),
        ("next", "https://registry.example.com/v2/team/next", False),
        ("http://registry.example.com/v2/x", "https://registry.example.com/v2/x", False),
        ("https://REGISTRY.example.com:443/v2/x#part", "https://registry.example.com/v2/x", False),
        ("https://storage.example.net/x?sig=1", "https://storage.example.net/x?sig=1", True),
        ("https://10.0.0.9/x", "https://10.0.0.9/x", True),
    ],
)
def test_an_address_that_a_registry_gives(transport: Transport, location: str, url: str, foreign: bool) -> None:
    assert transport.resolve("https://registry.example.com/v2/team/app", location, "content") == (url, foreign)


@pytest.mark.parametrize(
    "location",
    [
        "http://storage.example.net/x", "https://169.254.169.254/latest", "https://[::ffff:169.254.169.254]/",
        "https://127.0.0.1/x", "https://localhost/x", "https://me@storage.example.net/x", "file:///etc/passwd",
        "https://0.0.0.0/x", "https://[",
    ],
)  # fmt: skip
def test_an_address_that_is_not_safe_is_not_followed(transport: Transport, location: str) -> None:
    with pytest.raises(Unreachable, match="points to another place for content, which is not safe to follow"):
        transport.resolve("https://registry.example.com/v2/team/app", location, "content")


def test_an_answer_that_is_longer_than_expected_is_refused(fake: Start, tmp_path: Path, naps: Naps) -> None:
    server = fake(always(200, {}, b"x" * 1001))
    transport = Transport(
        server.host, "team/app", insecure=False, environ=environ(tmp_path), credential=None, time=naps.time()
    )
    assert len(transport.ask("GET", "/v2/", limit=1001).body) == 1001
    with pytest.raises(Unreachable, match="with more than 1000 bytes"):
        transport.ask("GET", "/v2/", limit=1000)
    assert (transport.traffic.requests, transport.traffic.bytes_read) == (2, 2002)


def test_a_host_that_has_never_answered_is_tried_less_often(fake: Start, tmp_path: Path, naps: Naps) -> None:
    date = {"Date": formatdate(usegmt=True)}
    for answers, tries in (([None], STRANGER_TRIES), ([(200, date, b""), None], TRIES + 1)):
        server = fake(in_turn(*answers))
        transport = Transport(
            server.host, "team/app", insecure=False, environ=environ(tmp_path), credential=None, time=naps.time()
        )
        with pytest.raises(Unreachable, match="cannot be reached"):
            for _ in answers:
                transport.ask("GET", "/v2/")
        assert len(server.seen) == tries
