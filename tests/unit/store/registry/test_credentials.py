"""Which credential is found in Docker's and Podman's files, and what a helper may say."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineal.oci.credential import Credential
from lineal.store.registry.credentials import DOCKER_HUB_KEY, find_credential
from tests.unit.store.conftest import PASSWORD, USER, environ, manifest_of

HOST = "registry.example.com"


def auth(user: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:pw:{user}".encode()).decode()}


def write(file: Path, **config: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(config))


def helper(home: Path, name: str, script: str) -> None:
    file = home / "bin" / f"docker-credential-{name}"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\nread server\n{script}\n")
    file.chmod(0o755)


def found(home: Path, host: str = HOST, repository: str = "team/app", **more: str) -> Credential | None:
    return find_credential(host, repository, environ(home, **more))[0]


def user(credential: Credential | None) -> str | None:
    return credential.username if credential else None


def test_nothing_anywhere_is_anonymous(tmp_path: Path) -> None:
    assert find_credential(HOST, "team/app", environ(tmp_path)) == (None, None)


def test_the_files_come_in_order(tmp_path: Path) -> None:
    files = [
        tmp_path / "docker" / "config.json",
        tmp_path / "auth.json",
        tmp_path / "run" / "containers" / "auth.json",
        tmp_path / ".config" / "containers" / "auth.json",
    ]
    more = {
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "REGISTRY_AUTH_FILE": str(files[1]),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
    }
    for number in reversed(range(len(files))):
        write(files[number], auths={HOST: auth(f"user{number}")})
        assert user(found(tmp_path, **more)) == f"user{number}"


def test_docker_config_stands_in_place_of_the_home_directory(tmp_path: Path) -> None:
    write(tmp_path / ".docker" / "config.json", auths={HOST: auth("home")})
    assert user(found(tmp_path)) == "home"
    write(tmp_path / "job" / "config.json", auths={HOST: auth("job")})
    assert user(found(tmp_path, DOCKER_CONFIG=str(tmp_path / "job"))) == "job"


def test_a_file_without_this_host_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / ".docker" / "config.json", auths={"other.example.com": auth("other"), HOST: {}})
    write(tmp_path / ".config" / "containers" / "auth.json", auths={HOST: auth("podman")})
    assert user(found(tmp_path)) == "podman"


def test_a_password_may_have_colons(tmp_path: Path) -> None:
    write(tmp_path / ".docker" / "config.json", auths={HOST: auth("me")})
    credential = found(tmp_path)
    assert credential is not None
    assert credential.password == "pw:me"


def test_a_password_may_have_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    entry = base64.b64encode(b"robot:p\xe9ss").decode()
    write(tmp_path / ".docker" / "config.json", auths={HOST: {"auth": entry}})
    credential = found(tmp_path)
    assert credential is not None and credential.basic() == f"Basic {entry}"


def test_the_most_specific_path_wins(tmp_path: Path) -> None:
    entries = {HOST: auth("host"), f"{HOST}/team": auth("team"), f"{HOST}/team/app": auth("app")}
    write(tmp_path / ".config" / "containers" / "auth.json", auths=entries)
    assert user(found(tmp_path)) == "app"
    assert user(found(tmp_path, repository="team/other")) == "team"
    assert user(found(tmp_path, repository="teams/app")) == "host"


@pytest.mark.parametrize(
    "key", [f"https://{HOST}", f"https://{HOST}/v1/", f"http://{HOST}/v2", f"https://{HOST}/team/app"]
)
def test_old_logins_are_kept_under_a_url(tmp_path: Path, key: str) -> None:
    write(tmp_path / ".docker" / "config.json", auths={key: auth("old")})
    assert user(found(tmp_path)) == "old"
    assert found(tmp_path, host="example.com") is None


@pytest.mark.parametrize("host", ["docker.io", "registry-1.docker.io", "index.docker.io"])
def test_docker_hub_has_a_key_of_its_own(tmp_path: Path, host: str) -> None:
    write(tmp_path / ".docker" / "config.json", auths={DOCKER_HUB_KEY: auth("hub")})
    assert user(found(tmp_path, host=host, repository="library/debian")) == "hub"
    assert found(tmp_path) is None


def test_a_helper_for_the_host_beats_the_store_which_beats_the_file(tmp_path: Path) -> None:
    helper(tmp_path, "one", """printf '{"Username":"one:%s","Secret":"s"}' "$server" """)
    helper(tmp_path, "two", """printf '{"Username":"two:%s","Secret":"s"}' "$server" """)
    file = tmp_path / ".docker" / "config.json"
    write(file, auths={HOST: auth("file")}, credsStore="two", credHelpers={HOST: "one"})
    assert user(found(tmp_path)) == f"one:{HOST}"
    write(file, auths={HOST: auth("file")}, credsStore="two", credHelpers={"other": "one"})
    assert user(found(tmp_path)) == f"two:{HOST}"
    assert user(found(tmp_path, host="docker.io")) == f"two:{DOCKER_HUB_KEY}"


def test_a_helper_that_knows_nothing_leaves_it_to_the_file(tmp_path: Path) -> None:
    helper(tmp_path, "empty", "echo 'credentials not found in native keychain'; exit 1")
    write(tmp_path / ".docker" / "config.json", auths={HOST: auth("file")}, credsStore="empty")
    assert user(found(tmp_path)) == "file"


def test_a_helper_may_give_an_identity_token(tmp_path: Path) -> None:
    helper(tmp_path, "acr", """echo '{"Username":"<token>","Secret":"refresh"}'""")
    write(tmp_path / ".docker" / "config.json", credsStore="acr")
    credential = found(tmp_path)
    assert credential is not None
    assert (credential.identity_token, credential.username) == ("refresh", "")


@pytest.mark.parametrize(
    ("name", "script", "says"),
    [
        ("bad", "echo secret-in-output; exit 3", "docker-credential-bad failed for registry.example.com"),
        ("text", "echo secret-in-output", "docker-credential-text did not answer with JSON"),
        ("../evil", None, "is not the name of a credential helper"),
        ("absent", None, "docker-credential-absent cannot be run"),
    ],
)
def test_a_helper_that_fails_is_reported_without_its_output(
    tmp_path: Path, name: str, script: str | None, says: str
) -> None:
    if script:
        helper(tmp_path, name, script)
    write(tmp_path / ".docker" / "config.json", credHelpers={HOST: name})
    credential, problem = find_credential(HOST, "team/app", environ(tmp_path))
    assert credential is None
    assert problem is not None
    assert says in problem
    assert "secret" not in problem


def test_in_the_container_of_the_action_it_says_how_to_have_the_helper(tmp_path: Path) -> None:
    write(tmp_path / ".docker" / "config.json", credHelpers={HOST: "absent"})
    action = {"LINEAL_ACTION_WORKSPACE": "/w", "GITHUB_ACTION_REPOSITORY": "acme/lineal"}
    _, problem = find_credential(HOST, "team/app", environ(tmp_path) | action)
    assert problem is not None
    assert "acme/lineal/setup puts lineal on the runner itself" in problem


def wrapped(text: str, end: str, width: int = 12) -> str:
    return end.join(text[start : start + width] for start in range(0, len(text), width)) + end


@pytest.mark.parametrize("end", ["\n", "\r\n", " ", "\t", "\n  "])
def test_an_auth_that_was_wrapped_is_read(tmp_path: Path, end: str) -> None:
    """As `base64` and `openssl base64` write it without the option against it."""
    text = auth("somebody")["auth"]
    for given in (wrapped(text, end), text + end):
        write(tmp_path / ".docker" / "config.json", auths={HOST: {"auth": given}})
        credential = found(tmp_path)
        assert credential is not None
        assert (credential.username, credential.password) == ("somebody", "pw:somebody")


@pytest.mark.parametrize("entry", ["credsStore", "credHelpers"])
@pytest.mark.parametrize("script", [None, "exit 1", "echo nonsense"])
def test_a_helper_that_cannot_be_used_leaves_the_entry(tmp_path: Path, entry: str, script: str | None) -> None:
    """A desktop's configuration that was copied to a runner: docker takes the entry, too."""
    if script:
        helper(tmp_path, "nowhere", script)
    file = tmp_path / ".docker" / "config.json"
    more = {entry: "nowhere" if entry == "credsStore" else {HOST: "nowhere"}}
    write(file, auths={HOST: auth("file")}, **more)
    credential, problem = find_credential(HOST, "team/app", environ(tmp_path))
    assert user(credential) == "file"
    assert problem is not None
    assert "docker-credential-nowhere" in problem
    write(file, auths={HOST: {}}, **more)
    assert find_credential(HOST, "team/app", environ(tmp_path)) == (None, problem)


