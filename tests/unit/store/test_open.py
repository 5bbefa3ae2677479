"""Store addresses and image references, right ones and the wrong ones that people write."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.errors import BadConfiguration
from lineal.oci.credential import Credential
from lineal.oci.reference import parse_address, parse_reference
from lineal.store.layout import Layout
from lineal.store.open import StoreOpener, check_address
from lineal.store.read_through import ReadThroughStore
from lineal.store.registry.client import Registry

DIGEST = "sha256:" + "ab" * 32
HUB = "registry-1.docker.io"


@pytest.mark.parametrize(
    ("address", "host", "repository"),
    [
        ("registry.example.com/team/app", "registry.example.com", "team/app"),
        ("localhost/app", "localhost", "app"),
        ("localhost:5000/a/b/c", "localhost:5000", "a/b/c"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000", "app"),
        ("[::1]:5000/app", "[::1]:5000", "app"),
        ("ghcr.io/owner/my-repo_x.y__z--1", "ghcr.io", "owner/my-repo_x.y__z--1"),
        ("docker.io/me/app", HUB, "me/app"),
    ],
)
def test_a_registry_address(address: str, host: str, repository: str, tmp_path: Path) -> None:
    assert parse_address(address) == (host, repository)
    store = StoreOpener(tmp_path, {}).store(address)
    assert isinstance(store, Registry)
    assert (store.address, store.host, store.repository) == (address, host, repository)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("https://registry.example.com/app", "Leave that out: 'registry.example.com/app'"),
        ("docker://registry.example.com/app", "Leave that out"),
        ("registry.example.com/Team/app", "Write 'registry.example.com/team/app'"),
        ("team/app", "does not begin with a host"),
        ("app", "does not begin with a host"),
        ("/app", "does not begin with a host"),
        ("registry.example.com", "no valid repository"),
        ("registry.example.com/", "no valid repository"),
        ("registry.example.com/app/", "no valid repository"),
        ("registry.example.com//app", "no valid repository"),
        ("registry.example.com/-app", "no valid repository"),
        ("registry.example.com/a app", "no valid repository"),
        ("registry.example.com/" + "a" * 256, "no valid repository"),
        ("registry.example.com/app:latest", "a tag, a digest or a user name"),
        (f"registry.example.com/app@{DIGEST}", "a tag, a digest or a user name"),
        ("registry.example.com:99999/app", "does not begin with a host"),
        ("registry.example.com:/app", "does not begin with a host"),
        ("-x.example.com/app", "does not begin with a host"),
        ("layout:", "needs a directory"),
        ("layout:a\0b", "needs a directory"),
        ("registry.example.com/app\n", "no valid repository"),
    ],
)
def test_a_wrong_address_says_what_to_write(address: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration) as error:
        StoreOpener(tmp_path, {}).store(address)
    assert says in str(error.value)
    with pytest.raises(BadConfiguration) as early:
        check_address(address)
    assert str(early.value) == str(error.value)


@pytest.mark.parametrize(
    "address", ["https://me:hunter2@registry.example.com/app", "me:hunter2@registry.example.com/app"]
)
def test_a_password_in_an_address_is_not_shown(address: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration) as error:
        StoreOpener(tmp_path, {}).store(address)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(("address", "path"), [("layout:.lineal", ".lineal"), ("layout:/srv/x", "/srv/x")])
def test_a_layout_is_relative_to_the_working_directory(address: str, path: str, tmp_path: Path) -> None:
    store = StoreOpener(tmp_path, {}).store(address)
    assert isinstance(store, Layout)
    assert store.directory == tmp_path / path
    assert store.address == address
    assert list(tmp_path.iterdir()) == []


def test_half_an_explicit_credential_is_refused(tmp_path: Path) -> None:
    for name, other in (("USERNAME", "PASSWORD"), ("PASSWORD", "USERNAME")):
        with pytest.raises(BadConfiguration, match=f"LINEAL_REGISTRY_{other} is not set"):
            StoreOpener(tmp_path, {f"LINEAL_REGISTRY_{name}": "x"}).store("ghcr.io/a/b")


@pytest.mark.parametrize(
    ("text", "host", "repository", "version"),
    [
        ("debian", HUB, "library/debian", "latest"),
        ("debian:trixie", HUB, "library/debian", "trixie"),
        ("me/app", HUB, "me/app", "latest"),
        ("docker.io/debian", HUB, "library/debian", "latest"),
        ("index.docker.io/library/debian", HUB, "library/debian", "latest"),
        ("localhost/app", "localhost", "app", "latest"),
        ("localhost:5000/app:1", "localhost:5000", "app", "1"),
        ("ghcr.io/a/b:v1.0_x", "ghcr.io", "a/b", "v1.0_x"),
        (f"debian@{DIGEST}", HUB, "library/debian", DIGEST),
        (f"debian:trixie@{DIGEST}", HUB, "library/debian", DIGEST),
    ],
)
def test_an_image_reference(text: str, host: str, repository: str, version: str) -> None:
    assert parse_reference(text) == (host, repository, version)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "its name is not valid"),
        ("Debian", "must be lower case"),
        ("debian:", "its tag is not valid"),
        ("debian:a b", "its tag is not valid"),
        ("debian:" + "x" * 129, "its tag is not valid"),
        ("debian@sha512:" + "0" * 128, "only sha256"),
        ("debian@", "only sha256"),
        ("a..b/c", "its host is not valid"),
        ("a/../b", "its name is not valid"),
        ("ghcr.io/a?b", "its name is not valid"),
    ],
)
def test_a_wrong_image_reference(text: str, says: str) -> None:
    with pytest.raises(BadConfiguration, match=says):
        parse_reference(text)


names = st.from_regex(r"[a-z0-9]{1,8}([._-][a-z0-9]{1,8})?(/[a-z0-9]{1,8}){0,3}", fullmatch=True)


@given(names, st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,40}", fullmatch=True))
def test_what_is_written_in_full_is_read_back(name: str, tag: str) -> None:
    assert parse_reference(f"registry.example.com:5000/{name}:{tag}") == ("registry.example.com:5000", name, tag)
    assert parse_address(f"registry.example.com:5000/{name}") == ("registry.example.com:5000", name)


@given(st.text() | st.text("ab./:@-[]A \n", max_size=30))
def test_any_text_is_an_address_or_a_plain_error(text: str) -> None:
    for parse in (parse_address, parse_reference):
        try:
            host, repository, *_ = parse(text)
        except BadConfiguration as error:
            assert "\n" not in str(error)
        else:
            assert host in (text.partition("/")[0], HUB)
            assert repository.removeprefix("library/") in text


def test_an_image_on_the_stores_host_shares_its_credentials(tmp_path: Path) -> None:
    environ = {"LINEAL_REGISTRY_USERNAME": "me", "LINEAL_REGISTRY_PASSWORD": "pw"}
    stores = StoreOpener(tmp_path, environ)
    store = stores.store("ghcr.io/a/b")
    same, tag = stores.image("ghcr.io/c/d:1", store)
    other, _ = stores.image("quay.io/c/d:1", store)
    assert isinstance(same, Registry)
    assert isinstance(other, Registry)
    assert (same.repository, tag) == ("c/d", "1")
    assert same._credential is not None
    assert other._credential is None


@pytest.mark.parametrize("address", ["a/b", "b/c:1"])
def test_the_job_s_password_goes_to_its_own_host_only(tmp_path: Path, address: str) -> None:
    job = Credential("CI_REGISTRY_USER", "job", "pw")
    stores = StoreOpener(tmp_path, {}, job_credentials={"registry.example.com": job})

    def shown_to(host: str) -> Credential | None:
        found = stores.image(f"{host}/{address}")[0] if ":" in address else stores.store(f"{host}/{address}")
        assert isinstance(found, Registry)
        return found._fallback

    assert shown_to("registry.example.com") == job
    for host in ("registry.example.com:443", "registry.example.com.evil.example", "evil.registry.example.com"):
        assert shown_to(host) is None


def test_hosts_are_insecure_only_when_named(tmp_path: Path) -> None:
    def scheme(*insecure: str) -> str:
        store = StoreOpener(tmp_path, {}, insecure).store("registry.example.com:5000/a")
        assert isinstance(store, Registry)
        return store._http._scheme

    assert scheme() == "https"
    assert scheme("registry.example.com") == "https"
    assert scheme("registry.example.com:5000") == "http"


def test_what_lies_beside_a_store(tmp_path: Path) -> None:
    stores = StoreOpener(tmp_path, {})
    registry, layout = stores.store("docker.io/a/b"), stores.store("layout:x")
    beside = registry.sibling("a/b/bundle")
    assert beside is not None
    assert beside.address == f"{HUB}/a/b/bundle"
    assert (registry.directory, layout.directory) == (None, tmp_path / "x")
    assert layout.sibling("a/b") is None


def test_a_run_that_may_not_write_shares_no_credential_with_its_neighbours(tmp_path: Path) -> None:
    environ = {"LINEAL_REGISTRY_USERNAME": "me", "LINEAL_REGISTRY_PASSWORD": "pw"}
    stores = StoreOpener(tmp_path, environ)
    store = ReadThroughStore(Layout(tmp_path, "private", partial=True), stores.store("ghcr.io/a/b"))
    base, _ = stores.image("ghcr.io/c/d:1", store)
    assert isinstance(base, Registry)
    assert base._credential is None
