"""The directories in which git keeps the objects of a repository."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_MOST = 20
"""Directories that are looked at, alternates included."""


def with_alternates(directories: Iterable[Path]) -> list[Path]:
    """The directories, and those that their files `info/alternates` name. A quoted line is left to git."""
    found = list(dict.fromkeys(directories))
    for directory in found:
        with suppress(OSError, ValueError):
            for line in (directory / "info/alternates").read_bytes().split(b"\n"):
                place = directory / os.fsdecode(line)
                if line and not line.startswith((b"#", b'"')) and place not in found:
                    found.append(place)
        if len(found) > _MOST:
            break
    return found[:_MOST]


def promised(directories: Iterable[Path]) -> bool:
    """Whether a pack is of a partial clone: git marks it with a file beside it."""
    return any(True for directory in with_alternates(directories) for _ in directory.glob("pack/*.promisor"))
