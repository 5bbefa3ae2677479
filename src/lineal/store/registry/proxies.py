"""Which proxy a request takes: HTTPS_PROXY, HTTP_PROXY and NO_PROXY as docker, helm and all that is written in Go
understand them (golang.org/x/net/http/httpproxy)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from lineal.store.registry.network_policy import is_loopback

_PORTS = {"http": 80, "https": 443}
_Matcher = Callable[[str, int], bool]


class Proxies:
    """The proxies of one environment. A variable in upper case goes before the same one in lower case."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        every = _value(environ, "ALL_PROXY")
        self._by_scheme = {scheme: _value(environ, f"{scheme.upper()}_PROXY") or every for scheme in _PORTS}
        entries = re.split(r"[,\s]+", _value(environ, "NO_PROXY").lower())
        self._direct = [matcher for entry in entries if entry and (matcher := _matcher(entry))]

    def of(self, url: str) -> str | None:
        """The proxy's URL for a request; None for a direct one, as to this machine's own loopback always."""
        parts = urlsplit(url)
        name, proxy = (parts.hostname or "").rstrip("."), self._by_scheme.get(parts.scheme)
        if not proxy or not name or is_loopback(parts.netloc):
            return None
        port = parts.port or _PORTS[parts.scheme]
        return None if any(matches(name, port) for matches in self._direct) else proxy


def _value(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.lower()) or ""


def _matcher(entry: str) -> _Matcher | None:
    """The test of one entry of NO_PROXY; None for one that means nothing."""
    if entry == "*":
        return lambda _name, _port: True
    if "/" in entry:
        return _network(entry)
    host, port = _split(entry)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _domain(host, port)
    return lambda name, asked: _address(name) == address and port in (None, asked)


def _network(entry: str) -> _Matcher | None:
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None
    return lambda name, _port: (address := _address(name)) is not None and address in network


def _domain(host: str, port: int | None) -> _Matcher | None:
    """`example.com` is the host and all below it, `.example.com` and `*.example.com` only what is below."""
    host = host.rstrip(".")
    below = host.removeprefix("*") if host.startswith("*.") else host
    ending = below if below.startswith(".") else f".{below}"
    if ending == ".":
        return None
    return lambda name, asked: (name == below or name.endswith(ending)) and port in (None, asked)


def _split(entry: str) -> tuple[str, int | None]:
    """Host and port of an entry; an address of IPv6 may stand in brackets, and has a port only then."""
    matched = re.fullmatch(r"\[([^\]]*)\](?::([0-9]{1,5}))?|([^:]*):([0-9]{1,5})", entry)
    if matched is None:
        return entry, None
    port = matched[2] or matched[4]
    return matched[1] or matched[3] or "", int(port) if port else None


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
