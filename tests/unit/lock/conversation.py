"""A conversation with a real API server, written down once and played back where there is none.

What plays it is NOT an API server: it knows the recorded requests in their order, and nothing else. With a cluster,
`LINEAL_RECORD=1` writes the conversation anew."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

FILE = Path(__file__).with_name("conversation.json")
Answer = tuple[int, bytes]
Turns = list[dict[str, Any]]


def _passing_on(kubeconfig: Path) -> Callable[[str, str, bytes], Answer]:
    """Asks the cluster."""
    config = json.loads(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    token = config["users"][0]["user"]["token"]

    def answer(method: str, path: str, body: bytes) -> Answer:
        request = urllib.request.Request(cluster["server"] + path, body or None, method=method)
        request.add_header("Authorization", f"Bearer {token}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, context=context, timeout=20) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    return answer


@contextmanager
def recorder(kubeconfig: Path, turns: Turns) -> Iterator[str]:
    """An address that passes requests on to the cluster, and notes them with their answers."""
    ask = _passing_on(kubeconfig)

    def answer(method: str, path: str, body: bytes) -> Answer:
        status, said = ask(method, path, body)
        turns.append({"method": method, "path": path, "status": status, "answer": json.loads(said)})
        return status, said

    with serve(answer) as address:
        yield address


@contextmanager
def faulty(kubeconfig: Path, fault: Callable[[str, str], int | None]) -> Iterator[str]:
    """An address that passes requests on to the cluster, but answers with the status that `fault` gives for a method
    and a path, if it gives one."""
    ask = _passing_on(kubeconfig)

    def answer(method: str, path: str, body: bytes) -> Answer:
        status = fault(method, path)
        return ask(method, path, body) if status is None else (status, b"{}")

    with serve(answer) as address:
        yield address


@contextmanager
def player() -> Iterator[str]:
    """An address that gives the recorded answers; anything else than the recorded requests is a failure."""
    turns: Turns = json.loads(FILE.read_text())

    def answer(method: str, path: str, body: bytes) -> Answer:
        turn = turns.pop(0) if turns else {"method": "nothing", "path": "more"}
        if (turn["method"], turn["path"]) != (method, path):
            return 500, f"recorded was {turn['method']} {turn['path']}, asked is {method} {path}".encode()
        return int(turn["status"]), json.dumps(turn["answer"]).encode()

    with serve(answer) as address:
        yield address
    assert turns == [], turns


@contextmanager
def serve(answer: Callable[[str, str, bytes], Answer]) -> Iterator[str]:
    """The address of a server that gives this answer to a method, a path and a body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = answer(self.command, self.path, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_POST = do_PUT = do_DELETE = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
