"""Where the Docker Engine is, as the `docker` command finds it: DOCKER_HOST, DOCKER_CONTEXT, the current context of
docker's config.json, the default socket."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lineal.errors import BadConfiguration
from lineal.text import printable, quoted

DEFAULT_HOST = "unix:///var/run/docker.sock"
_HOST = "DOCKER_HOST"
_SCHEMES = ("unix", "tcp", "http", "https")


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    origin: str
    """What names it, for people: a variable, a context of docker; empty for the default socket."""
    certificates: Path | None = None
    """The directory of ca.pem, cert.pem and key.pem; None for a connection without TLS."""
    verify: bool = True
    """Whether the engine has to prove who it is."""

    def __str__(self) -> str:
        return f"{self.host} ({self.origin})" if self.origin not in ("", _HOST) else self.host


def find(environ: Mapping[str, str]) -> Endpoint:
    """The engine that `docker` would talk to. Raises `BadConfiguration` where that is one that Lineal cannot."""
    if host := environ.get(_HOST):
        return _checked(_of_variables(environ, host, _HOST))
    folder = _folder(environ)
    for name, origin in ((environ.get("DOCKER_CONTEXT"), "DOCKER_CONTEXT"), _current(folder)):
        if name:
            # The context `default` is what it is without contexts.
            return _of_variables(environ, DEFAULT_HOST) if name == "default" else _checked(_of(folder, name, origin))
    return _of_variables(environ, DEFAULT_HOST)


def _folder(environ: Mapping[str, str]) -> Path:
    # A user without an entry and without HOME has none: `Path.home` would fail.
    home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111
    return Path(environ.get("DOCKER_CONFIG") or f"{home}/.docker")


def _of_variables(environ: Mapping[str, str], host: str, origin: str = "") -> Endpoint:
    verify, folder = bool(environ.get("DOCKER_TLS_VERIFY")), environ.get("DOCKER_CERT_PATH")
    if not (verify or folder) or host.startswith("unix:"):
        return Endpoint(host, origin)
    return Endpoint(host, origin, Path(folder) if folder else _folder(environ), verify)


def _current(folder: Path) -> tuple[str | None, str]:
    """The name of the current context. A config.json that is not there or broken names none, as for docker."""
    path = folder / "config.json"
    try:
        name = json.loads(path.read_bytes())["currentContext"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None, ""
    return (name if isinstance(name, str) else None), str(path)


def _of(folder: Path, name: str, origin: str) -> Endpoint:
    number = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    path = folder / "contexts" / "meta" / number / "meta.json"
    try:
        engine = json.loads(path.read_bytes())["Endpoints"]["docker"]
        host = engine.get("Host") or DEFAULT_HOST
        verify = not engine.get("SkipTLSVerify")
        if not isinstance(host, str):
            raise ValueError("its host is no text")
    except FileNotFoundError:
        raise _unusable(name, origin, "there is none of this name") from None
    except OSError as error:
        raise _unusable(name, origin, f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _unusable(name, origin, f"{path} does not say where its Docker Engine is") from None
    tls = folder / "contexts" / "tls" / number / "docker"
    return Endpoint(host, f"docker's context {quoted(name)}", tls if tls.is_dir() or not verify else None, verify)


def _unusable(name: str, origin: str, reason: str) -> BadConfiguration:
    return BadConfiguration(
        f"{origin} names docker's context {quoted(name)}, which cannot be used: {reason}.",
        id="LN-5024",
        remedy="`docker context ls` lists them; choose one with `docker context use`, or set DOCKER_HOST.",
    )


def _checked(found: Endpoint) -> Endpoint:
    scheme, separator, rest = found.host.partition("://")
    if not separator:
        scheme, rest = "tcp", found.host
    if scheme in _SCHEMES:
        return replace(found, host=_with_port(f"tcp://{rest}", found)) if scheme == "tcp" else found
    sentence, remedy = f"{quoted(found.host)} ({found.origin}) is no address that Lineal can use: ", ""
    if scheme == "ssh":
        where = rest.partition("/")[0]
        sentence += "it reaches no Docker Engine by SSH."
        remedy = (
            f"Forward its socket, `ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock {_ssh(where)}`, and set "
            "DOCKER_HOST=unix:///tmp/docker.sock."
        )
    elif scheme == "npipe":
        sentence += "named pipes are those of Windows."
        remedy = "Set DOCKER_HOST to a Unix socket (in WSL, Docker Desktop gives one) or to tcp://HOST:PORT."
    else:
        sentence += "it begins with none of unix://, tcp://, http:// and https://."
        remedy = f"Correct {found.origin}."
    raise BadConfiguration(sentence, id="LN-5025", remedy=remedy)


def _with_port(address: str, found: Endpoint) -> str:
    """docker leaves out the port of a TCP address; the SDK does not."""
    if re.search(r":[0-9]+/?\Z", address):
        return address
    return f"{address.rstrip('/')}:{2376 if found.certificates else 2375}"


def _ssh(where: str) -> str:
    """`user@host:port` as arguments of ssh."""
    host, separator, port = where.rpartition(":")
    return printable(f"-p {port} {host}" if separator and port.isdecimal() else where)


def tls_of(found: Endpoint) -> Any:
    """The SDK's TLS settings, False for none. Raises the SDK's errors for files that cannot be read."""
    from docker.tls import TLSConfig

    folder = found.certificates
    if folder is None:
        return False
    ca, cert, key = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
    pair = (str(cert), str(key)) if cert.exists() or key.exists() or found.origin == _HOST else None
    return TLSConfig(client_cert=pair, ca_cert=str(ca) if ca.exists() or found.verify else None, verify=found.verify)
