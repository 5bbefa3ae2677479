"""A port of this machine's loopback, on the loopback of an engine that has a network of its own.

Run there as a program with the path of a socket and the port, it lets in; here `offer` answers."""

from __future__ import annotations

import fcntl
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def offer(port: int, pid: int, scratch: Path) -> Iterator[None]:
    """`127.0.0.1:port` in the network of the process `pid`. `scratch` is a folder with a short path."""
    path = str(scratch / "loopback.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        threading.Thread(target=forward, args=(listener, lambda: _tcp(port)), daemon=True).start()
        inside = ["nsenter", "--net", "--target", str(pid), sys.executable, __file__, path, str(port)]
        there = subprocess.Popen(inside, stdout=subprocess.PIPE)
        try:
            assert there.stdout is not None and there.stdout.readline() == b"ready\n"
            yield
        finally:
            there.kill()
            there.wait(60)


def _tcp(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def _unix(path: str) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(path)
    return connected


def forward(listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
    with suppress(OSError):  # the listener is closed
        while True:
            ends = listener.accept()[0], connect()
            for pair in (ends, ends[::-1]):
                threading.Thread(target=_copy, args=pair, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _bring_up_loopback() -> None:
    """A new network has its loopback down: SIOCSIFFLAGS with IFF_UP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, b"lo".ljust(16, b"\0") + b"\x01\0".ljust(24, b"\0"))


if __name__ == "__main__":
    _bring_up_loopback()
    with socket.create_server(("127.0.0.1", int(sys.argv[2]))) as _listener:
        print("ready", flush=True)
        forward(_listener, lambda: _unix(sys.argv[1]))