def test_a_helper_of_the_host_that_is_missing_leaves_the_store(tmp_path: Path) -> None:
    helper(tmp_path, "store", """echo '{"Username":"store","Secret":"s"}'""")
    write(tmp_path / ".docker" / "config.json", credsStore="store", credHelpers={HOST: "nowhere"})
    assert user(found(tmp_path)) == "store"


@pytest.mark.parametrize(
    "entry", [{}, {"auth": ""}, {"auth": "%"}, {"username": "", "password": ""}, {"email": "a@example.com"}, None]
)
def test_an_entry_without_a_login_is_none(tmp_path: Path, entry: Any) -> None:
    write(tmp_path / ".docker" / "config.json", auths={f"{HOST}/team": entry, HOST: auth("host")})
    assert user(found(tmp_path)) == "host"
    write(tmp_path / ".docker" / "config.json", auths={HOST: entry})
    assert found(tmp_path) is None


def test_an_identity_token_stands_beside_an_auth(tmp_path: Path) -> None:
    entry = {"auth": base64.b64encode(b"00000000-0000-0000-0000-000000000000:").decode(), "identitytoken": "refresh"}
    write(tmp_path / ".docker" / "config.json", auths={HOST: entry})
    credential = found(tmp_path)
    assert credential is not None
    assert credential.identity_token == "refresh"


