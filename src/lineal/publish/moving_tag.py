"""Moving a tag of a final repository forward along history, never back (DESIGN G11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lineal.clock import Time
from lineal.oci import Store
from lineal.oci.types import Manifest
from lineal.stages.visibility import History, HistoryPosition


@dataclass(frozen=True, slots=True)
class Move:
    """What became of a tag. `moved`: this run has pointed it at the image; `there`: it pointed there already;
    `left`: it was left alone, for this reason."""

    outcome: Literal["moved", "there", "left"]
    reason: str = ""
    """For people, without the tag's name: `it is at 1a2b3c4, which is not in the history of this commit`."""
    before: str | None = None
    """The digest that the tag pointed at when the run came, None when there was no such tag."""


class MovingTags:
    """Moves tags for one run. Safe to use from several threads, for several tags at once."""

    def __init__(
        self, store: Store, position: HistoryPosition, history: History, *, time: Time | None = None,
        overwrite: bool = False, is_head: Callable[[], bool] = lambda: False, digits: int | None = None,
    ) -> None:  # fmt: skip
        """`store` keeps the memory of moves, beside the stages. `overwrite` (--overwrite-tag) moves whatever history
        says. `is_head` asks the forge whether this commit is the head of its branch at this moment, which decides
        after a forced push; it is asked only then."""

    def move(self, final: Store, tag: str, image: Manifest) -> Move:
        """Point `tag` at the finished image, if that is forward. The image's manifest (or index) is in `final`
        already, by its digest, with everything below it.

        Raises `Unreachable` when the registry does not take the tag."""
        raise NotImplementedError
