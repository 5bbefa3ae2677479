"""What `caches:` says: which cache mounts of an image outlive the runner, and what that may cost."""

from __future__ import annotations

from dataclasses import dataclass

MAX_SIZE, MAX_TIME = 2 << 30, 120.0


@dataclass(frozen=True, slots=True)
class CacheRules:
    """Of one image."""

    ids: frozenset[str] | None = None
    """The mounts that are kept, by id or by target; None for all."""
    max_size: int = MAX_SIZE
    """Bytes of the files of one cache."""
    max_time: float = MAX_TIME
    """Seconds for restoring a cache, and the same for keeping it."""

    def has(self, id: str) -> bool:
        return self.ids is None or id in self.ids
