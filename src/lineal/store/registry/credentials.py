"""Credentials for registries: Docker's and Podman's files and credential helpers, read as those tools do."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lineal.errors import missing_program
from lineal.oci.credential import Credential
from lineal.oci.reference import DOCKER_HUB_HOSTS

AUTH_VARIABLE = "DOCKER_AUTH_CONFIG"
"""A configuration as text, as GitLab's runner and newer dockers take it."""
DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONELY = re.compile("[\ud800-\udfff]")
"""Half a character: JSON can name it, no text holds it."""
_HELPER_SECONDS = 60


def find_credential(host: str, repository: str, environ: Mapping[str, str]) -> tuple[Credential | None, str | None]:
    """The credential of the first configuration that has one, and what went wrong on the way (a sentence without
    secrets).

    A broken file or helper is no reason to stop: another entry may be right, or the registry readable by anyone."""
    problems: list[str] = []
    for source, config in _configurations(environ, problems):
        for candidate in _candidates(config, source, _keys(host, repository), environ):
            try:
                found = candidate()
            except _Problem as error:
                problems.append(str(error))
                continue
            if found:
                return found, problems[0] if problems else None
    return None, problems[0] if problems else None


class _Problem(Exception):
    """Why a file or a helper could not be used."""


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME") or Path.home())
    # As for docker itself, $DOCKER_CONFIG stands in place of ~/.docker: a job's own login beats the machine's.
    yield Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    if file := environ.get("REGISTRY_AUTH_FILE"):
        yield Path(file)
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json"


def _configurations(environ: Mapping[str, str], problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each configuration that can be read, with the name of its file or variable."""
    for path in _files(environ):
        try:
            yield from _parsed(str(path), path.read_bytes(), problems)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            problems.append(f"{path} cannot be read ({error.strerror}).")
    # The last one: in a GitLab job it is there for the runner, and the job may have logged in for more.
    if text := environ.get(AUTH_VARIABLE):
        yield from _parsed(AUTH_VARIABLE, text.encode("utf-8", "surrogateescape"), problems)


def _parsed(source: str, text: bytes, problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        problems.append(f"{source} is not valid JSON.")
        return
    if isinstance(config, dict):
        yield source, config


def _keys(host: str, repository: str) -> list[str]:
    """The names under which a credential may be kept, most specific first (Podman keeps them per path, too)."""
    if host in DOCKER_HUB_HOSTS:
        return [f"docker.io/{repository}", DOCKER_HUB_KEY, "docker.io", "index.docker.io", "registry-1.docker.io"]
    parts = repository.split("/")
    return [*(f"{host}/{'/'.join(parts[:count])}" for count in range(len(parts), 0, -1)), host]


def _candidates(
    config: dict[str, Any], source: str, keys: list[str], environ: Mapping[str, str]
) -> Iterator[Callable[[], Credential | None]]:
    """Where a file may have the credential, in docker's order: the host's helper, the store, an entry. Each raises
    `_Problem` when it cannot be used; the next one may."""
    helpers = _table(config, "credHelpers")
    for key in keys:
        if helper := helpers.get(key):
            yield partial(_from_helper, str(helper), key, environ)
    if store := config.get("credsStore"):
        yield partial(_from_helper, str(store), DOCKER_HUB_KEY if DOCKER_HUB_KEY in keys else keys[-1], environ)
    auths = _table(config, "auths")
    by_host = {_hostname(key): entry for key, entry in auths.items()}
    for entry in [*(auths.get(key) for key in keys), *(by_host.get(key) for key in keys)]:
        if isinstance(entry, dict):
            yield partial(_from_entry, entry, source)


def _table(config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def _hostname(key: str) -> str:
    """`https://host/v1/`, as old logins wrote it, means `host`."""
    return re.sub(r"^https?://([^/]*).*|/(v[12]/?)?$", r"\1", key)


def _from_entry(entry: dict[str, Any], source: str) -> Credential | None:
    username, password = _text(entry, "username"), _text(entry, "password")
    if auth := _text(entry, "auth"):
        try:
            # Whoever wrote it with `base64` left line ends in it, which docker passes over.
            plain = base64.b64decode("".join(auth.split()), validate=True).decode("utf-8", "surrogateescape")
            username, _, password = plain.rstrip("\0").partition(":")
        except ValueError:
            raise _Problem(f"{source} has an `auth` that is not base64.") from None
    identity, registry = _text(entry, "identitytoken"), _text(entry, "registrytoken")
    if not (registry.isascii() and registry.isprintable()):
        raise _Problem(f"{source} has a `registrytoken` that no header can hold.")
    if not (identity or registry or (username and password)):
        return None
    return Credential(source, username, password, identity, registry)


def _text(entry: dict[str, Any], key: str) -> str:
    """The text of a key; empty for what is none, or cannot be sent."""
    value = entry.get(key)
    return value if isinstance(value, str) and not _LONELY.search(value) else ""


def _from_helper(name: str, server: str, environ: Mapping[str, str]) -> Credential | None:
    """Ask `docker-credential-<name>`; None when it has nothing for `server`. What it prints is never repeated."""
    import subprocess

    program = f"docker-credential-{name}"
    if not _HELPER.fullmatch(name):
        raise _Problem(f"{name!r} is not the name of a credential helper.")
    try:
        done = subprocess.run(
            [program, "get"],
            input=server.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            env=dict(environ),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _Problem(f"{program} did not answer within {_HELPER_SECONDS} s.") from None
    except OSError as error:
        raise _Problem(f"{program} cannot be run ({error.strerror}). {missing_program(environ)}".rstrip()) from None
    if done.returncode != 0:
        if b"credentials not found" in done.stdout + done.stderr:
            return None
        raise _Problem(f"{program} failed for {server} (exit status {done.returncode}).")
    return _from_answer(done.stdout, program)


def _from_answer(output: bytes, program: str) -> Credential | None:
    try:
        answer = json.loads(output)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise _Problem(f"{program} did not answer with JSON.")
    username, secret = _text(answer, "Username"), _text(answer, "Secret")
    if not secret:
        return None
    if username == "<token>":
        return Credential(program, identity_token=secret)
    return Credential(program, username, secret)
