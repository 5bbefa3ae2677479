"""What a registry that is slow, broken, hostile or strict does to its user."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineal.errors import BadConfiguration, Unreachable
from lineal.oci import Conflict
from lineal.oci.types import OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Blob, Descriptor, Manifest, sha256
from lineal.store.registry.client import Registry
from lineal.store.registry.transport import TRIES
from tests.unit.store.conftest import SELF_SIGNED, Fake, Naps, environ, free_port, manifest_of

Open = Callable[..., Registry]
Start = Callable[[Any], Fake]
BODY = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}).encode()
GOOD = (200, {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": sha256(BODY)}, BODY)
MANIFEST = Manifest(BODY, OCI_MANIFEST)


def always(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Callable[..., Any]:
    return lambda *_: (status, headers or {}, body)


def errors(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def in_turn(*answers: Any) -> Callable[..., Any]:
    waiting = list(answers)
    return lambda *_: waiting.pop(0) if len(waiting) > 1 else waiting[0]


def test_too_many_requests_waits_as_long_as_the_registry_says(fake: Start, open_registry: Open, naps: Naps) -> None:
    server = fake(in_turn((429, {"Retry-After": "7"}, b""), GOOD))
    assert open_registry(server.host).manifest("one") == MANIFEST
    assert naps.naps == [7.0]


def test_a_long_retry_after_is_cut_short(fake: Start, open_registry: Open, naps: Naps) -> None:
    server = fake(in_turn((429, {"Retry-After": "86400"}, b""), GOOD))
    assert open_registry(server.host).manifest("one") == MANIFEST
    assert naps.naps == [60.0]


@pytest.mark.parametrize("status", [408, 429, 499, 500, 502, 503, 504, 522])
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


def test_a_reset_connection_is_tried_again(fake: Start, open_registry: Open) -> None:
    server = fake(in_turn(None, None, GOOD))
    assert open_registry(server.host).manifest("one") == MANIFEST


def test_an_answer_that_breaks_off_is_tried_again(fake: Start, open_registry: Open) -> None:
    short = (200, {**GOOD[1], "Content-Length": str(len(BODY) + 9)}, BODY)
    server = fake(in_turn(short, GOOD))
    assert open_registry(server.host).manifest("one") == MANIFEST


def test_a_registry_that_is_down(open_registry: Open) -> None:
    host = f"127.0.0.1:{free_port()}"
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


@pytest.mark.parametrize("header", [sha256(b"other"), None])
def test_content_with_a_wrong_digest_is_refused(fake: Start, open_registry: Open, header: str | None) -> None:
    headers = {"Content-Type": OCI_MANIFEST, **({"Docker-Content-Digest": header} if header else {})}
    server = fake(always(200, headers, BODY))
    with pytest.raises(Unreachable, match="with content that is not sha256:"):
        open_registry(server.host).manifest(sha256(b"other"))
    if header:
        with pytest.raises(Unreachable, match="with content that is not sha256:"):
            open_registry(server.host).manifest("one")


def test_a_wrong_blob_is_refused(fake: Start, open_registry: Open) -> None:
    server = fake(always(200, {}, b"evil"))
    with pytest.raises(Unreachable, match="with content that is not sha256:"):
        list(open_registry(server.host).blob(sha256(b"good")))


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"[" * 100_000,
        b'{"layers": 3}',
        b'{"mediaType": "text/html", "layers": []}',
        json.dumps({"mediaType": OCI_INDEX, "manifests": []}).encode(),
        json.dumps({"mediaType": OCI_MANIFEST, "layers": [], "manifests": []}).encode(),
        BODY + b" " * 4 * 1024 * 1024,
    ],
    ids=["html", "array", "deep", "no list", "other type", "type differs", "both", "too large"],
)
def test_a_manifest_that_makes_no_sense_is_one_sentence(fake: Start, open_registry: Open, body: bytes) -> None:
    server = fake(always(200, {"Content-Type": OCI_MANIFEST}, body))
    with pytest.raises(Unreachable) as error:
        open_registry(server.host).manifest("one")
    assert str(error.value).startswith(f"{server.host} answers with ")
    assert len(str(error.value)) < 300


def test_a_registry_without_digest_headers(fake: Start, open_registry: Open) -> None:
    server = fake(always(200, {"Content-Type": OCI_MANIFEST}, BODY))
    assert open_registry(server.host).digest("one") == sha256(BODY)


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


def test_a_blob_that_breaks_off_goes_on_where_it_was(fake: Start, open_registry: Open) -> None:
    content = os.urandom(600_000)

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if "range" not in headers:
            return 200, {"Content-Length": str(len(content))}, content[:400_000]
        start = int(headers["range"].removeprefix("bytes=").removesuffix("-"))
        return 206, {}, content[start:]

    server = fake(answer)
    assert b"".join(open_registry(server.host).blob(sha256(content))) == content
    assert len(server.seen) == 2


def test_a_server_without_ranges_starts_again_and_nothing_is_doubled(fake: Start, open_registry: Open) -> None:
    content = os.urandom(600_000)
    server = fake(in_turn((200, {"Content-Length": str(len(content))}, content[:400_000]), (200, {}, content)))
    assert b"".join(open_registry(server.host).blob(sha256(content))) == content


def test_tags_are_followed_over_pages(fake: Start, open_registry: Open) -> None:
    first = (200, {"Link": '</v2/team/app/tags/list?n=1000&last=b>; rel="next"'}, b'{"tags": ["a", "b"]}')
    server = fake(in_turn(first, (200, {}, b'{"tags": ["c"]}')))
    assert open_registry(server.host).tags() == ["a", "b", "c"]
    assert server.paths("GET") == ["/v2/team/app/tags/list?n=1000", "/v2/team/app/tags/list?n=1000&last=b"]


def test_a_link_to_another_host_is_refused(fake: Start, open_registry: Open) -> None:
    other = fake(always(200, {}, b'{"tags": []}'))
    link = {"Link": f'<http://{other.host}/v2/team/app/tags/list?last=b>; rel="next"'}
    server = fake(always(200, link, b'{"tags": ["a"]}'))
    with pytest.raises(Unreachable, match="goes on at another host"):
        open_registry(server.host).tags()
    assert other.seen == []


def test_a_list_of_tags_without_end_is_refused(fake: Start, open_registry: Open) -> None:
    server = fake(always(200, {"Link": '</v2/team/app/tags/list?last=a>; rel="next"'}, b'{"tags": ["a"]}'))
    with pytest.raises(Unreachable, match="has no end"):
        open_registry(server.host).tags()


@pytest.mark.parametrize("body", [b"nonsense", b'{"tags": "abc"}', b'{"tags": [1]}'])
def test_a_list_of_tags_that_is_none_is_refused(fake: Start, open_registry: Open, body: bytes) -> None:
    server = fake(always(200, {}, body))
    with pytest.raises(Unreachable, match="answers with something that is not"):
        open_registry(server.host).tags()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, errors("TAG_INVALID", "The image tag 'x' already exists")),
        (403, errors("DENIED", "requested access to the resource is denied")),
        (405, b""),
        (409, errors("TAG_IMMUTABLE", "immutable")),
        (412, errors("PRECONDITION", "configured as immutable")),
    ],
)
class TestImmutableTags:
    def server(self, fake: Start, status: int, body: bytes, existing: str | None) -> Fake:
        def answer(method: str, *_: Any) -> Any:
            if method == "HEAD":
                return (200, {"Docker-Content-Digest": existing}, b"") if existing else (404, {}, b"")
            return status, {}, body

        return fake(answer)

    def test_another_digest_under_the_tag_is_a_conflict(
        self, fake: Start, open_registry: Open, status: int, body: bytes
    ) -> None:
        server = self.server(fake, status, body, sha256(b"other"))
        with pytest.raises(Conflict, match="may not be moved"):
            open_registry(server.host).put_manifest(MANIFEST, "x")

    def test_the_same_digest_is_success(self, fake: Start, open_registry: Open, status: int, body: bytes) -> None:
        server = self.server(fake, status, body, MANIFEST.digest)
        open_registry(server.host).put_manifest(MANIFEST, "x")

    def test_no_such_tag_means_that_writing_is_refused(
        self, fake: Start, open_registry: Open, status: int, body: bytes
    ) -> None:
        server = self.server(fake, status, body, None)
        with pytest.raises(Unreachable) as error:
            open_registry(server.host).put_manifest(MANIFEST, "x")
        assert "write" in str(error.value)
        assert server.host in str(error.value)


@pytest.mark.parametrize("lost", [None, (503, {}, b"")])
def test_before_a_tag_is_tried_again_it_looks_who_was_first(fake: Start, open_registry: Open, lost: Any) -> None:
    """The first answer is lost or a failure, and meanwhile another run has published: nothing is written over it."""
    theirs = sha256(b"another run's")

    def answer(method: str, *_: Any) -> Any:
        return (200, {"Docker-Content-Digest": theirs}, b"") if method == "HEAD" else lost

    server = fake(answer)
    with pytest.raises(Conflict, match="may not be moved"):
        open_registry(server.host).put_manifest(MANIFEST, "x")
    assert len(server.paths("PUT")) == 1


def test_a_tag_that_was_written_although_the_answer_was_lost_is_done(fake: Start, open_registry: Open) -> None:
    def answer(method: str, *_: Any) -> Any:
        return (200, {"Docker-Content-Digest": MANIFEST.digest}, b"") if method == "HEAD" else None

    server = fake(answer)
    open_registry(server.host).put_manifest(MANIFEST, "x")
    assert len(server.paths("PUT")) == 1


def test_the_location_of_an_upload_may_be_relative_and_carry_a_query(fake: Start, open_registry: Open) -> None:
    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if method == "HEAD":
            return 404, {}, b""
        return (202, {"Location": "/up/1?state=a%2Fb"}, b"") if method == "POST" else (201, {}, b"")

    server = fake(answer)
    open_registry(server.host).put_blob(Blob.of(b"layer"))
    assert server.paths("PUT") == [f"/up/1?state=a%2Fb&digest={sha256(b'layer').replace(':', '%3A')}"]
    assert server.seen[-1][2]["content-length"] == "5"


def test_a_location_with_http_on_the_same_host_keeps_to_our_scheme(open_registry: Open) -> None:
    transport = open_registry("registry.example.com")._http
    url, foreign = transport.resolve("https://registry.example.com/v2/", "http://registry.example.com/up/1", "x")
    assert (url, foreign) == ("https://registry.example.com/up/1", False)


def test_an_upload_that_breaks_begins_again(fake: Start, open_registry: Open, tmp_path: Path) -> None:
    puts: list[int] = []

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if method == "HEAD":
            return 404, {}, b""
        if method == "POST":
            return 202, {"Location": f"/up/{len(puts)}"}, b""
        puts.append(len(body))
        return [None, (503, {}, b""), (404, {}, errors("BLOB_UPLOAD_UNKNOWN", "")), (201, {}, b"")][len(puts) - 1]

    server = fake(answer)
    file = tmp_path / "layer"
    file.write_bytes(b"z" * 300_000)
    open_registry(server.host).put_blob(Blob(sha256(b"z" * 300_000), 300_000, file))
    assert puts == [300_000] * 4
    assert [path.partition("?")[0] for path in server.paths("PUT")] == ["/up/0", "/up/1", "/up/2", "/up/3"]


def test_a_mount_that_is_not_possible_is_tidied_away(fake: Start, open_registry: Open) -> None:
    server = fake(lambda method, *_: (202, {"Location": "/up/1"}, b"") if method == "POST" else (204, {}, b""))
    store = open_registry(server.host)
    layer = Descriptor(OCI_LAYER_GZIP, sha256(b"x"), 1)
    assert not store.mount_blob(layer, store.sibling("library/base"))
    assert server.paths("DELETE") == ["/up/1"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_mount_that_is_refused_is_only_not_possible(fake: Start, open_registry: Open, status: int) -> None:
    server = fake(always(status))
    store = open_registry(server.host)
    assert not store.mount_blob(Descriptor(OCI_LAYER_GZIP, sha256(b"x"), 1), store.sibling("library/base"))


def test_a_blob_of_another_registry_is_not_mounted(open_registry: Open) -> None:
    layer = Descriptor(OCI_LAYER_GZIP, sha256(b"x"), 1)
    assert not open_registry("127.0.0.1:1").mount_blob(layer, open_registry("127.0.0.1:2"))


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (
            400,
            errors("NAME_INVALID", "invalid repository name"),
            BadConfiguration,
            "does not accept the repository name",
        ),
        (401, b"", Unreachable, "without credentials, and none were found"),
        (403, errors("DENIED", "quota exceeded"), Unreachable, "quota exceeded"),
        (404, errors("NAME_UNKNOWN", "repository does not exist"), Unreachable, "does not know the repository"),
        (413, b"", Unreachable, "uploads of this size"),
        (405, errors("UNSUPPORTED", "read-only"), Unreachable, "does not allow to write"),
        (301, b"", Unreachable, "elsewhere"),
        (418, b"", Unreachable, "answers status 418"),
    ],
)
def test_each_refusal_to_write_says_what_and_where(
    fake: Start, open_registry: Open, status: int, body: bytes, kind: type[Exception], says: str
) -> None:
    server = fake(lambda method, *_: (404, {}, b"") if method == "HEAD" else (status, {}, body))
    with pytest.raises(kind, match=says) as error:
        open_registry(server.host).put_blob(Blob.of(b"x"))
    assert server.host in str(error.value)


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
    fake: Start, open_registry: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = fake(always(*GOOD)), fake(always(*GOOD))
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://{proxy.host}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert open_registry(server.host).manifest("one") == MANIFEST
    assert proxy.seen == []
    assert open_registry("registry.example", insecure=True).manifest("one") == MANIFEST
    assert proxy.paths("GET") == ["http://registry.example/v2/team/app/manifests/one"]


def test_cookies_are_not_kept(fake: Start, open_registry: Open) -> None:
    server = fake(always(200, {**GOOD[1], "Set-Cookie": "spy=1; Path=/"}, BODY))
    store = open_registry(server.host)
    store.manifest("one")
    store.manifest("one")
    assert "cookie" not in server.seen[-1][2]
    assert server.seen[-1][2]["user-agent"].startswith("lineal/")


def certificate(directory: Path) -> tuple[Path, Path]:
    key, cert = directory / "tls.key", directory / "tls.crt"
    names = ["-addext", "subjectAltName=IP:0.0.0.0,IP:127.0.0.1"]
    made = [*SELF_SIGNED, *names, "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    return key, cert


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

    docker = tmp_path / "certs.d" / host
    docker.mkdir(parents=True)
    (docker / "ca.crt").write_bytes(cert.read_bytes())
    monkeypatch.setattr("lineal.store.registry.http_session.CERTIFICATES", tmp_path / "certs.d")
    store = open_registry(host)
    manifest = manifest_of(store)
    store.put_manifest(manifest, "tls")
    assert store.tags() == ["tls"]


def test_a_certificate_file_that_is_not_there(open_registry: Open, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(BadConfiguration, match=f"SSL_CERT_FILE names {missing}, which does not exist"):
        open_registry("127.0.0.1:1", environ=environ(tmp_path, SSL_CERT_FILE=missing))


def test_importing_the_client_imports_nothing_heavy() -> None:
    code = "import lineal.store.registry.client, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "requests" in loaded
    assert not {"docker", "rich", "jinja2", "msgspec", "dulwich"} & set(loaded)


def test_a_layout_store_does_not_import_requests() -> None:
    code = "import sys, pathlib, lineal.store.open as a; a.StoreOpener(pathlib.Path()).store('layout:x')"
    code += "; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"requests", "urllib3", "docker", "filelock"} & set(loaded)
