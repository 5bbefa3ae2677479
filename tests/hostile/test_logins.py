"""What a token server answers and what files and programs say about logins."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lineal.oci.credential import Credential
from lineal.store.registry.auth import Authenticator, parse_challenge, repository_scopes
from lineal.store.registry.credentials import find_credential
from tests.hostile.bounds import answer
from tests.hostile.inputs import growing, json_bytes

PIECES = st.sampled_from(["Bearer ", "Basic ", "bearer", "realm=", "service=", "scope=", '"', "\\", ",", " ", "=",
                          "https://t.example/token",
                          "http://127.0.0.1/", "http://[::1", "repository:a:pull", "x", "é", "\t", ":",
                          "https://u:p@h/", "//"])  # fmt: skip
GOOD = 'Bearer realm="https://t.example/token",service="r",scope="repository:a:pull,push"'
TOKEN = {"token": "abc", "access_token": "abc", "expires_in": 300, "refresh_token": "r", "issued_at": "x"}
SCOPES = repository_scopes("team/app", "pull")


def authenticator(status: int, body: bytes) -> Authenticator:
    return Authenticator(
        "registry.example", "team/app", secure=True, exchange=lambda *_: (status, body), monotonic=lambda: 1.0,
        environ={}, credential=Credential("a test", "ada", "secret"),
    )  # fmt: skip


@settings(max_examples=100)
@given(growing(PIECES, 3000), st.sampled_from([200, 401, 500]))
@example('basic "' + "\\" * 50_000, 200)
def test_a_challenge_is_answered_or_refused(header: str, status: int) -> None:
    answer(lambda: parse_challenge(header))
    found = answer(lambda: authenticator(status, b'{"token": "abc"}').answer(header, SCOPES, None))
    assert found is None or found.isascii()


@settings(max_examples=100)
@given(json_bytes(TOKEN), st.sampled_from([200, 200, 200, 404]))
@example(json.dumps({**TOKEN, "expires_in": 10**400}).encode(), 200)
@example(json.dumps({**TOKEN, "refresh_token": "\ud800"}).encode(), 200)
def test_an_answer_of_a_token_server_is_a_token_or_refused(body: bytes, status: int) -> None:
    server = authenticator(status, body)
    for failed in (None, "Bearer abc"):
        found = answer(server.answer, GOOD, SCOPES, failed)
        assert found is None or (found.isascii() and found.isprintable())
    answer(lambda: server.header(repository_scopes("team/app", "pull", "push")))


LOGINS = {
    "auths": {"registry.example": {"auth": "YWRhOnNlY3JldA==", "username": "a", "password": "b", "identitytoken": "",
                                   "registrytoken": ""}},
    "credHelpers": {"other.example": "x"}, "credsStore": "", "HttpHeaders": {},
}  # fmt: skip


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(json_bytes(LOGINS), st.sampled_from(["registry.example", "docker.io"]))
@example(json.dumps({"auths": {"registry.example": {"auth": "é"}}}).encode(), "registry.example")
@example(
    json.dumps({"auths": {"registry.example": {"username": "\ud800", "password": "x"}}}).encode(), "registry.example"
)
@example(json.dumps({"auths": {"registry.example": {"registrytoken": "a\nb"}}}).encode(), "registry.example")
def test_a_file_of_logins_has_a_login_or_is_no_reason_to_stop(tmp_path: Path, data: bytes, host: str) -> None:
    (tmp_path / "config.json").write_bytes(data)
    environ = {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path), "PATH": ""}
    found = answer(lambda: find_credential(host, "team/app", environ))
    assert found is not None
    if found[0] is not None:
        _sent(found[0])


def _sent(login: Credential) -> None:
    """A login goes into a header: one that does not fit is none."""
    server = Authenticator(
        "registry.example", "team/app", secure=True, exchange=lambda *_: (200, b'{"token": "abc"}'),
        monotonic=lambda: 1.0, environ={}, credential=login,
    )  # fmt: skip
    for challenge in ('Basic realm="x"', GOOD):
        header = answer(server.answer, challenge, SCOPES, None)
        assert header is None or (header.isascii() and header.isprintable())


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(json_bytes({"Username": "ada", "Secret": "secret", "ServerURL": "x"}))
def test_what_a_helper_prints_is_a_login_or_no_reason_to_stop(tmp_path: Path, data: bytes) -> None:
    helper = tmp_path / "docker-credential-x"
    (tmp_path / "answer").write_bytes(data)
    helper.write_text(f"#!/bin/sh\nexec cat {tmp_path}/answer\n")
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text('{"credsStore": "x"}')
    environ = {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"}
    found = answer(lambda: find_credential("registry.example", "team/app", environ))
    assert found is not None
    if found[0] is not None:
        _sent(found[0])
