"""`RUN` on one buildkitd or several: each command is a build of its own, made of LLB."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.engine import Command, PushedLayer
from lineal.engine.buildkit.address import Address
from lineal.engine.machine import Machine
from lineal.errors import Interrupted, Unreachable
from lineal.oci import Store
from lineal.oci.types import Image, Layer

if TYPE_CHECKING:
    from lineal.engine.buildkit.build import Build
    from lineal.engine.buildkit.kept import KeptCaches, KeptTree
    from lineal.engine.buildkit.pushing import Target

_AGAIN = 2
"""How many times a command begins anew because its daemon went away: behind one address there may be others."""
_LITTLE = 1 << 20
"""Bytes that a daemon downloads sooner than it gets them from here by a build of their own."""


@dataclass(frozen=True, slots=True)
class _Run:
    """One call of `Engine.run`, which goes from daemon to daemon; `trees` are the caches that the engine keeps by
    itself, by their targets."""

    parent: Image
    store: Store
    command: Command
    network: str
    output: Callable[[str], None]
    workspace: Path
    trees: Mapping[str, KeptTree]


class BuildkitEngine:
    """An `Engine`. Each `run` has a connection and a session of its own; it may be called from several threads.

    A command goes to the daemon that has the fewest of this run's; one that is lost costs this stage's time only.
    `network` is what a `RUN` with the default network gets: `default`, or `host`."""

    def __init__(
        self, addresses: Sequence[Address], *, network: str = "default", environment: Mapping[str, str]
    ) -> None:
        self.addresses = tuple(addresses)
        self._network = network
        self._environment = environment
        self._lock = threading.Lock()
        self._running: set[Build] = set()
        self._stopped = threading.Event()
        self._kept: KeptCaches | None = None
        self._busy: Counter[Address] = Counter()
        self._lost: set[Address] = set()
        self._apart: set[tuple[Address, str]] = set()
        """Daemons, and the stores that they do not reach."""
        self._there: dict[Address, set[str]] = {address: set() for address in addresses}
        """The layers that each daemon has from this run, or is getting."""

    def stop(self) -> None:
        """Give up what runs; every `run`, also later ones, raises `Interrupted`. For another thread than `run`'s."""
        self._stopped.set()
        with self._lock:
            running = set(self._running)
        for build in running:
            build.cancel()

    def prepare(self, parent: Image, store: Store, platform: str, workspace: Path) -> None:  # noqa: ARG002
        """Has the daemon that would be chosen now fetch and unpack it. Raises `Unreachable`."""
        from lineal.engine.buildkit.pushing import target_of

        address = self._idlest()
        if not parent.layers or parent.layers[-1].digest in self._there[address]:
            return
        through = (address, store.address) in self._apart or self._is_near(parent, store, address)
        self._bring(parent, store, address, None if through else target_of(store.arrived(parent)), workspace)

    def _is_near(self, image: Image, store: Store, address: Address) -> bool:
        """Whether this machine has, or is getting, much of what a daemon would download once more."""
        lacking = (layer for layer in image.layers if layer.digest not in self._there[address])
        return sum(layer.size for layer in lacking if store.at_hand(layer.digest)) > _LITTLE

    def _bring(self, image: Image, store: Store, address: Address, target: Target | None, workspace: Path) -> None:
        self._there[address].update(layer.digest for layer in image.layers)
        with self._begun(address, target, store, workspace) as build:
            build.fetch(image)

    def close(self) -> None:
        """Nothing goes on after a `run`."""

    def run(
        self, parent: Image, store: Store, command: Command, output: Callable[[str], None], workspace: Path
    ) -> Layer | PushedLayer:
        """See `Engine.run`. Raises `BuildFailed` when the parent cannot run here or a secret is in the layer."""
        from lineal.engine.buildkit.kept import KeptCaches

        with self._lock:
            kept = self._kept = self._kept or KeptCaches(self._check)
        network = self._network if command.network == "default" else command.network
        with kept.opened(command.mounts, workspace) as trees:
            return self._somewhere(_Run(parent, store, command, network, output, workspace, trees))

    def _somewhere(self, run: _Run) -> Layer | PushedLayer:
        from lineal.engine.buildkit.connect import Lost

        for left in reversed(range(len(self.addresses) + _AGAIN)):
            with self._chosen() as address:
                try:
                    return self._on(address, run)
                except Lost as error:
                    self._check()
                    self._lost.add(address)
                    if not left:
                        raise
                    run.output(f"{error.message} This RUN begins again.")
        raise AssertionError

    def _idlest(self) -> Address:
        """The least busy daemon, of those that were not lost as long as there are such."""
        there = [address for address in self.addresses if address not in self._lost]
        return min(there or self.addresses, key=lambda one: self._busy[one])

    @contextmanager
    def _chosen(self) -> Iterator[Address]:
        with self._lock:
            if self._lost.issuperset(self.addresses):
                self._lost.clear()
            address = self._idlest()
            self._busy[address] += 1
        try:
            yield address
        finally:
            with self._lock:
                self._busy[address] -= 1

    def machine(self) -> Machine | None:
        """Of the first daemon that answers: those of one engine are of one kind."""
        from lineal.engine.buildkit.connect import Lost, connect
        from lineal.engine.buildkit.machine import machine_of

        for left, address in zip(reversed(range(len(self.addresses))), self.addresses, strict=True):
            try:
                patient = len(self.addresses) == 1
                with connect(address, self._environment, self._check, self._stopped, patient=patient) as connection:
                    return machine_of(connection)
            except Lost:
                if not left:
                    raise
        return None

    def _on(self, address: Address, run: _Run) -> Layer | PushedLayer:
        from lineal.engine.buildkit.build import CannotReach
        from lineal.engine.buildkit.pushing import target_of

        def build(target: Target | None) -> Layer | PushedLayer:
            with self._begun(address, target, run.store, run.workspace) as begun:
                made = begun.run(run.parent, run.command, run.network, run.output, run.trees)
            # What came through here was packed here.
            if isinstance(made, PushedLayer):
                self._there[address].add(made.descriptor.digest)
            return made

        reached = (address, run.store.address) not in self._apart
        if reached and self._is_near(run.parent, run.store, address):
            # While it goes to the store.
            with suppress(Unreachable):
                self._bring(run.parent, run.store, address, None, run.workspace)
        try:
            return build(target_of(run.store.arrived(run.parent)) if reached else None)
        except CannotReach as error:
            # Another failure before the command began comes again in this way, and says what it is.
            place = run.store.address
            run.output(f"The buildkitd at {address} does not reach {place}, so layers go through Lineal: {error}")
            self._apart.add((address, place))
        return build(None)

    @contextmanager
    def _begun(self, address: Address, target: Target | None, store: Store, workspace: Path) -> Iterator[Build]:
        """A build with a connection of its own; `stop` cancels it."""
        from lineal.engine.buildkit.build import Build
        from lineal.engine.buildkit.connect import connect

        patient = len(self.addresses) == 1
        with connect(address, self._environment, self._check, self._stopped, patient=patient) as connection:
            build = Build(connection, address, store, target, workspace, self._check)
            with self._lock:
                self._running.add(build)
            try:
                self._check()
                yield build
            finally:
                with self._lock:
                    self._running.discard(build)

    def _check(self) -> None:
        if self._stopped.is_set():
            raise Interrupted("The build was interrupted.")