def test_a_configuration_may_be_a_variable(tmp_path: Path) -> None:
    """GitLab's, for its runner: what a job has logged in to goes before it."""
    text = json.dumps({"auths": {HOST: auth("variable")}})
    assert user(found(tmp_path, DOCKER_AUTH_CONFIG=text)) == "variable"
    assert user(found(tmp_path, "other.example.com", DOCKER_AUTH_CONFIG=text)) is None
    nothing = find_credential(HOST, "team/app", environ(tmp_path, DOCKER_AUTH_CONFIG="{secret"))
    assert nothing == (None, "DOCKER_AUTH_CONFIG is not valid JSON.")
    write(tmp_path / ".docker" / "config.json", auths={HOST: auth("file")})
    assert user(found(tmp_path, DOCKER_AUTH_CONFIG=text)) == "file"


def test_the_job_s_credential_goes_before_the_runner_s(
    password_host: str, open_registry: Callable[..., Any], tmp_path: Path
) -> None:
    """The runner may only read there, and the job may write."""
    runner = environ(tmp_path, DOCKER_AUTH_CONFIG=json.dumps({"auths": {password_host: auth("reader")}}))
    job = Credential("CI_REGISTRY_USER", USER, PASSWORD)
    store = open_registry(password_host, "runner/app", environ=runner, fallback=job)
    store.put_manifest(manifest_of(store), "one")
    assert store.tags() == ["one"]


@pytest.mark.parametrize("text", ["{", '{"auths": {"registry.example.com": {"auth": "%"}}}'])
def test_a_broken_file_is_named_and_the_next_one_read(tmp_path: Path, text: str) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(text)
    write(tmp_path / ".config" / "containers" / "auth.json", auths={HOST: auth("podman")})
    credential, problem = find_credential(HOST, "team/app", environ(tmp_path))
    assert user(credential) == "podman"
    assert problem is not None
    assert "config.json" in problem


@pytest.mark.parametrize("text", ["[]", '{"auths": [], "credHelpers": 3}', '{"auths": {"registry.example.com": 3}}'])
def test_a_file_of_another_shape_has_no_credentials(tmp_path: Path, text: str) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(text)
    assert found(tmp_path) is None


def test_a_helper_opens_a_real_registry(
    password_host: str, open_registry: Callable[..., Any], tmp_path: Path
) -> None:
    helper(tmp_path, "real", f"""echo '{{"Username":"{USER}","Secret":"{PASSWORD}"}}'""")
    write(tmp_path / ".docker" / "config.json", credHelpers={password_host: "real"})
    store = open_registry(password_host, "helper/app")
    store.put_manifest(manifest_of(store), "one")
    assert store.tags() == ["one"]


def test_the_job_s_credential_counts_where_nobody_logged_in(
    password_host: str, open_registry: Callable[..., Any]
) -> None:
    store = open_registry(password_host, "job/app", fallback=Credential("CI_REGISTRY_USER", USER, PASSWORD))
    store.put_manifest(manifest_of(store), "one")
    assert store.tags() == ["one"]
    assert store.sibling("job/app").tags() == ["one"]


def test_a_login_goes_before_the_job_s_credential(
    password_host: str, open_registry: Callable[..., Any], tmp_path: Path
) -> None:
    login = {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
    write(tmp_path / ".docker" / "config.json", auths={password_host: login})
    store = open_registry(password_host, "login/app", fallback=Credential("CI_REGISTRY_USER", USER, "wrong"))
    store.put_manifest(manifest_of(store), "one")
    assert store.tags() == ["one"]
