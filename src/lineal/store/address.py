"""What a user writes to name a store or an image, and the store that it means."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.errors import BadConfiguration
from lineal.store import Store
from lineal.store.credentials import DOCKER_HUB_HOSTS, Credential

if TYPE_CHECKING:
    from lineal.store.registry import Registry

DOCKER_HUB = "registry-1.docker.io"
LAYOUT = "layout:"
REGISTRY_LOGIN = ("LINEAL_REGISTRY_USERNAME", "LINEAL_REGISTRY_PASSWORD")
_HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?"
)
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_NAME = 255
_EXAMPLE = "Write it like `registry.example.com/team/app` or `layout:PATH`."


def open_store(
    address: str,
    *,
    insecure_hosts: Collection[str] = (),
    workdir: Path,
    environ: Mapping[str, str] | None = None,
) -> Store:
    """The store at `layout:PATH` (relative to `workdir`) or `host[:port]/path`; touches neither disk nor network.

    The `REGISTRY_LOGIN` of `environ` is for this registry only. Raises `BadConfiguration`."""
    if address.startswith(LAYOUT):
        from lineal.store.layout import Layout

        path = address.removeprefix(LAYOUT)
        if not path.strip() or "\0" in path:
            raise BadConfiguration("A layout store needs a directory: `layout:PATH`.", remedy=_EXAMPLE)
        return Layout(workdir / Path(path).expanduser(), address)
    environ = os.environ if environ is None else environ
    host, repository = parse_address(address)
    from lineal.store.registry import Registry

    return Registry(
        host,
        repository,
        address=address,
        insecure=_insecure(address.partition("/")[0], host, insecure_hosts),
        credential=_explicit(environ),
        environ=environ,
    )


def open_image(
    reference: str,
    *,
    insecure_hosts: Collection[str] = (),
    store: Store | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[Registry, str]:
    """The repository of an image such as a base image, and the tag or digest in it.

    On the host of `store` it is read with that store's credentials and connections. Raises `BadConfiguration`."""
    from lineal.store.registry import Registry

    host, repository, version = parse_reference(reference)
    if isinstance(store, Registry) and store.host == host:
        return store.sibling(repository), version
    return Registry(host, repository, insecure=_insecure(host, host, insecure_hosts), environ=environ), version


def parse_address(address: str) -> tuple[str, str]:
    """Host (with port) and repository of a registry store. Raises `BadConfiguration`."""
    if not address.strip():
        raise BadConfiguration("The store's address is empty.", remedy=_EXAMPLE)
    if "://" in address:
        scheme, _, rest = address.partition("://")
        raise BadConfiguration(
            f"The store's address {_shown(address)} starts with {_shown(scheme + '://')}.",
            remedy=f"Leave that out: {_shown(rest.rpartition('@')[2])}.",
        )
    host, slash, path = address.partition("/")
    if "@" in address or ":" in path:
        raise BadConfiguration(
            f"The store's address {_shown(address.rpartition('@')[2])} has a tag, a digest or a user name too many.",
            remedy=_EXAMPLE,
        )
    if address != address.lower():
        raise BadConfiguration(
            f"The store's address {_shown(address)} has upper-case letters, which registries do not take.",
            remedy=f"Write {_shown(address.lower())}.",
        )
    if not _is_host(host):
        raise BadConfiguration(f"The store's address {_shown(address)} does not begin with a host.", remedy=_EXAMPLE)
    if not slash or not _is_repository(path):
        raise BadConfiguration(
            f"The store's address {_shown(address)} has no valid repository after the host.", remedy=_EXAMPLE
        )
    return _normal(host, path)


def parse_reference(text: str) -> tuple[str, str, str]:
    """`[host[:port]/]repository[:tag][@digest]` as host, repository and digest, or tag (default `latest`).

    As for Docker, a name without a host is Docker Hub's: `debian` is `library/debian` there. Raises
    `BadConfiguration`."""
    name, at, digest = text.partition("@")
    head, slash, rest = name.partition("/")
    has_host = bool(slash) and ("." in head or ":" in head or head == "localhost")
    host, path = (head, rest) if has_host else ("docker.io", name)
    repository, colon, tag = path.partition(":")
    wrong = (
        "its host is not valid"
        if not _is_host(host)
        else "its name must be lower case"
        if repository != repository.lower()
        else "its name is not valid"
        if not _is_repository(repository)
        else "its tag is not valid"
        if colon and not _TAG.fullmatch(tag)
        else "only sha256 digests are supported"
        if at and not _DIGEST.fullmatch(digest)
        else None
    )
    if wrong:
        raise BadConfiguration(
            f"{_shown(text)} is not an image reference: {wrong}.",
            remedy="Write it like `debian:trixie` or `registry.example.com/team/app:1.0`.",
        )
    return *_normal(host, repository), digest or tag or "latest"


def _normal(host: str, repository: str) -> tuple[str, str]:
    if host not in DOCKER_HUB_HOSTS:
        return host, repository
    return DOCKER_HUB, repository if "/" in repository else f"library/{repository}"


def _is_host(host: str) -> bool:
    match = _HOST.fullmatch(host) if len(host) <= _MAX_NAME else None
    if match is None or not ("." in host or ":" in host or host == "localhost"):
        return False
    return match[1] is None or 0 < int(match[1]) < 65536


def _is_repository(path: str) -> bool:
    return len(path) <= _MAX_NAME and _REPOSITORY.fullmatch(path) is not None


def _insecure(written: str, host: str, insecure_hosts: Collection[str]) -> bool:
    return written in insecure_hosts or host in insecure_hosts


def _explicit(environ: Mapping[str, str]) -> Credential | None:
    username, password = (environ.get(name) for name in REGISTRY_LOGIN)
    if not username and not password:
        return None
    if not username or not password:
        missing = REGISTRY_LOGIN[1] if username else REGISTRY_LOGIN[0]
        raise BadConfiguration(f"{missing} is not set, but its counterpart is.", remedy="Set both or neither.")
    return Credential(REGISTRY_LOGIN[0], username, password)


def _shown(text: str) -> str:
    """Quoted for a message, without a password written into it."""
    return repr(re.sub(r"(?<=//).*@", "", text, flags=re.DOTALL)[:200])
