"""Connections to a buildkitd, tried again with patience: a daemon may just be starting, or its pod be replaced."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from threading import Event

from lineal.engine.buildkit.address import Address, Tls
from lineal.engine.buildkit.grpc import Connection, ConnectionLost, RpcError, Transport
from lineal.engine.buildkit.transport import SocketTransport, TlsTransport
from lineal.errors import Unreachable

_SECONDS = 20.0
"""For one try."""
_WAITS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between tries."""
_INFO = "/moby.buildkit.v1.Control/Info"


class Lost(Unreachable):
    """A daemon that is not there, or no more: another one may be."""


def connect(
    address: Address, environ: Mapping[str, str], check: Callable[[], None], stopped: Event, *, patient: bool = True
) -> Connection:
    """A connection that has answered. `check` raises when the run is to stop, `stopped` ends a pause; `patient` for
    a daemon that no other can stand in for.

    Raises `Lost`, and `Unreachable` for what is not going to change."""
    for wait in (*_WAITS[: len(_WAITS) if patient else 2], None):
        check()
        try:
            return _connect(address, environ)
        except PermissionError as error:
            raise Unreachable(
                f"No permission to use the buildkitd at {address}.",
                id="LN-5028",
                remedy="Run as a user who may open its socket (`buildkitd --group`), or name another engine.",
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise _no_tls(address, error.verify_message) from error
        except ssl.SSLError as error:
            raise _no_tls(address, error.reason or str(error)) from error
        except (OSError, ConnectionLost, RpcError) as error:
            if alert := _alert(error):
                raise _no_tls(address, alert) from error
            if wait is None:
                raise lost(address, error) from error
            stopped.wait(wait)
    raise AssertionError


def lost(address: Address, error: Exception) -> Lost:
    reason = (error.strerror if isinstance(error, OSError) else str(error)) or str(error)
    remedy = "Start it, or name another engine by `--engine` (LINEAL_ENGINE, BUILDKIT_HOST)."
    return Lost(f"The buildkitd at {address} cannot be reached: {reason}.", id="LN-5028", remedy=remedy)


def _alert(error: Exception) -> str:
    """What the other side says against our certificate, or the lack of one: it does so after the handshake."""
    reason = str(getattr(error.__cause__, "reason", None) or "")
    return reason.lower().replace("_", " ") if "ALERT" in reason else ""


def _no_tls(address: Address, reason: str) -> Unreachable:
    return Unreachable(
        f"No TLS connection to the buildkitd at {address}: {reason}.",
        id="LN-5028",
        remedy="Name its authority with cacert=FILE, and the client's certificate with cert=FILE and key=FILE.",
    )


def _connect(address: Address, environ: Mapping[str, str]) -> Connection:
    connection = Connection(_transport(address, environ), authority=_authority(address))
    try:
        # A proxy in between accepts before the daemon does.
        connection.call(_INFO, b"")
    except BaseException:
        connection.close()
        raise
    return connection


def _authority(address: Address) -> str:
    return (address.tls and address.tls.servername) or (address.place if address.scheme == "tcp" else "localhost")


def _transport(address: Address, environ: Mapping[str, str]) -> Transport:
    if address.scheme == "unix":
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(_SECONDS)
        plain.connect(address.place)
        return SocketTransport(plain)
    if address.scheme == "docker-container":
        from lineal.engine.buildkit.container import dial

        return dial(address.place, environ)
    if address.scheme == "kube-pod":
        from lineal.engine.buildkit.pod import dial as dial_pod

        return dial_pod(address, environ)
    plain = socket.create_connection((address.host, address.port), _SECONDS)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if address.tls is None:
        return SocketTransport(plain)
    return TlsTransport(
        _context(address.tls).wrap_socket(plain, server_hostname=address.tls.servername or address.host)
    )


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.cacert)
    # From Python 3.13 on it would want extensions in an authority's certificate for which BuildKit's own client does
    # not ask, and which `openssl req -x509` does not write.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2"])
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key)
    return context
