"""What the caches of one run have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lineal.caches.publication import Publishing
from lineal.caches.rules import CacheRules
from lineal.progress import Notes
from lineal.stages.lookup import Lookup


@dataclass(frozen=True)
class CacheSettings:
    """`rules` has the images whose caches are kept. Without `publishing` nothing is published."""

    project: str
    rules: Mapping[str, CacheRules]
    lookup: Lookup
    notes: Notes
    publishing: Publishing | None = None
    without: bool = False
    """Whether every cache mount of the run begins empty, and nothing is kept."""
