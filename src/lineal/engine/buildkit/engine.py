"""`RUN` on one buildkitd or several: each command is a build of its own, made of LLB."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.engine import Command, PushedLayer
from lineal.engine.buildkit.address import Address
from lineal.engine.machine import Machine
from lineal.errors import Interrupted, MissingContent, Unreachable
from lineal.oci import Store
from lineal.oci.types import Image, Layer

if TYPE_CHECKING:
    from lineal.engine.buildkit.build import Build
    from lineal.engine.buildkit.grpc import Connection
    from lineal.engine.buildkit.kept import KeptCaches, KeptTree
    from lineal.engine.buildkit.pushing import Target

_AGAIN = 2
"""How many times a command begins anew because its daemon went away: behind one address there may be others."""
_PUSHES = 64
"""Layers that are waited for at once."""
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
        self._absent = False
        """Whether the only daemon was waited for in vain; until it answers it is not waited for again."""
        self._apart: set[tuple[Address, str]] = set()
        """Daemons, and the stores that they do not reach."""
        self._reached: set[tuple[Address, str]] = set()
        """Those that have read or written there."""
        self._there: dict[Address, dict[str, Future[None]]] = {address: {} for address in addresses}
        """The layers that each daemon has from this run, once this is done."""
        self._pushing: set[Build] = set()
        self._pushes = ThreadPoolExecutor(_PUSHES, thread_name_prefix="push")

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
        self._bring(parent, store, address, None if through else target_of(store), workspace)

    def _is_near(self, image: Image, store: Store, address: Address) -> bool:
        """Whether this machine has, or is getting, much of what a daemon would download once more."""
        lacking = (layer for layer in image.layers if layer.digest not in self._there[address])
        return sum(layer.size for layer in lacking if store.at_hand(layer.digest)) > _LITTLE

    def _bring(self, image: Image, store: Store, address: Address, target: Target | None, workspace: Path) -> None:
        ended: Future[None] = Future()
        for layer in image.layers:
            self._there[address].setdefault(layer.digest, ended)
        try:
            with self._begun(address, target, store, workspace) as build:
                build.fetch(image)
        finally:
            ended.set_result(None)

    def close(self) -> None:
        """Pushes are left to end until here, after `stop` too: what is made is to be published."""
        with self._lock:
            pushing = set(self._pushing)
        for build in pushing:
            build.cancel()
        self._pushes.shutdown()

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
                    if not left or self._absent:
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
        from lineal.engine.buildkit.connect import Lost
        from lineal.engine.buildkit.machine import machine_of

        for left, address in zip(reversed(range(len(self.addresses))), self.addresses, strict=True):
            try:
                with self._connected(address) as connection:
                    return machine_of(connection)
            except Lost:
                if not left:
                    raise
        return None

    def _on(self, address: Address, run: _Run) -> Layer | PushedLayer:
        from lineal.engine.buildkit.pushing import target_of
        from lineal.engine.buildkit.solve import CannotReach

        place = run.store.address
        target = target_of(run.store) if (address, place) not in self._apart else None
        if target is not None and self._is_near(run.parent, run.store, address):
            # While it goes to the store.
            with suppress(Unreachable):
                self._bring(run.parent, run.store, address, None, run.workspace)
        self._wait_for(run.parent, address)
        try:
            return self._built(address, target, run)
        except CannotReach as error:
            # Another failure before the command began comes again in this way, and says what it is.
            run.output(f"The buildkitd at {address} does not reach {place}, so layers go through Lineal: {error}")
            self._apart.add((address, place))
        return self._built(address, None, run)

    def _wait_for(self, image: Image, address: Address) -> None:
        """What the daemon is getting of an image, it is not to get twice."""
        for coming in [self._there[address].get(layer.digest) for layer in image.layers]:
            if coming is not None:
                coming.result()

    def _built(self, address: Address, target: Target | None, run: _Run) -> Layer | PushedLayer:
        with ExitStack() as opened:
            build = opened.enter_context(self._begun(address, target, run.store, run.workspace))
            made = build.run(run.parent, run.command, run.network, run.output, run.trees)
            if isinstance(made, Layer):
                # What came through here was packed here.
                return made
            self._ends(build, address, run.store)
            with self._lock:
                self._pushing.add(build)
            layer = made.descriptor.digest
            arrival = self._pushes.submit(self._finish, opened.pop_all(), build, address, run.store, target, layer)
        return PushedLayer(made.descriptor, made.diff_id, made.tree, arrival, partial(self._read, address, layer))

    def _finish(
        self, opened: ExitStack, build: Build, address: Address, store: Store, target: Target | None, layer: str
    ) -> None:
        """The push, after which the daemon is known to reach the store."""
        from lineal.engine.buildkit.connect import Lost

        try:
            with opened:
                image = build.finish()
        except Lost as error:
            self._check()
            self._lost.add(address)
            raise MissingContent(layer, store.address) from error
        finally:
            with self._lock:
                self._pushing.discard(build)
        if target is not None and (address, store.address) not in self._reached:
            target.manifest(image)
            self._reached.add((address, store.address))

    def _read(self, address: Address, digest: str) -> Iterator[bytes]:
        from lineal.engine.buildkit.connect import connect, lost
        from lineal.engine.buildkit.content import chunks
        from lineal.engine.buildkit.grpc import ConnectionLost, RpcError

        with connect(address, self._environment, self._check, self._stopped, patient=False) as connection:
            try:
                yield from chunks(connection, digest)
            except (RpcError, ConnectionLost) as error:
                raise lost(address, error) from error

    @contextmanager
    def _begun(self, address: Address, target: Target | None, store: Store, workspace: Path) -> Iterator[Build]:
        """A build with a connection of its own; `stop` cancels it."""
        from lineal.engine.buildkit.build import Build

        with self._connected(address) as connection:
            reached = (address, store.address) in self._reached
            build = Build(connection, address, store, target, workspace, self._check, reached=reached)
            with self._lock:
                self._running.add(build)
            try:
                self._check()
                yield build
            finally:
                self._ends(build, address, store)

    def _connected(self, address: Address) -> Connection:
        """Raises `Lost` and `Unreachable`."""
        from lineal.engine.buildkit.connect import Lost, connect

        alone = len(self.addresses) == 1
        try:
            connection = connect(
                address, self._environment, self._check, self._stopped, patient=alone and not self._absent
            )
        except Lost:
            self._absent = alone
            raise
        self._absent = False
        return connection

    def _ends(self, build: Build, address: Address, store: Store) -> None:
        """From now on `stop` does not concern it."""
        with self._lock:
            self._running.discard(build)
            if build.reached:
                self._reached.add((address, store.address))

    def _check(self) -> None:
        if self._stopped.is_set():
            raise Interrupted("The build was interrupted.")
