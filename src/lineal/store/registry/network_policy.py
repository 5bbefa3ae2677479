"""Guards against SSRF: loopback and private addresses, and the redirects that a registry may ask us to follow."""

from __future__ import annotations

import ipaddress
import socket
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


def is_metadata(name: str) -> bool:
    """Whether a host is written as an address where no server of registries is, but a cloud's metadata may be."""
    address = _address(name)
    return address is not None and (address.is_link_local or address.is_unspecified or address.is_multicast)


def may_redirect(url: SplitResult, home: str, *, secure: bool) -> bool:
    """Whether a registry at `home` may send a request, without credentials, on to another host.

    Storage inside a company's network is common; no storage is behind the link-local addresses, where clouds have
    their metadata services, or on this machine. Raises ValueError for a malformed URL."""
    name = url.hostname or ""
    if not name or url.username or url.scheme not in (("https",) if secure else ("http", "https")):
        return False
    if is_metadata(name):
        return False
    return is_loopback(home) or not is_loopback(url.netloc)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        try:
            # Systems read `2852039166` and `0xa9fea9fe` as addresses too.
            address = ipaddress.ip_address(socket.inet_aton(name.removesuffix(".")))
        except (OSError, ValueError):
            return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
