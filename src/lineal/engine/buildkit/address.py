"""Where a buildkitd is: `unix://PATH`, `tcp://HOST:PORT` with TLS, `docker-container://NAME`, `kube-pod://POD`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from lineal.errors import BadConfiguration
from lineal.text import quoted

DEFAULT_SOCKET = "/run/buildkit/buildkitd.sock"
_TLS = ("cacert", "cert", "key", "servername")
_POD = ("namespace", "container", "context")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
"""Of a pod, a container and a namespace in Kubernetes."""
_EXAMPLE = (
    "Write unix:///run/buildkit/buildkitd.sock, tcp://HOST:PORT?cacert=FILE&cert=FILE&key=FILE, "
    "docker-container://NAME or kube-pod://POD?namespace=NAME."
)


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM. A daemon for others than this machine asks for `cert` and `key`; see `docs/engines.md`."""

    cacert: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    servername: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """Which pod has the name, and its container. What is empty is that of the kubeconfig, and the only container."""

    namespace: str = ""
    container: str = ""
    context: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """`place` is a path, `HOST:PORT` or the name of a container or pod."""

    scheme: str
    place: str
    tls: Tls | None = None
    pod: Pod = Pod()

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}" + (f"?namespace={self.pod.namespace}" if self.pod.namespace else "")

    @property
    def host(self) -> str:
        return self.place.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.place.rpartition(":")[2])


def parse_all(text: str, source: str) -> tuple[Address, ...]:
    """One address or several, with commas between them. Raises `BadConfiguration`."""
    return tuple(parse(part.strip(), source) for part in text.split(","))


def parse(text: str, source: str) -> Address:
    """An address as BUILDKIT_HOST has it. `source` names for people where it was written. Raises
    `BadConfiguration`."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise _unusable(text, source, "it has no scheme")
    parts = urlsplit(f"//{rest}" if scheme != "unix" else rest)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if scheme == "unix":
        if not parts.path.startswith("/"):
            raise _unusable(text, source, "the path of a Unix socket begins with a slash")
        _check_options(options, (), text, source)
        return Address("unix", unquote(parts.path))
    if scheme == "tcp":
        return _tcp(parts.netloc, options, text, source)
    if scheme == "docker-container":
        _check_options(options, (), text, source)
        if not parts.netloc:
            raise _unusable(text, source, "it names no container")
        return Address("docker-container", parts.netloc)
    if scheme == "kube-pod":
        return _pod(parts.netloc, options, text, source)
    raise _unusable(text, source, f"Lineal reaches no buildkitd by {quoted(scheme)}")


def _tcp(place: str, options: Mapping[str, str], text: str, source: str) -> Address:
    host, _, port = place.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or "@" in place:
        raise _unusable(text, source, "it is not HOST:PORT")
    _check_options(options, _TLS, text, source)
    if not options:
        return Address("tcp", place)
    files = {name: Path(value).expanduser() for name, value in options.items() if name != "servername"}
    if ("cert" in files) != ("key" in files):
        raise _unusable(text, source, "cert and key go together")
    for name, path in files.items():
        if not path.is_file():
            raise _unusable(text, source, f"{name} names {quoted(str(path))}, where no file is")
    return Address("tcp", place, Tls(**files, servername=options.get("servername", "")))


def _pod(name: str, options: Mapping[str, str], text: str, source: str) -> Address:
    _check_options(options, _POD, text, source)
    if not _NAME.fullmatch(name):
        raise _unusable(text, source, f"{quoted(name)} is no pod's name" if name else "it names no pod")
    for option in ("namespace", "container"):
        if option in options and not _NAME.fullmatch(options[option]):
            raise _unusable(text, source, f"its {option} is no name of Kubernetes")
    return Address("kube-pod", name, pod=Pod(**options))


def _check_options(options: Mapping[str, str], known: tuple[str, ...], text: str, source: str) -> None:
    for name in options:
        if name not in known:
            raise _unusable(text, source, f"it has the unknown option {quoted(name)}")


def _unusable(text: str, source: str, reason: str) -> BadConfiguration:
    if "@" in text:
        # What stands before it may be a password.
        text = f"{text.partition('://')[0]}://…@{text.rpartition('@')[2]}"
    sentence = f"{quoted(text)} ({source}) is no address of a buildkitd that Lineal can use: {reason}."
    return BadConfiguration(sentence, id="LN-5027", remedy=_EXAMPLE)
