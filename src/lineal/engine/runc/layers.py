"""The layers of one run as directories: unpacked while they arrive, or the upper directory of a command."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from lineal.engine.runc.tasks import Tasks
from lineal.oci import Store
from lineal.oci.image import content
from lineal.oci.types import Descriptor, Image

_AT_ONCE = 3
"""Each is a process of 25 MB."""

Chain = tuple[str, ...]
"""Digests of layers, from the lowest."""


class Layers:
    """Directories by the digests of a layer and of those below it: digests are what a store's content is checked
    against, so no image can pass its files off as another's."""

    def __init__(self, directory: Path, tasks: Tasks) -> None:
        self._directory = directory
        self._tasks = tasks
        self._lock = threading.Lock()
        self._found: dict[Chain, Future[str]] = {}
        self._count = 0
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="unpack")

    def new(self) -> str:
        """The name of a new directory. Names are short: those of all layers must fit into one page."""
        with self._lock:
            self._count += 1
            name = str(self._count)
        (self._directory / name).mkdir(mode=0o755)
        return name

    def add(self, chain: Chain, name: str) -> None:
        """Have a directory as a layer."""
        made: Future[str] = Future()
        made.set_result(name)
        with self._lock:
            self._found.setdefault(chain, made)

    def ensure(self, image: Image, store: Store) -> list[str]:
        """Names of the image's layers, the topmost first. Raises `MissingContent` when the store lacks one."""
        return self.begin(image, store)()

    def begin(self, image: Image, store: Store) -> Callable[[], list[str]]:
        """The same, to be waited for while something else is done."""
        chains = [_chain(image.layers[: count + 1]) for count in range(len(image.layers))]
        with self._lock:
            waited = [
                self._found.get(chain) or self._begin(chain, layer, store)
                for chain, layer in zip(chains, image.layers, strict=True)
            ]
        return lambda: self._wait(chains, waited)

    def _wait(self, chains: Sequence[Chain], waited: Sequence[Future[str]]) -> list[str]:
        try:
            return [one.result() for one in waited][::-1]
        except BaseException:
            with self._lock:
                for chain, one in zip(chains, waited, strict=True):
                    if one.done() and one.exception() and self._found.get(chain) is one:
                        del self._found[chain]
            raise

    def _begin(self, chain: Chain, layer: Descriptor, store: Store) -> Future[str]:
        below = self._found.get(chain[:-1])
        begun = self._found[chain] = self._pool.submit(self._unpack, chain, layer, store, below)
        return begun

    def _unpack(self, chain: Chain, layer: Descriptor, store: Store, below: Future[str] | None) -> str:
        name = self.new()
        path = self._directory / name
        implied = self._tasks.pump(content(store, layer), str(path), layer=len(chain) - 1)
        if implied and below is not None:
            # Only the layers under it say whose these directories are. They were begun earlier and wait for none.
            with self._lock:
                lower = [self._found[chain[:count]] for count in range(len(chain) - 1, 0, -1)]
            place = self._directory / f"{name}-adopt"
            place.mkdir()
            self._tasks.perform(
                "adopt", directory=str(place), layer=f"../{name}", implied=implied,
                lower=[f"../{one.result()}" for one in lower],
            )  # fmt: skip
        return name

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _chain(layers: Sequence[Descriptor]) -> Chain:
    return tuple(layer.digest for layer in layers)
