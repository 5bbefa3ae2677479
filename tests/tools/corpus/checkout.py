"""A checkout: the files of its commit. Nothing here writes to it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lineal.git.repository import Repository

ENVIRONMENT = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
"""No CI, no settings of a user, nothing that asks a registry as somebody."""
_NAME = re.compile(r"(.+[.-])?(dockerfile|containerfile)([._-].+)?", re.IGNORECASE)
_OTHERS = re.compile(
    r"\.(dockerignore|md|j2|jinja2?|tm?pl|template|in|erb|mustache|hbs|go|py|rb|rs|js|ts|java|sh|ya?ml|json|toml|txt|patch)$",
    re.IGNORECASE,
)
_FROM = re.compile(r"^[ \t]*FROM[ \t]+\S", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Checkout:
    """`name` is its path below the folder of all."""

    path: Path
    name: str

    @cached_property
    def files(self) -> dict[str, str]:
        """The object ids of the commit's files and links, by path."""
        repository = self._repository
        return {path: oid for path, mode, oid in repository.listing() if mode.startswith(("100", "120"))}

    def text(self, path: str) -> str | None:
        oid = self.files.get(path)
        return None if oid is None else self._repository.object(oid).decode(errors="replace")

    def dockerfiles(self) -> list[str]:
        """Files that are Dockerfiles by their name, and templates of none."""
        named = (path for path in self.files if _NAME.fullmatch(path.rpartition("/")[2]) and not _OTHERS.search(path))
        return sorted(path for path in named if self._is_dockerfile(path))

    def _is_dockerfile(self, path: str) -> bool:
        """A link is one by its name; anything else has a FROM."""
        text = self.text(path) or ""
        return _FROM.search(text) is not None or "\n" not in text

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
