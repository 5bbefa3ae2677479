"""Certificates: authorities that the environment names, as for every tool, and Docker's directory of one registry."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lineal.errors import BadConfiguration

CERTIFICATES = Path("/etc/docker/certs.d")
_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


class Certificates:
    """What servers are known by. It is read when the first of them is spoken to in https."""

    def __init__(self, endpoint: str, environ: Mapping[str, str]) -> None:
        """`endpoint` is the registry that has a directory. Raises `BadConfiguration` for a variable that names
        nothing."""
        self._endpoint, self._authorities = endpoint, _authorities(environ)
        self._guard = threading.Lock()
        self._contexts: dict[Path | None, ssl.SSLContext] = {}

    def of(self, netloc: str) -> ssl.SSLContext:
        """For a server. Raises `BadConfiguration` for a file in its directory that cannot be used."""
        directory = CERTIFICATES / self._endpoint
        own = directory if netloc == self._endpoint and directory.is_dir() else None
        with self._guard:
            if own not in self._contexts:
                self._contexts[own] = self._context(own)
            return self._contexts[own]

    def expect(self, netloc: str) -> None:
        """Read them beside what the caller does: it takes as long as a round trip."""

        def read() -> None:
            with suppress(Exception):  # who needs them reads them again, and is told
                self.of(netloc)

        threading.Thread(target=read, name="certificates", daemon=True).start()

    def _context(self, directory: Path | None) -> ssl.SSLContext:
        place = self._authorities
        if place is None:
            import certifi

            place = Path(certifi.where())
        file, folder = (None, place) if place.is_dir() else (place, None)
        context = ssl.create_default_context(cafile=file, capath=folder)
        context.hostname_checks_common_name = False
        context.set_alpn_protocols(["http/1.1"])
        context.post_handshake_auth = True
        if directory is not None:
            _load(context, directory)
        return context


def _authorities(environ: Mapping[str, str]) -> Path | None:
    for name in _VARIABLES:
        if path := environ.get(name):
            if not Path(path).exists():
                raise BadConfiguration(
                    f"{name} names {path}, which does not exist.", id="LN-4010", remedy="Correct or unset it."
                )
            return Path(path)
    return None


def _load(context: ssl.SSLContext, directory: Path) -> None:
    """Docker's `*.crt` (authorities) and `*.cert` with `*.key` (our own certificate), beside those of the system."""
    context.load_default_certs()
    try:
        for file in sorted(directory.glob("*.crt")):
            context.load_verify_locations(file)
        for file in sorted(directory.glob("*.cert")):
            context.load_cert_chain(file, file.with_suffix(".key"))
    except OSError as error:
        raise BadConfiguration(
            f"A certificate in {directory} cannot be used ({error.strerror or type(error).__name__}).",
            id="LN-4010",
            remedy="Replace or remove it.",
        ) from None
