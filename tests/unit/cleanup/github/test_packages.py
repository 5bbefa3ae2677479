"""Which registries GitHub runs, where the API of their packages is, and what it may answer."""

from __future__ import annotations

import pytest

from lineal.cleanup.github.packages import Packages, api_of
from lineal.clock import Time
from lineal.errors import Unreachable
from lineal.oci.credential import Credential
from tests.registries.github import API, OWNER, TOKEN, GitHub, Stored
from tests.registries.proxy import Answer, Request, proxy, serve

DIGEST = "sha256:%064x"

HERE = {"GITHUB_SERVER_URL": "https://github.example.com", "GITHUB_API_URL": "https://github.example.com/api/v3"}


@pytest.mark.parametrize(
    ("host", "environ", "api"),
    [
        ("ghcr.io", {}, "https://api.github.com"),
        ("ghcr.io", HERE, "https://api.github.com"),
        ("ghcr.io", {"GITHUB_API_URL": "https://api.github.com/"}, "https://api.github.com/"),
        ("containers.github.example.com", HERE, "https://github.example.com/api/v3"),
        ("containers.github.example.com", {"GITHUB_SERVER_URL": HERE["GITHUB_SERVER_URL"]}, HERE["GITHUB_API_URL"]),
        ("containers.acme.ghe.com", {}, "https://api.acme.ghe.com"),
        ("containers.acme.ghe.com", HERE, "https://api.acme.ghe.com"),
        ("containers.github.example.com", {}, None),
        ("containers.example.com", HERE, None),
        ("github.example.com", HERE, None),
        ("ghcr.io:5000", {}, None),
        ("registry.example.com", {}, None),
        ("containers.example.com", {"GITHUB_SERVER_URL": "https://["}, None),
    ],
)
def test_the_api_of_a_registry(host: str, environ: dict[str, str], api: str | None) -> None:
    assert api_of(host, environ) == api


def versions(github: GitHub, *digests: str) -> None:
    github.package = "shop/app"
    github.versions = {digest: Stored(number, digest, number) for number, digest in enumerate(digests, 1)}


def packages(address: str, github: GitHub, **tokens: str) -> Packages:
    login = Credential("a test", "ada", tokens.get("token", TOKEN))
    return Packages(f"http://{address}{API}", f"{OWNER}/{github.package}", login, {}, Time(), lambda _: None)


@pytest.mark.parametrize(
    ("kind", "login", "account"),
    [
        ("Organization", "", "/orgs/acme"),
        ("Organization", OWNER, "/orgs/acme"),
        ("User", "", "/users/acme"),
        ("User", OWNER, "/user"),
        ("User", OWNER.upper(), "/user"),
        ("User", "grace", "/users/acme"),
    ],
)
def test_the_account_of_a_package(kind: str, login: str, account: str) -> None:
    """A person's own token sees private packages under /user alone; that of a job is nobody's."""
    github = GitHub(kind, login=login)
    versions(github, *(DIGEST % number for number in range(205)))
    with proxy("127.0.0.1:1", github) as server:
        found = packages(server.host, github).versions()
        assert {version.digest for version in found} == github.versions.keys()
        assert {version.changed for version in found} >= {1000, 205_000}
        paths = [request.path for request in server.seen if "/packages/" in request.path]
    assert paths == [f"{API}{account}/packages/container/shop%2Fapp/versions"] * 3


ANSWERS = {
    "no list": b'{"message": "fine"}',
    "no JSON": b"<html>",
    "no times": b'[{"id": 1, "name": "sha256:1", "metadata": {"container": {"tags": []}}}]',
    "no tags": b'[{"id": 1, "name": "x", "created_at": "2026-01-01T00:00:00Z", "metadata": null}]',
    "nested": b"[" * 100_000,
}


@pytest.mark.parametrize("body", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_is_no_list_of_versions(body: bytes) -> None:
    def answer(request: Request) -> Answer:
        return Answer(200, body=body if "versions" in request.path else b'{"type": "Organization"}')

    with serve(answer) as address, pytest.raises(Unreachable, match="something that is not a list of versions"):
        packages(address, GitHub()).versions()


@pytest.mark.parametrize("link", ["http://elsewhere.example.com/2", f"http://127.0.0.2{API}/x"])
def test_a_list_goes_on_at_the_same_host_only(link: str) -> None:
    def answer(request: Request) -> Answer:
        headers = {"Link": f'<{link}>; rel="next"'}
        return Answer(200, headers, b"[]" if "versions" in request.path else b'{"type": "Organization"}')

    with serve(answer) as address, pytest.raises(Unreachable, match="goes on at another host"):
        packages(address, GitHub()).versions()


def test_a_token_is_sent_to_no_other_host() -> None:
    seen: list[Request] = []

    def elsewhere(request: Request) -> Answer:
        seen.append(request)
        return Answer(404)

    with (
        serve(elsewhere) as other,
        serve(lambda _: Answer(302, {"Location": f"http://{other}/"})) as address,
        pytest.raises(Unreachable, match="does not let the token from a test see the package acme/"),
    ):
        packages(address, GitHub()).versions()
    assert [request.headers.get("authorization") for request in seen] == [None]
