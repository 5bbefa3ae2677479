"""A Docker Engine behind TLS, as docker:dind offers it: certificates, and a door that forwards to the engine here."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests import servers


def certificates(folder: Path) -> Path:
    """What dind puts into /certs, for both ends: `ca.pem`, `cert.pem`, `key.pem`; gives `folder`."""
    folder.mkdir(parents=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    _openssl(folder, "req", "-x509", *key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=tests")
    _openssl(folder, "req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=docker")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    signer = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile", "names"]
    _openssl(folder, "x509", "-req", "-in", "request.pem", *signer, "-out", "cert.pem")
    return folder


def _openssl(folder: Path, *args: str) -> None:
    subprocess.run([servers.program("openssl"), *args], cwd=folder, check=True, capture_output=True, timeout=300)


class Door:
    """Listens on `127.0.0.1:port`; who shows a certificate of the folder is connected to the engine at `host`."""

    def __init__(self, certificates: Path, host: str) -> None:
        self._engine = urlsplit(host)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.visitors = 0
        """How many came in with a certificate."""
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._let_in, args=(client,), daemon=True).start()

    def _let_in(self, client: socket.socket) -> None:
        with suppress(OSError):
            inside = self._context.wrap_socket(client, server_side=True)
            self.visitors += 1
            engine = self._connect()
            threading.Thread(target=_copy, args=(engine, inside), daemon=True).start()
            _copy(inside, engine)

    def _connect(self) -> socket.socket:
        if self._engine.scheme == "unix":
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(self._engine.path)
            return engine
        return socket.create_connection((self._engine.hostname, self._engine.port))


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError, ValueError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
