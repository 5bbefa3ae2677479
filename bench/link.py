"""A link between both sides and the registry: what is sent arrives late, and not faster than the link carries.

A process of its own (`python -m bench.link PORT TARGET MILLISECONDS MEGABITS`), so that no side waits for the other's
interpreter. A kernel with netem would do it too; many have none."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests import servers

_CHUNK = 1 << 16
_UNDERWAY = 64
"""Chunks of one connection and direction that are on their way, as a window of TCP bounds them."""


@dataclass(frozen=True, slots=True)
class Link:
    """`round_trip` in milliseconds, `megabits` a second in each direction, shared by all connections."""

    name: str
    round_trip: float
    megabits: float


SLOW = Link("slow", 20, 200)
"""A registry in the same country as the runner."""


@contextmanager
def slowed(registry: str, link: Link | None, log: Path) -> Iterator[str]:
    """The address at which the registry is seen over the link; without one, its own."""
    if link is None:
        yield registry
        return
    address = f"127.0.0.1:{servers.free_port()}"
    argv = [sys.executable, "-m", "bench.link", address, registry, str(link.round_trip), str(link.megabits)]
    with log.open("wb") as out:
        proxy = subprocess.Popen(argv, stdout=out, stderr=out)
    try:
        servers.wait_for_port(address, proxy, log)
        yield address
    finally:
        proxy.terminate()
        proxy.wait()


@dataclass
class _Direction:
    """One direction of the link, with the moment at which it has carried all that was given to it."""

    delay: float
    bytes_per_second: float
    free: float = 0.0

    def arrival(self, size: int) -> float:
        now = asyncio.get_running_loop().time()
        self.free = max(now, self.free) + size / self.bytes_per_second
        return self.free + self.delay


async def _carry(direction: _Direction, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    underway: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_UNDERWAY)

    async def deliver() -> None:
        while True:
            arrival, data = await underway.get()
            await asyncio.sleep(arrival - asyncio.get_running_loop().time())
            if not data:
                target.write_eof()
                return
            target.write(data)
            await target.drain()

    delivery = asyncio.create_task(deliver())
    with suppress(OSError):
        while data := await source.read(_CHUNK):
            await underway.put((direction.arrival(len(data)), data))
    await underway.put((direction.arrival(0), b""))
    with suppress(OSError):
        await delivery


async def _serve(listen: str, target: str, round_trip: float, megabits: float) -> None:
    up, down = (_Direction(round_trip / 2000, megabits * 1e6 / 8) for _ in range(2))

    async def connection(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        # The handshake of TCP: the client's first bytes leave a round trip after it has asked.
        await asyncio.sleep(round_trip / 1000)
        with suppress(OSError):
            host, port = target.split(":")
            registry, to_registry = await asyncio.open_connection(host, int(port))
            await asyncio.gather(_carry(up, client, to_registry), _carry(down, registry, to_client))
            to_registry.close()
        to_client.close()

    host, port = listen.split(":")
    server = await asyncio.start_server(connection, host, int(port))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
