"""References of images and addresses of repositories, as users write them."""

from __future__ import annotations

import re

from lineal.errors import BadConfiguration
from lineal.oci.verify import is_digest
from lineal.regex import regex

DOCKER_HUB = "registry-1.docker.io"
"""The host that answers for Docker Hub ..."""
DOCKER_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", DOCKER_HUB})
"""... and the names that people write for it."""
EXAMPLE = "Write it like `registry.example.com/team/app` or `layout:PATH`."

_HOST = regex(
    r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?"
)
_REPOSITORY = regex(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_MAX_NAME = 255


def parse_address(address: str) -> tuple[str, str]:
    """Host (with port) and repository of a registry store. Raises `BadConfiguration`."""
    if not address.strip():
        raise BadConfiguration("The store's address is empty.", id="LN-4001", remedy=EXAMPLE)
    if "://" in address:
        scheme, _, rest = address.partition("://")
        raise BadConfiguration(
            f"The store's address {_shown(address)} starts with {_shown(scheme + '://')}.",
            id="LN-4001",
            remedy=f"Leave that out: {_shown(rest.rpartition('@')[2])}.",
        )
    host, slash, path = address.partition("/")
    if "@" in address or ":" in path:
        raise BadConfiguration(
            f"The store's address {_shown(address.rpartition('@')[2])} has a tag, a digest or a user name too many.",
            id="LN-4001",
            remedy=EXAMPLE,
        )
    if address != address.lower():
        raise BadConfiguration(
            f"The store's address {_shown(address)} has upper-case letters, which registries do not take.",
            id="LN-4001",
            remedy=f"Write {_shown(address.lower())}.",
        )
    if not _is_host(host):
        raise BadConfiguration(
            f"The store's address {_shown(address)} does not begin with a host.", id="LN-4001", remedy=EXAMPLE
        )
    if not slash or not _is_repository(path):
        raise BadConfiguration(
            f"The store's address {_shown(address)} has no valid repository after the host.",
            id="LN-4001",
            remedy=EXAMPLE,
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
        if at and not is_digest(digest)
        else None
    )
    if wrong:
        raise BadConfiguration(
            f"{_shown(text)} is not an image reference: {wrong}.",
            id="LN-4002",
            remedy="Write it like `debian:trixie` or `registry.example.com/team/app:1.0`.",
        )
    return *_normal(host, repository), digest or tag or "latest"


def is_tag(text: str) -> bool:
    """Whether a repository can have a tag of this name (OCI distribution spec)."""
    return _TAG.fullmatch(text) is not None


def familiar(text: str) -> str:
    """The shortest spelling of a reference: without Docker Hub's host, `library/` and `:latest`. Raises
    `BadConfiguration`."""
    host, repository, wanted = parse_reference(text)
    name = repository.removeprefix("library/") if host == DOCKER_HUB else f"{host}/{repository}"
    return name if wanted == "latest" else f"{name}@{wanted}" if is_digest(wanted) else f"{name}:{wanted}"


def whole_name(name: str) -> str:
    """A name with its host, as containerd writes it: `docker.io/library/app:latest`."""
    head, slash, _ = name.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


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


def _shown(text: str) -> str:
    """Quoted for a message, without a password written into it."""
    return repr(re.sub(r"(?<=//).*@", "", text, flags=re.DOTALL)[:200])
