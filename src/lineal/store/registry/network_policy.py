"""Guards against SSRF: loopback and private addresses, and the redirects that a registry may ask us to follow."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit


def hostname(netloc: str) -> str:
    """The name or address without port and brackets, lower case; empty when there is none."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def is_loopback(netloc: str) -> bool:
    name = hostname(netloc)
    address = _address(name)
    return address.is_loopback if address else name == "localhost" or name.endswith(".localhost")


def is_inside(name: str) -> bool:
    """Whether a host is written as an address that only means something on this machine or inside some network."""
    address = _address(name)
    return not address.is_global if address else is_loopback(name)


def may_redirect(url: SplitResult, home: str, *, secure: bool) -> bool:
    """Whether a registry at `home` may send a request, without credentials, on to another host.

    Storage inside a company's network is common; no storage is behind the link-local addresses, where clouds have
    their metadata services, or on this machine. Raises ValueError for a malformed URL."""
    name = url.hostname or ""
    address = _address(name)
    if not name or url.username or url.scheme not in (("https",) if secure else ("http", "https")):
        return False
    if address and (address.is_link_local or address.is_unspecified or address.is_multicast):
        return False
    return is_loopback(home) or not is_loopback(url.netloc)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
