"""A checkout: the files of its commit. Nothing here writes to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lineal.git.repository import Repository
from lineal.init.files import CommitFiles

ENVIRONMENT = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
"""No CI, no settings of a user, nothing that asks a registry as somebody."""


@dataclass(frozen=True)
class Checkout:
    """`name` is its path below the folder of all."""

    path: Path
    name: str

    @property
    def files(self) -> dict[str, str]:
        return self._files.files

    def text(self, path: str) -> str | None:
        return self._files.text(path)

    def dockerfiles(self) -> list[str]:
        return self._files.dockerfiles()

    @cached_property
    def _files(self) -> CommitFiles:
        return CommitFiles(self._repository)

    @cached_property
    def _repository(self) -> Repository:
        return Repository.open(self.path, ENVIRONMENT)

    def close(self) -> None:
        self._repository.close()


def below(folder: Path) -> Iterator[Checkout]:
    """The checkouts below a folder, or that folder itself. Nothing inside of a checkout is one more."""
    for place, folders, files in os.walk(folder):
        if ".git" in folders or ".git" in files:
            path = Path(place)
            yield Checkout(path, path.name if path == folder else str(path.relative_to(folder)))
            folders.clear()
        folders.sort()
