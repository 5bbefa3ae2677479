"""A world with its own time, in which runs take turns at every request: the same choices, the same story.

Each thread of a run is a greenlet. Whenever the real code asks the store, sleeps or waits for a lock, the world
decides by a list of small numbers how long that takes, whether it happens, whether the answer arrives, and whether
the run survives it. Zero is always the harmless choice, and so is the end of the list: what hypothesis shrinks to is
a short story."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from greenlet import getcurrent, greenlet

from lineal.clock import Time
from lineal.oci.types import Manifest

T = TypeVar("T")

START = 1_700_000_000.0
"""What the registry's clock says when the world begins."""
READ = (0.0, 0.001, 0.02, 0.1)
"""Seconds until a request that reads is applied."""
WRITE = (0.0, 0.001, 0.1, 0.4, 0.9)
"""Seconds until a request that writes is applied, also when nobody waits for it any more."""
ANSWER = (0.0, 0.001, 0.05, 0.1)
HICCUP = (1.2, 4.0, 40.0, 4000.0)
"""Seconds until an answer is acted upon when the network or the runner hangs."""
HICCUPS = 3
"""So many in one run: one that hangs at every request is not what `publish.LOOK` can protect."""


@dataclass(frozen=True, slots=True)
class Mood:
    """What may go wrong, as chances out of 256."""

    hiccups: int = 0
    crashes: int = 0
    losses: int = 0
    lag: float = 0.0
    """Seconds that a list of tags may be behind."""
    skew: float = 0.0
    """Seconds that a runner's own clock may be wrong."""


class Choices:
    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = iter(numbers)

    def below(self, count: int) -> int:
        return next(self._numbers, 0) % count

    def one(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def chance(self, of_256: int) -> bool:
        return of_256 > 0 and next(self._numbers, 0) >= 256 - of_256


class Actor:
    """One run: a process on a runner of its own, with clocks of its own."""

    def __init__(self, world: World, name: str, work: Callable[[Actor], None]) -> None:
        self.world, self.name, self._work = world, name, work
        self.dead = False
        self.hiccups = HICCUPS
        self.error: Exception | None = None
        skew = world.mood.skew * (world.choices.below(5) - 2) / 2
        # Each machine counts from its own boot.
        self.time = Time(lambda: START + world.time + skew, lambda: world.time + len(name) * 1000, self.wait)
        self._greenlet = greenlet(self._main, world.hub)
        self._waits = False
        self._ended: list[Callable[[], None]] = []
        """What to do in the first thread about others that have ended."""

    def _main(self) -> None:
        try:
            self._work(self)
        except Exception as error:  # noqa: BLE001 - shown by the test
            self.error = error

    def resume(self) -> None:
        self._go_on(self._greenlet)

    def _go_on(self, thread: greenlet) -> None:
        if not self.dead:
            thread.switch()

    def wait(self, seconds: float) -> None:
        thread = getcurrent()
        self.world.at(seconds, lambda: self._go_on(thread))
        self.world.hub.switch()

    def wait_until(self, told: Callable[[Callable[[], None]], None]) -> None:
        """Until what is given to `told` is called, by another thread of the run."""
        thread = getcurrent()
        told(lambda: self.world.at(0.0, lambda: self._go_on(thread)))
        self.world.hub.switch()

    def beside(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Do something in another thread of the run; `then` is done by `wait_for_one`, which raises what that did."""

        def thread() -> None:
            result = _caught(work)
            self._ended.append(partial(_hand_over, result, then))
            if self._waits:
                self._waits = False
                self.world.at(0.0, self.resume)

        self.world.at(0.0, partial(self._go_on, greenlet(thread, self.world.hub)))

    def wait_for_one(self) -> None:
        """In the first thread: until another one has ended."""
        if not self._ended:
            self._waits = True
            self.world.hub.switch()
        self._ended.pop(0)()

    def die(self) -> None:
        """As by kill -9: nothing of it runs any more, not even a `finally`."""
        self.dead = True
        self.world.tell(f"{self.name} is killed")
        self.world.hub.switch()

    def request(self, what: str, latency: Sequence[float], apply: Callable[[], T]) -> T:
        """Apply something in the store a moment later, and go on when the answer is there."""
        world, mood = self.world, self.world.mood
        result: list[Any] = []

        def happen() -> None:
            result.append(_caught(apply))
            world.tell(f"{self.name}: {what} -> {_shown(result[0])}")

        if world.choices.chance(mood.crashes):
            if world.choices.below(2):
                world.at(world.choices.one(latency), happen)
            self.die()
        applied = world.choices.one(latency)
        world.at(applied, happen)
        self.wait(applied + self._pause())
        if isinstance(result[0], Exception):
            raise result[0]
        return cast(T, result[0])

    def attempt(self, what: str, apply: Callable[[], None]) -> bool:
        """A request that is not repeated: False when the world loses it or its answer."""
        if not self.world.choices.chance(self.world.mood.losses):
            self.request(what, WRITE, apply)
            return True
        if self.world.choices.below(2):
            self.world.at(
                self.world.choices.one(WRITE), lambda: self.world.tell(f"{what} -> {_caught(apply)}, unheard")
            )
        else:
            self.world.tell(f"{self.name}: {what} is lost")
        self.wait(0.2 + self._pause())
        return False

    def _pause(self) -> float:
        if self.hiccups and self.world.choices.chance(self.world.mood.hiccups):
            self.hiccups -= 1
            return self.world.choices.one(HICCUP)
        return self.world.choices.one(ANSWER)


class World:
    def __init__(self, numbers: Sequence[int], mood: Mood) -> None:
        self.choices, self.mood = Choices(numbers), mood
        self.time = 0.0
        self.story: list[str] = []
        self.hub = getcurrent()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def at(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something so many seconds from now; what is due at one moment happens in the order of asking."""
        heapq.heappush(self._events, (self.time + seconds, next(self._count), do))

    def run(self) -> None:
        """Until nothing is left to happen."""
        while self._events:
            self.time, _, do = heapq.heappop(self._events)
            do()

    def tell(self, line: str) -> None:
        self.story.append(f"{self.time:10.3f}  {line}")


def _hand_over(result: T | Exception, then: Callable[[T], None]) -> None:
    if isinstance(result, Exception):
        raise result
    then(result)


def _caught(apply: Callable[[], T]) -> T | Exception:
    try:
        return apply()
    except Exception as error:  # noqa: BLE001 - raised in the run that asked
        return error


def _shown(value: object) -> str:
    if isinstance(value, Exception):
        return type(value).__name__
    if isinstance(value, Manifest):
        return f"...{value.digest[-9:]}"
    return f"{[tag[62:] for tag in value]}" if isinstance(value, list) else str(value)[-9:]
