"""Symbolic links in a commit, followed inside of it."""

from __future__ import annotations

import os
from collections.abc import Callable

from lineal.errors import BadConfiguration, Location
from lineal.git.objects import DIRECTORY, SUBMODULE, SYMLINK
from lineal.value import dataclass

_MOST = 40
"""Links that are followed in one path, as Linux does."""
_LONGEST = 4096
"""Bytes of a path in Linux."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A path whose links have been followed. Nothing need be there."""

    path: str
    links: tuple[str, ...]
    """The links on the way, by their own paths."""
    final: bool
    """Whether the path itself is a link, not only a folder above it."""

    @property
    def read(self) -> tuple[str, ...]:
        """Every path whose content decides what is found."""
        return (*self.links, self.path)


def follow(path: str, entry: Callable[[str], tuple[str, str]], content: Callable[[str, str], bytes]) -> Followed:
    """The path that `path` means. `entry` gives the mode and object id of a path, empty texts when nothing is there,
    and `content` that of a link, by its path and object id; a path is asked for after the folder that it is in.

    Raises `BadConfiguration` for a link that leads out of the commit, to an absolute path, or in a circle."""
    done: list[str] = []
    links: list[str] = []
    final = False
    left = path.split("/")[::-1]
    while left:
        part = left.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not done:
                raise _refused(links[-1] if links else path, "leads out of the commit")
            done.pop()
            continue
        done.append(part)
        here = "/".join(done)
        mode, oid = entry(here)
        if mode == SYMLINK:
            target = os.fsdecode(content(here, oid))
            links.append(here)
            final = final or not left
            if len(target) > _LONGEST:
                raise _refused(here, "is longer than a path can be")
            if target.startswith("/"):
                raise _refused(here, f"leads to the absolute path {target!r}")
            if len(links) > _MOST:
                raise _refused(path, "leads in a circle")
            done.pop()
            left += target.split("/")[::-1]
        elif left and mode not in (DIRECTORY, SUBMODULE):
            # Nothing is below it, and `..` does not lead back from there.
            done += [one for one in reversed(left) if one != ".."]
            break
    return Followed("/".join(done), tuple(links), final)


def _refused(path: str, why: str) -> BadConfiguration:
    return BadConfiguration(
        f"is a symbolic link that {why}, and Lineal reads nothing but the commit.",
        id="LN-2011",
        place=Location(path),
        remedy="Link to a file of the commit with a relative path, or commit a copy.",
    )
