"""The machine behind an engine: whose programs it executes itself, and whose it emulates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, runtime_checkable

from lineal.oci.platform import normal, runs
from lineal.value import dataclass

How = Literal["native", "emulated", "unknown", "none"]
"""How a machine executes a platform's programs. `unknown`: the engine does not say what it emulates."""


@dataclass(frozen=True)
class Machine:
    """`own` is its platform. `emulated` asks the engine for the other ones, None when it does not say."""

    own: str
    emulated: Callable[[], Sequence[str] | None] = lambda: None

    def how(self, platform: str) -> How:
        """Variants do not count: whether a program of a newer one runs is seen when it runs."""
        if _kind(platform) in {_kind(one) for one in runs(self.own)}:
            return "native"
        others = self.emulated()
        if others is None:
            return "unknown"
        return "emulated" if _kind(platform) in map(_kind, others) else "none"


@runtime_checkable
class KnowsMachine(Protocol):
    """An `Engine` that says what it executes."""

    def machine(self) -> Machine | None:
        """None when it does not say. Raises `Unreachable`."""


def _kind(platform: str) -> tuple[str, ...]:
    return tuple(normal(platform).split("/")[:2])
