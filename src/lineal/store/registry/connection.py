"""One connection to a server, straight or through a proxy, which the deadline of its request can end."""

from __future__ import annotations

import base64
import socket
import ssl
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from lineal.store.registry.deadline import watch
from lineal.store.registry.tls import Certificates

_PORTS = {"http": 80, "https": 443}
_PROXY_PORTS = {**_PORTS, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
_BLOCK = 256 * 1024


class ProxyError(Exception):
    """The proxy is not there or refuses; its `__cause__` says why."""


class Connection(HTTPConnection):
    """Requests follow one another on it. Raises what sockets, TLS and http.client raise, `ProxyError`, and
    `ValueError` for an address that makes no sense."""

    sock: Any

    def __init__(self, server: SplitResult, proxy: str | None, certificates: Certificates, seconds: float) -> None:
        """`server` is an address of http or https; `seconds` are for connecting."""
        if server.scheme not in _PORTS or not server.hostname:
            raise ValueError("no address of http")
        super().__init__(server.hostname, server.port or _PORTS[server.scheme], timeout=seconds, blocksize=_BLOCK)
        self.default_port = _PORTS[server.scheme]
        self._proxy = urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else None
        self._certificates, self._netloc = certificates, server.netloc
        self._secure = server.scheme == "https"

    @property
    def asks_proxy(self) -> bool:
        """Whether the proxy is to get the whole address of each request, and sends it on."""
        return self._proxy is not None and not self._secure and not self._proxy.scheme.startswith("socks")

    @property
    def proxy_login(self) -> dict[str, str]:
        """The header by which the proxy knows us."""
        if self._proxy is None or self._proxy.username is None:
            return {}
        login = f"{unquote(self._proxy.username)}:{unquote(self._proxy.password or '')}"
        return {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}

    @property
    def is_quiet(self) -> bool:
        """Whether it may be used again: nothing has arrived but what TLS keeps to itself, such as the tickets that a
        server sends after the handshake of TLS 1.3."""
        if not isinstance(self.sock, socket.socket):
            return False
        try:
            self.sock.setblocking(False)
            self.sock.recv(1)  # something to read, or the end
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False

    def connect(self) -> None:
        if self._proxy is None:
            self.sock = self._dial(self.host, self.port)
        else:
            try:
                self.sock = self._through(self._proxy)
            except (OSError, HTTPException) as error:
                raise ProxyError from error
        if self._secure:
            self.sock = self._encrypted(self.sock, self._netloc, self.host)

    def _dial(self, host: str, port: int) -> socket.socket:
        made = socket.create_connection((_spelt(host), port), self.timeout)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        watch(made.fileno())
        return made

    def _encrypted(self, made: Any, netloc: str, name: str) -> Any:
        context = self._certificates.of(netloc)
        if isinstance(made, ssl.SSLSocket):
            from urllib3.util.ssltransport import SSLTransport

            return SSLTransport(made, context, server_hostname=name)
        try:
            return context.wrap_socket(made, server_hostname=_spelt(name))
        except BaseException:
            made.close()
            raise

    def _through(self, proxy: SplitResult) -> Any:
        host, port = proxy.hostname or "", proxy.port or _PROXY_PORTS.get(proxy.scheme, 0)
        if proxy.scheme.startswith("socks"):
            return self._through_socks(proxy, host, port)
        made: Any = self._dial(host, port)
        if proxy.scheme == "https":
            made = self._encrypted(made, proxy.netloc, host)
        if self._secure:
            self._ask_for_tunnel(made)
        return made

    def _ask_for_tunnel(self, made: Any) -> None:
        name = f"[{self.host}]" if ":" in self.host else self.host
        headers = {"Host": f"{name}:{self.port}", **self.proxy_login}
        lines = [f"CONNECT {name}:{self.port} HTTP/1.1", *(f"{key}: {value}" for key, value in headers.items())]
        made.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii"))
        with closing(HTTPResponse(made, method="CONNECT")) as answer:
            answer.begin()
            if answer.status != 200:
                made.close()
                raise OSError(f"the proxy answers with status {answer.status}")

    def _through_socks(self, proxy: SplitResult, host: str, port: int) -> Any:
        """By the package PySocks, where somebody has installed it."""
        try:
            import socks  # type: ignore[import-not-found, import-untyped, unused-ignore]
        except ImportError as error:
            raise OSError("PySocks is not installed") from error
        made = socks.create_connection(
            (self.host, self.port), self.timeout, None,
            socks.SOCKS4 if proxy.scheme.startswith("socks4") else socks.SOCKS5, host, port,
            proxy.scheme in ("socks4a", "socks5h"), unquote(proxy.username or "") or None,
            unquote(proxy.password or "") or None, [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )  # fmt: skip
        watch(made.fileno())
        return made


def _spelt(host: str) -> Any:
    """As bytes where they say the same: for a text Python reads its tables of Unicode first, which takes a
    millisecond. What is wrong with a name is found so."""
    plain = host.isascii() and all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))
    return host.encode() if plain else host
