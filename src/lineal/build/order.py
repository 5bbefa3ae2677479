"""The order of a build: a stage is made as soon as what it is made of is at hand, and published after all of that.

What is at hand need not be published yet. When a stage turns out to be another run's publication, what was made of
this run's own is made again. tests/simulation tries this order together with the protocol of publishing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Generic, Protocol, TypeVar


class Part(Protocol):
    """A stage, as far as the order goes."""

    @property
    def checksum(self) -> str: ...

    @property
    def needs(self) -> Mapping[str, Part]:
        """Those whose reference is a part of it, which nobody knows before they are published."""

    def dependencies(self) -> Sequence[Part]: ...


P = TypeVar("P", bound=Part)


class Order(Generic[P]):
    """Of the stages that a build needs. Not safe to use from several threads."""

    def __init__(self, needed: Iterable[P], published: Callable[[str], str | None]) -> None:
        """`published` gives the digest of the image of a published stage, by checksum."""
        self._published = published
        self._waiting = {stage.checksum: stage for stage in needed}
        self._used: dict[str, dict[str, str | None]] = {}
        """The images that a stage is made of, by checksum, of each one that was begun and is not published."""
        self._made: dict[str, P] = {}
        self._local: dict[str, str] = {}

    def startable(self, most: int | None = None) -> list[P]:
        """What can be made now, in the order in which it was needed; no more than so many, however many wait."""
        ready = (
            stage for stage in self._waiting.values()
            if all(self._image(one) for one in stage.dependencies())
            and all(self._published(need.checksum) for need in stage.needs.values())
        )  # fmt: skip
        return list(islice(ready, most))

    def begin(self, stage: P) -> None:
        """It is being made, of what is at hand now."""
        del self._waiting[stage.checksum]
        self._used[stage.checksum] = {one.checksum: self._image(one) for one in stage.dependencies()}

    def made(self, stage: P, image: str | None) -> None:
        """It is made; `image` is the digest of its image, None when it failed."""
        self._made[stage.checksum] = stage
        if image is not None:
            self._local[stage.checksum] = image

    def outdated(self) -> list[P]:
        """What is made of something that another run's publication has taken the place of: all this waits again."""
        found: list[P] = []
        while old := [stage for stage in self._made.values() if self._is_outdated(stage)]:
            for stage in old:
                for known in (self._made, self._used, self._local):
                    known.pop(stage.checksum, None)
                self._waiting[stage.checksum] = stage
            found += old
        return found

    def publishable(self) -> list[P]:
        """What is made and can be published now: all that it is made of is."""
        ready = [
            stage for stage in self._made.values()
            if all(self._published(one.checksum) for one in stage.dependencies())
        ]  # fmt: skip
        for stage in ready:
            del self._made[stage.checksum]
        return ready

    def unpublished(self) -> list[P]:
        """What is made and waits for its turn."""
        return list(self._made.values())

    def _image(self, stage: Part) -> str | None:
        """The digest of the image that counts for a stage now, None while there is none."""
        return self._published(stage.checksum) or self._local.get(stage.checksum)

    def _is_outdated(self, stage: P) -> bool:
        return self._used[stage.checksum] != {one.checksum: self._image(one) for one in stage.dependencies()}
