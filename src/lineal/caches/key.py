"""The name of a cache: what has to be equal for a snapshot of it to be of use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lineal.dockerfile.checksum import checksum
from lineal.engine import CacheMount

_FORMAT = 1
FROM = " from "
"""Stands in the id of a cache that begins with something of another stage, before a name of that."""


@dataclass(frozen=True, slots=True)
class CacheKey:
    """`id` is the mount's, or the path that it is at; owner and mode are those of its directory."""

    project: str
    id: str
    platform: str
    mode: int
    uid: int
    gid: int

    @staticmethod
    def of(project: str, id: str, platform: str, mount: CacheMount) -> CacheKey:
        return CacheKey(project, id, platform, mount.mode, mount.uid, mount.gid)

    @property
    def text(self) -> str:
        """64 hex digits, by which the snapshots in the store are found."""
        return checksum(self.inputs())

    def inputs(self) -> dict[str, Any]:
        owner = [self.mode, self.uid, self.gid]
        return {
            "cache": self.id, "format": _FORMAT, "owner": owner, "platform": self.platform, "project": self.project,
        }  # fmt: skip
