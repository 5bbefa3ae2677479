"""What a registry that is slow, broken, hostile or strict does to its user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineal.errors import BadConfiguration, Unreachable
from lineal.oci.types import OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Blob, Descriptor, Manifest, sha256
from lineal.store.registry.client import Registry
from tests.unit.store.conftest import Fake

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


def test_the_location_of_an_upload_may_be_relative_and_carry_a_query(fake: Start, open_registry: Open) -> None:
    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if method == "HEAD":
            return 404, {}, b""
        return (202, {"Location": "/up/1?state=a%2Fb"}, b"") if method == "POST" else (201, {}, b"")

    server = fake(answer)
    open_registry(server.host).put_blob(Blob.of(b"layer"))
    assert server.paths("PUT") == [f"/up/1?state=a%2Fb&digest={sha256(b'layer').replace(':', '%3A')}"]
    assert server.seen[-1][2]["content-length"] == "5"


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


def test_importing_the_client_imports_nothing_heavy() -> None:
    code = "import lineal.store.registry.client, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "http.client" in loaded
    assert not {"requests", "urllib3", "docker", "rich", "jinja2", "msgspec", "dulwich"} & set(loaded)


def test_a_connection_needs_no_tables_of_unicode() -> None:
    code = "import lineal.store.registry.http as http, sys\ntry: http.Session('localhost:1', {}).connect("
    code += "'http://localhost:1/v2/', 5)\nexcept http.RequestFailed: print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "http.client" in loaded and "encodings.idna" not in loaded


def test_a_layout_store_imports_no_http() -> None:
    code = "import sys, pathlib, lineal.store.open as a; a.StoreOpener(pathlib.Path()).store('layout:x')"
    code += "; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"http.client", "requests", "urllib3", "docker", "filelock"} & set(loaded)
