"""Passwords and tokens: a registry with htpasswd, one with a real token server, and servers that want too much."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lineal.errors import Unreachable
from lineal.oci.credential import Credential
from lineal.oci.types import OCI_LAYER_GZIP, Blob, Descriptor
from lineal.store.registry.auth import Authenticator, Challenge, parse_challenge, repository_scopes
from lineal.store.registry.client import Registry
from tests.unit.store.conftest import PASSWORD, USER, Fake, Tokens, basic, manifest_of

Open = Callable[..., Registry]
RIGHT = Credential("a test", USER, PASSWORD)


def login(home: Path, host: str, **entry: str) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {host: entry}}))


def test_an_explicit_password_opens_the_registry(password_host: str, open_registry: Open) -> None:
    store = open_registry(password_host, "auth/explicit", credential=RIGHT)
    store.put_manifest(manifest_of(store), "one")
    assert store.tags() == ["one"]


def test_a_wrong_password_is_one_sentence_that_does_not_show_it(password_host: str, open_registry: Open) -> None:
    store = open_registry(password_host, credential=Credential("LINEAL_REGISTRY_USERNAME", USER, "hunter2"))
    with pytest.raises(Unreachable, match="refuses to let the credentials from LINEAL_REGISTRY_USERNAME") as error:
        store.manifest("one")
    assert password_host in str(error.value)
    assert "team/app" in str(error.value)
    assert "hunter2" not in str(error.value)
    assert "hunter2" not in repr(error.value.__context__)


def test_no_password_says_how_to_log_in(password_host: str, open_registry: Open) -> None:
    with pytest.raises(Unreachable, match=f"none were found.*docker login {password_host}"):
        open_registry(password_host).tags()


def test_a_helper_that_fails_is_named_when_its_answer_was_needed(
    password_host: str, plain_host: str, open_registry: Open, tmp_path: Path
) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text('{"credsStore": "gone"}')
    assert open_registry(plain_host, "auth/open").tags() == []
    with pytest.raises(Unreachable, match="docker-credential-gone cannot be run"):
        open_registry(password_host).tags()


def test_a_login_for_one_registry_is_not_sent_to_another(
    fake: Callable[..., Fake], open_registry: Open, tmp_path: Path
) -> None:
    server = fake(lambda *_: (401, {"WWW-Authenticate": 'Basic realm="x"'}, b""))
    login(tmp_path, "registry.example.com", auth=basic())
    with pytest.raises(Unreachable):
        open_registry(server.host).tags()
    assert all("authorization" not in headers for _, _, headers in server.seen)


def test_a_token_is_fetched_once_and_used_for_everything_it_covers(
    token_registry: tuple[str, Tokens], open_registry: Open, tmp_path: Path
) -> None:
    host, tokens = token_registry
    login(tmp_path, host, auth=basic())
    store = open_registry(host)
    store.put_manifest(manifest_of(store), "one")
    asked = len(tokens.asked)
    assert store.tags() == ["one"]
    assert store.manifest("one") is not None
    assert len(tokens.asked) == asked <= 2
    # The registry lists the two in either order.
    assert tokens.asked[-1] in (["repository:team/app:pull,push"], ["repository:team/app:push,pull"])


def test_sixteen_threads_fetch_one_token(
    token_registry: tuple[str, Tokens], open_registry: Open, tmp_path: Path
) -> None:
    host, tokens = token_registry
    login(tmp_path, host, auth=basic())
    store = open_registry(host)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(store.digest, ["one"] * 32)) == [None] * 32
    assert tokens.asked == [["repository:team/app:pull"]]


def test_a_token_that_has_run_out_is_replaced(
    token_registry: tuple[str, Tokens], open_registry: Open, tmp_path: Path, naps: Any
) -> None:
    host, tokens = token_registry
    login(tmp_path, host, auth=basic())
    store = open_registry(host)
    store.tags()
    naps.monotonic += tokens.life
    store.tags()
    assert len(tokens.asked) == 2


def test_a_token_refused_in_the_middle_of_an_upload_is_replaced_once(
    fake: Callable[..., Fake], open_registry: Open, tmp_path: Path
) -> None:
    given: list[str] = []
    bodies: list[bytes] = []

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if path.startswith("/token"):
            given.append(f"token-{len(given)}")
            return 200, {}, json.dumps({"access_token": given[-1]}).encode()
        realm = {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token",service="s"'}
        if method == "PUT":
            bodies.append(body)
        # The upload's first try finds the token revoked.
        if "authorization" not in headers or (method == "PUT" and len(bodies) == 1):
            return 401, realm, b""
        return {"HEAD": (404, {}, b""), "POST": (202, {"Location": "/up"}, b""), "PUT": (201, {}, b"")}[method]

    server = fake(answer)
    file = tmp_path / "layer"
    file.write_bytes(b"q" * 100_000)
    blob = Blob(Blob.of(b"q" * 100_000).digest, 100_000, file)
    open_registry(server.host).put_blob(blob)
    assert bodies == [b"q" * 100_000] * 2
    assert server.seen[-1][2]["authorization"] == f"Bearer {given[-1]}"
    assert len(server.paths("POST")) == 1


def test_a_mount_asks_for_the_source_as_well(
    token_registry: tuple[str, Tokens], open_registry: Open, tmp_path: Path
) -> None:
    host, tokens = token_registry
    login(tmp_path, host, auth=basic())
    store = open_registry(host)
    base = store.sibling("private/base")
    blob = Blob.of(b"base layer")
    base.put_blob(blob)
    assert store.mount_blob(Descriptor(OCI_LAYER_GZIP, blob.digest, blob.size), base)
    assert {scope.replace("push,pull", "pull,push") for scope in tokens.asked[-1]} == {
        "repository:private/base:pull",
        "repository:team/app:pull,push",
    }
    assert store.has_blob(blob.digest)


def test_anyone_may_read_what_is_public_and_not_write(
    token_registry: tuple[str, Tokens], open_registry: Open
) -> None:
    host, _ = token_registry
    assert open_registry(host).manifest("one") is None
    with pytest.raises(Unreachable, match="does not let anyone write team/app without credentials"):
        open_registry(host).put_blob(Blob.of(b"x"))
    with pytest.raises(Unreachable, match="does not let anyone read private/app without credentials"):
        open_registry(host, "private/app").manifest("one")


def test_an_identity_token_is_exchanged(
    token_registry: tuple[str, Tokens], open_registry: Open, tmp_path: Path
) -> None:
    host, tokens = token_registry
    login(tmp_path, host, identitytoken=tokens.identity)
    store = open_registry(host)
    store.put_manifest(manifest_of(store), "one")
    assert tokens.posts > 0


def test_a_repository_that_is_hidden_until_it_exists_is_empty_to_who_may_make_it(
    token_registry: tuple[str, Tokens], open_registry: Open
) -> None:
    host, tokens = token_registry
    tokens.hides_missing = True
    store = open_registry(host, credential=RIGHT)
    assert store.manifest("one") is None
    assert store.digest("one") is None
    assert store.tags() == []
    with pytest.raises(Unreachable, match="does not let anyone read team/app"):
        open_registry(host).manifest("one")


def test_wrong_credentials_at_the_token_server(token_registry: tuple[str, Tokens], open_registry: Open) -> None:
    host, _ = token_registry
    with pytest.raises(Unreachable, match="refuses to let the credentials from a test read team/app") as error:
        open_registry(host, credential=Credential("a test", USER, "hunter2")).tags()
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("body", [b"no json", b"[]", b"{}", b'{"token": "a\\nb"}', b'{"token": 3}'])
def test_a_token_server_that_gives_no_token(fake: Callable[..., Fake], open_registry: Open, body: bytes) -> None:
    def answer(method: str, path: str, headers: dict[str, str], _: bytes) -> Any:
        if path.startswith("/token"):
            return 200, {}, body
        return 401, {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token"'}, b""

    server = fake(answer)
    with pytest.raises(Unreachable, match="something that is not a token"):
        open_registry(server.host).tags()


def test_a_token_server_that_redirects_gets_no_further(fake: Callable[..., Fake], open_registry: Open) -> None:
    thief = fake(lambda *_: (200, {}, b'{"token": "t"}'))

    def answer(method: str, path: str, headers: dict[str, str], _: bytes) -> Any:
        if path.startswith("/token"):
            return 307, {"Location": f"http://{thief.host}/"}, b""
        return 401, {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token"'}, b""

    server = fake(answer)
    with pytest.raises(Unreachable, match=r"token server of .* answers 307"):
        open_registry(server.host, credential=RIGHT).tags()
    assert thief.seen == []


@pytest.mark.parametrize(
    "realm",
    [
        "http://auth.example.com/token",
        "https://169.254.169.254/",
        "https://10.0.0.1/",
        "https://localhost/",
        "https://me:pw@auth.example.com/",
        "ftp://x",
        "/token",
    ],
)
def test_a_token_server_that_is_not_safe_gets_no_password(realm: str) -> None:
    asked: list[str] = []

    def exchange(method: str, url: str, headers: dict[str, str], form: bytes | None) -> tuple[int, bytes]:
        asked.append(url)
        return 200, b'{"token": "t"}'

    auth = Authenticator(
        "registry.example.com",
        "team/app",
        secure=True,
        exchange=exchange,
        monotonic=lambda: 0.0,
        environ={},
        credential=RIGHT,
    )
    with pytest.raises(Unreachable, match="not safe to give them to"):
        auth.answer(f'Bearer realm="{realm}"', repository_scopes("team/app", "pull"), None)
    assert asked == []
    good = 'Bearer realm="https://auth.example.com/token?x=1"'
    assert auth.answer(good, repository_scopes("team/app", "pull"), None) == "Bearer t"
    assert asked == ["https://auth.example.com/token?x=1&scope=repository%3Ateam%2Fapp%3Apull"]


def test_the_password_never_shows_in_a_representation() -> None:
    credential = Credential("file", USER, PASSWORD, "identity", "bearer")
    assert repr(credential) == "Credential(source='file')"


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        ('Basic realm="x"', Challenge("basic")),
        ("basic", Challenge("basic")),
        (
            'Bearer realm="https://a/t",service="s, Basic x",scope="repository:a/b:pull,push repository:c:pull"',
            Challenge(
                "bearer",
                "https://a/t",
                "s, Basic x",
                (("repository:a/b", "pull"), ("repository:a/b", "push"), ("repository:c", "pull")),
            ),
        ),
        ('Basic realm="x", Bearer realm="https://a/t"', Challenge("bearer", "https://a/t")),
        ('Bearer realm=https://a/t, service=s, Basic realm="x"', Challenge("bearer", "https://a/t", "s")),
        ("Bearer", None),
        ("Negotiate", None),
        ("", None),
    ],
)
def test_challenges_are_read(header: str, challenge: Challenge | None) -> None:
    assert parse_challenge(header) == challenge


CLOUD = "europe-west3-docker.pkg.dev"
CHALLENGE = f'Bearer realm="https://{CLOUD}/v2/token",service="{CLOUD}"'
PULL = repository_scopes("team/app", "pull")


def of_cloud(home: Path, *, refused: bool = False, secure: bool = True) -> tuple[Authenticator, list[str]]:
    """An authenticator in a job with a token of Google, and the `Authorization` that its token server gets."""
    seen: list[str] = []

    def exchange(method: str, url: str, headers: dict[str, str], form: bytes | None) -> tuple[int, bytes]:
        seen.append(headers.get("Authorization", ""))
        return (401, b"") if refused and seen[-1] else (200, b'{"token": "t"}')

    environ = {"HOME": str(home), "CLOUDSDK_AUTH_ACCESS_TOKEN": "ya29.x"}
    auth = Authenticator(CLOUD, "team/app", secure=secure, exchange=exchange, monotonic=lambda: 0.0, environ=environ)
    return auth, seen


def test_a_cloud_s_credentials_log_in_at_its_registry(tmp_path: Path) -> None:
    auth, seen = of_cloud(tmp_path)
    assert auth.answer(CHALLENGE, PULL, None) == "Bearer t"
    assert seen == [Credential("", "oauth2accesstoken", "ya29.x").basic()]
    assert "from CLOUDSDK_AUTH_ACCESS_TOKEN read team/app" in str(auth.denied("read"))


def test_docker_s_login_comes_before_a_cloud_s(tmp_path: Path) -> None:
    login(tmp_path, CLOUD, username=USER, password=PASSWORD)
    auth, seen = of_cloud(tmp_path)
    auth.answer(CHALLENGE, PULL, None)
    assert seen == [RIGHT.basic()]


def test_a_public_image_is_read_with_expired_credentials_of_a_cloud(tmp_path: Path) -> None:
    auth, seen = of_cloud(tmp_path, refused=True)
    assert auth.answer(CHALLENGE, PULL, None) == "Bearer t"
    assert seen == [Credential("", "oauth2accesstoken", "ya29.x").basic(), ""]


def test_a_cloud_s_credentials_are_never_sent_in_the_clear(tmp_path: Path) -> None:
    auth, seen = of_cloud(tmp_path, secure=False)
    auth.answer(CHALLENGE, PULL, None)
    assert seen == [""]


def test_why_a_cloud_gives_no_login_is_said(tmp_path: Path) -> None:
    host = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    environ = {"HOME": str(tmp_path), "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hunter2"}
    auth = Authenticator(
        host, "team/app", secure=True, exchange=lambda *_: (403, b"hunter2"), monotonic=lambda: 0.0, environ=environ
    )
    assert auth.answer('Basic realm="https://x/"', PULL, None) is None
    said = str(auth.denied("read"))
    assert f"AWS gives no login for {host} to the AWS variables of the environment (status 403)." in said
    assert "hunter2" not in said
