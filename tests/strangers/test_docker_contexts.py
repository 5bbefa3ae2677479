"""The Docker Engine that Lineal uses is the one that `docker` uses."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from lineal.engine.docker import endpoint
from lineal.engine.docker.client import Client
from lineal.errors import BadConfiguration, Unreachable


def docker_home(home: Path, contexts: dict[str, Any], current: str | None = None, folder: str = ".docker") -> str:
    """A home folder with docker's configuration, as `docker context create` and `use` write it."""
    place = home / folder
    place.mkdir(parents=True, exist_ok=True)
    if current is not None:
        (place / "config.json").write_text(json.dumps({"auths": {}, "currentContext": current}))
    for name, engine in contexts.items():
        meta = place / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
        meta.mkdir(parents=True)
        (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": engine}}))
    return str(home)


def at(host: str) -> dict[str, Any]:
    return {"Host": host, "SkipTLSVerify": False}


def test_the_current_context_names_the_engine(tmp_path: Path) -> None:
    home = docker_home(tmp_path, {"colima": at("unix:///c.sock"), "other": at("unix:///o.sock")}, "colima")
    found = endpoint.find({"HOME": home})
    assert (found.host, str(found)) == ("unix:///c.sock", "unix:///c.sock (docker's context `colima`)")


@pytest.mark.parametrize(
    ("variables", "host"),
    [
        ({"DOCKER_HOST": "unix:///h.sock", "DOCKER_CONTEXT": "other"}, "unix:///h.sock"),
        ({"DOCKER_HOST": "", "DOCKER_CONTEXT": "other"}, "unix:///o.sock"),
        ({"DOCKER_CONTEXT": ""}, "unix:///c.sock"),
        ({"DOCKER_CONTEXT": "default"}, endpoint.DEFAULT_HOST),
        ({"DOCKER_CONTEXT": "default", "DOCKER_HOST": "tcp://h:1"}, "tcp://h:1"),
        ({"DOCKER_HOST": "h.example"}, "tcp://h.example:2375"),
        ({"DOCKER_HOST": "tcp://h", "DOCKER_TLS_VERIFY": "1"}, "tcp://h:2376"),
        ({"DOCKER_HOST": "tcp://[::1]:5"}, "tcp://[::1]:5"),
    ],
)
def test_a_variable_wins_over_the_current_context(tmp_path: Path, variables: dict[str, str], host: str) -> None:
    home = docker_home(tmp_path, {"colima": at("unix:///c.sock"), "other": at("unix:///o.sock")}, "colima")
    assert endpoint.find({"HOME": home, **variables}).host == host


def test_docker_config_names_the_folder_of_the_contexts(tmp_path: Path) -> None:
    home = docker_home(tmp_path, {"own": at("unix:///own.sock")}, "own", "elsewhere")
    assert endpoint.find({"HOME": home}).host == endpoint.DEFAULT_HOST
    assert endpoint.find({"HOME": "/nowhere", "DOCKER_CONFIG": f"{home}/elsewhere"}).host == "unix:///own.sock"


@pytest.mark.parametrize("config", ["", "{", "[]", '{"currentContext": 5}', '{"currentContext": ""}', "{}"])
def test_a_config_that_names_no_context_means_the_default_socket(tmp_path: Path, config: str) -> None:
    docker_home(tmp_path, {})
    (tmp_path / ".docker" / "config.json").write_text(config)
    assert endpoint.find({"HOME": str(tmp_path)}) == endpoint.Endpoint(endpoint.DEFAULT_HOST, "")


def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    home = docker_home(tmp_path, {}, "gone")
    with pytest.raises(
        BadConfiguration, match=r"config\.json names docker's context `gone`, .*none of this name.*use`"
    ):
        endpoint.find({"HOME": home})
    with pytest.raises(
        BadConfiguration, match=r"^DOCKER_CONTEXT names docker's context `../../x`, .*none of this name"
    ):
        endpoint.find({"HOME": home, "DOCKER_CONTEXT": "../../x"})


@pytest.mark.parametrize("engine", [None, [], {"Host": 5}, {"Host": ["x"]}])
def test_a_context_that_makes_no_sense_is_named(tmp_path: Path, engine: Any) -> None:
    home = docker_home(tmp_path, {"odd": engine}, "odd")
    with pytest.raises(BadConfiguration, match=r"`odd`.* does not say where its Docker Engine is"):
        endpoint.find({"HOME": home})


def test_a_context_s_certificates_are_used(tmp_path: Path) -> None:
    home = docker_home(
        tmp_path, {"far": at("tcp://h:2376"), "lax": {"Host": "tcp://h:1", "SkipTLSVerify": True}}, "far"
    )
    assert endpoint.find({"HOME": home}).certificates is None
    lax = endpoint.find({"HOME": home, "DOCKER_CONTEXT": "lax"})
    settings = endpoint.tls_of(lax)
    assert settings.verify is False and settings.cert is None
    folder = tmp_path / ".docker" / "contexts" / "tls" / hashlib.sha256(b"far").hexdigest() / "docker"
    folder.mkdir(parents=True)
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (folder / name).write_text("x")
    settings = endpoint.tls_of(endpoint.find({"HOME": home}))
    assert settings.cert == (f"{folder}/cert.pem", f"{folder}/key.pem")
    assert (settings.ca_cert, settings.verify) == (f"{folder}/ca.pem", True)


def test_docker_tls_verify_looks_for_certificates_where_docker_does(tmp_path: Path) -> None:
    tls = {"DOCKER_HOST": "tcp://h:1", "DOCKER_TLS_VERIFY": "1"}
    assert endpoint.find({"HOME": "/h", **tls}).certificates == Path("/h/.docker")
    assert endpoint.find({"DOCKER_CONFIG": "/c", **tls}).certificates == Path("/c")
    assert endpoint.find({"DOCKER_CONFIG": "/c", "DOCKER_CERT_PATH": "/p", **tls}).certificates == Path("/p")
    assert endpoint.find({"HOME": "/h", "DOCKER_HOST": "tcp://h:1", "DOCKER_TLS_VERIFY": ""}).certificates is None


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (
            "ssh://me@build.example:2222",
            "SSH.*`ssh -nNT -L .* -p 2222 me@build.example`.*DOCKER_HOST=unix:///tmp/docker",
        ),
        ("ssh://build.example/run/d.sock", "SSH.* build.example`, and"),
        ("npipe:////./pipe/docker_engine", "named pipes are those of Windows"),
        ("fd://3", "it begins with none of unix://, tcp://"),
    ],
)
def test_an_address_that_lineal_cannot_use_is_refused_with_the_reason(tmp_path: Path, host: str, words: str) -> None:
    with pytest.raises(BadConfiguration, match=words) as error:
        endpoint.find({"DOCKER_HOST": host})
    assert "(DOCKER_HOST)" in str(error.value)
    with pytest.raises(BadConfiguration, match=words) as error:
        endpoint.find({"HOME": docker_home(tmp_path, {"far": at(host)}, "far")})
    assert "(docker's context `far`)" in str(error.value)


def test_an_engine_that_is_down_is_named_with_its_context(tmp_path: Path) -> None:
    home = docker_home(tmp_path, {"down": at(f"unix://{tmp_path}/none.sock")}, "down")
    with pytest.raises(Unreachable, match=r"none.sock \(docker's context `down`\) cannot be reached"):
        Client({"HOME": home})


@pytest.mark.engine
def test_the_engine_of_the_current_context_answers(tmp_path: Path) -> None:
    socket = (os.environ.get("DOCKER_HOST") or endpoint.DEFAULT_HOST).removeprefix("unix://")
    (tmp_path / "moved.sock").symlink_to(socket)
    home = docker_home(tmp_path, {"moved": at(f"unix://{tmp_path}/moved.sock")}, "moved")
    assert Client({"HOME": home}).json("GET", "/info", "ask")["Driver"]
