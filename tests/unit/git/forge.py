"""A git server, by default on loopback: `git http-backend` in Python, with or without a password; a telling git."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests import servers


@dataclass
class Forge:
    """Serves the repositories below `root` at `url`; notes the path and the authorization of each request."""

    root: Path
    url: str
    login: tuple[str, str] | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)
    headers: list[int] = field(default_factory=list)
    """How many authorizations each request had."""


@contextmanager
def serve(
    root: Path, login: tuple[str, str] | None = None, host: str = "127.0.0.1", certificates: Path | None = None
) -> Iterator[Forge]:
    """With `certificates`, a folder with `cert.pem` and `key.pem`, it speaks https."""
    server = ThreadingHTTPServer((host, 0), _Handler)
    forge = Forge(root, f"http{'s' if certificates else ''}://{host}:{server.server_port}", login)
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.forge = forge  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        forge: Forge = self.server.forge  # type: ignore[attr-defined]
        given = self.headers.get("Authorization", "")
        forge.seen.append((self.path, given))
        forge.headers.append(len(self.headers.get_all("Authorization") or []))
        if forge.login and given != basic(*forge.login):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="forge"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = {
            "PATH": os.environ["PATH"], **servers.GIT_ISOLATION, "GIT_PROJECT_ROOT": str(forge.root),
            "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "REMOTE_ADDR": "127.0.0.1",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        # By https an end that nobody has announced is an attack.
        lines["Content-Length"] = str(len(content))
        self.send_response(int(lines.pop("Status", "200 OK").split()[0]))
        for name, value in lines.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *args: object) -> None:
        pass


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def telling_git(folder: Path) -> tuple[str, Path]:
    """A PATH whose git, and every program that git starts, writes its arguments to a file; and that file."""
    real = Path(servers.program("git")).resolve()
    programs = Path(subprocess.run([real, "--exec-path"], capture_output=True, text=True, check=True).stdout.strip())
    log, exec_path = folder / "argv", folder / "exec"
    exec_path.mkdir(parents=True)
    for program in programs.iterdir():
        if program.name in ("git-remote-http", "git-remote-https", "git-remote"):
            _wrap(exec_path / program.name, program, log)
        elif program.name != "git":
            (exec_path / program.name).symlink_to(program)
    _wrap(exec_path / "git", real, log, f"export GIT_EXEC_PATH={exec_path}\n")
    return f"{exec_path}:{os.environ['PATH']}", log


def _wrap(path: Path, program: Path, log: Path, more: str = "") -> None:
    path.write_text(f'#!/bin/sh\n{more}echo {program.name} "$@" >>{log}\nexec {program} "$@"\n')
    path.chmod(0o755)
