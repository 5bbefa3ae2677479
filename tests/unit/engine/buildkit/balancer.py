"""One TCP address for several daemons, such as a Service of Kubernetes or a proxy gives: each connection goes to the
next one, and is closed when nothing was said on it for a while."""

from __future__ import annotations

import select
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle


class Balancer:
    def __init__(self, sockets: Sequence[str], idle: float) -> None:
        """`sockets` are the paths of the daemons'; `idle` are seconds."""
        self._next = cycle(sockets)
        self._idle = idle
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.taken: Counter[str] = Counter()
        """Path of a daemon -> connections that went there."""
        self.idle = 0
        """Connections that were closed for their silence."""

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._carry, args=(client, next(self._next)), daemon=True).start()

    def _carry(self, client: socket.socket, path: str) -> None:
        with client, socket.socket(socket.AF_UNIX) as daemon, suppress(OSError):
            self.taken[path] += 1
            daemon.connect(path)
            others = {client.fileno(): (client, daemon), daemon.fileno(): (daemon, client)}
            polled = select.poll()  # `select` takes no descriptor above 1,023
            for descriptor in others:
                polled.register(descriptor, select.POLLIN)
            while ready := polled.poll(self._idle * 1000):
                for descriptor, _ in ready:
                    one, other = others[descriptor]
                    data = one.recv(1 << 16)
                    if not data:
                        return
                    other.sendall(data)
            self.idle += 1

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextmanager
def balancer(sockets: Sequence[str], idle: float) -> Iterator[Balancer]:
    made = Balancer(sockets, idle)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join(10)
