"""`RUN` on a buildkitd: each command is a build of its own, made of LLB."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.engine import Command, PushedLayer
from lineal.engine.buildkit.address import Address
from lineal.errors import Interrupted
from lineal.oci import Store
from lineal.oci.types import Image, Layer

if TYPE_CHECKING:
    from lineal.engine.buildkit.build import Build
    from lineal.engine.buildkit.pushing import Target


class BuildkitEngine:
    """An `Engine`. Each `run` has a connection and a session of its own; it may be called from several threads.

    `network` is what a `RUN` with the default network gets: `default`, or `host`."""

    def __init__(self, address: Address, *, network: str = "default", environment: Mapping[str, str]) -> None:
        self.address = address
        self._network = network
        self._environment = environment
        self._lock = threading.Lock()
        self._running: set[Build] = set()
        self._stopped = threading.Event()
        self._apart: set[str] = set()
        """Stores that the daemon does not reach."""

    def stop(self) -> None:
        """Give up what runs; every `run`, also later ones, raises `Interrupted`. For another thread than `run`'s."""
        self._stopped.set()
        with self._lock:
            running = set(self._running)
        for build in running:
            build.cancel()

    def run(
        self, parent: Image, store: Store, command: Command, output: Callable[[str], None], workspace: Path
    ) -> Layer | PushedLayer:
        """See `Engine.run`. Raises `BuildFailed` when the parent cannot run here or a secret is in the layer."""
        from lineal.engine.buildkit.build import CannotReach
        from lineal.engine.buildkit.pushing import target_of

        target = None if store.address in self._apart else target_of(store)
        try:
            return self._build(target, parent, store, command, output, workspace)
        except CannotReach as error:
            # Another failure before the command began fails again in this way, and says the same.
            output(f"The buildkitd at {self.address} does not reach {store.address}, so layers go by Lineal: {error}")
            self._apart.add(store.address)
        return self._build(None, parent, store, command, output, workspace)

    def _build(
        self,
        target: Target | None,
        parent: Image,
        store: Store,
        command: Command,
        output: Callable[[str], None],
        workspace: Path,
    ) -> Layer | PushedLayer:
        from lineal.engine.buildkit.build import Build
        from lineal.engine.buildkit.connect import connect

        with connect(self.address, self._environment, self._check, self._stopped) as connection:
            build = Build(connection, self.address, store, target, workspace, self._check)
            with self._lock:
                self._running.add(build)
            try:
                self._check()
                return build.run(parent, command, self._of(command.network), output)
            finally:
                with self._lock:
                    self._running.discard(build)

    def _of(self, network: str) -> str:
        return self._network if network == "default" else network

    def _check(self) -> None:
        if self._stopped.is_set():
            raise Interrupted("The build was interrupted.")
