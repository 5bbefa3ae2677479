"""Several engines as one: each `RUN` goes to the engine that is named for its platform, else to one that can."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from lineal.engine import Command, Engine, PushedLayer
from lineal.engine.machine import How, Machine
from lineal.engine.table import EngineTable, Named
from lineal.errors import LinealError, Unreachable
from lineal.oci import Store
from lineal.oci.platform import normal
from lineal.oci.types import Image, Layer

_RANK: Mapping[How, int] = {"native": 0, "emulated": 1, "unknown": 2}
_WORDS: Mapping[How, str] = {
    "native": "native",
    "emulated": "emulated",
    "unknown": "emulated, if it can: it does not say",
}


class OneEngine(Engine, Protocol):
    """An engine that is found and made when it is first asked."""

    def machine(self) -> Machine | None:
        """None when it does not say. Raises `LinealError` when there is no engine."""


class EnginesByPlatform:
    """`Engines`. Each of them is found and made when the first `RUN` needs it."""

    def __init__(
        self, table: EngineTable, make: Callable[[Named], OneEngine], note: Callable[[str], None], *,
        several: bool = False,
    ) -> None:  # fmt: skip
        """`several`: this run has `RUN`s for several platforms, so people are told where each goes."""
        self._table, self._note = table, note
        self._engines = {named: make(named) for named in table.every}
        self._several = several or len(self._engines) > 1
        self._lock = threading.Lock()
        self._chosen: dict[str, OneEngine] = {}

    def expect(self, platform: str) -> None:
        """Have an engine found and made."""
        self._for(normal(platform))

    def prepare(self, parent: Image, store: Store, platform: str, workspace: Path) -> None:
        self._for(normal(platform)).prepare(parent, store, platform, workspace)

    def run(
        self, parent: Image, store: Store, command: Command, output: Callable[[str], None], workspace: Path
    ) -> Layer | PushedLayer:
        return self._for(normal(command.platform)).run(parent, store, command, output, workspace)

    def stop(self) -> None:
        for engine in self._engines.values():
            engine.stop()

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close()

    def _for(self, platform: str) -> OneEngine:
        with self._lock:
            if platform not in self._chosen:
                self._chosen[platform] = self._choose(platform)
            return self._chosen[platform]

    def _choose(self, platform: str) -> OneEngine:
        own = self._table.named.get(platform)
        found: list[tuple[int, int, How, Named, OneEngine]] = []
        refusals: list[LinealError] = []
        for named in self._table.every if own is None else (own,):
            engine = self._engines[named]
            try:
                machine = engine.machine()
            except LinealError as error:
                refusals.append(error)
                continue
            how = "unknown" if machine is None else machine.how(platform)
            if how == "none":
                refusals.append(_cannot(platform, named, machine))
            else:
                found.append((_RANK[how], len(found), how, named, engine))
            if how == "native":
                break
        if not found:
            raise refusals[0]
        _, _, how, named, engine = min(found, key=lambda one: one[:2])
        if how == "emulated" or (self._several and how != "unknown"):
            self._note(f"RUN for {platform} goes to {named.name} ({named.source}): {_WORDS[how]}.")
        return engine


def _cannot(platform: str, named: Named, machine: Machine | None) -> Unreachable:
    is_for = f" ({machine.own})" if machine is not None else ""
    return Unreachable(
        f"The engine {named.name}{is_for} executes no programs for {platform}, nor does it emulate them.",
        id="LN-5035",
        remedy=f"Install emulation (binfmt) on its machine, name another engine by --engine {platform}=ENGINE "
        "(LINEAL_ENGINE) or `engines:` in lineal.yaml, or build on such a machine with --platform.",
    )
