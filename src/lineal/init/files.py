"""The files of a commit, and which of them are Dockerfiles."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Protocol

from lineal.git.repository import Repository

_NAME = re.compile(r"(.+[.-])?(dockerfile|containerfile)([._-].+)?", re.IGNORECASE)
_OTHERS = re.compile(
    r"\.(dockerignore|md|j2|jinja2?|tm?pl|template|in|erb|mustache|hbs|go|py|rb|rs|js|ts|java|sh|ya?ml|json|toml|txt|patch)$",
    re.IGNORECASE,
)
_FROM = re.compile(r"^[ \t]*FROM[ \t]+\S", re.IGNORECASE | re.MULTILINE)
_LARGEST = 1 << 20


class Files(Protocol):
    """The files of a commit by their paths."""

    @property
    def files(self) -> dict[str, str]: ...

    def text(self, path: str) -> str | None: ...

    def dockerfiles(self) -> list[str]: ...


class CommitFiles:
    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    @cached_property
    def files(self) -> dict[str, str]:
        """The object ids of the commit's files and links, by path."""
        return {path: oid for path, mode, oid in self._repository.listing() if mode.startswith(("100", "120"))}

    def text(self, path: str) -> str | None:
        """None for a file that is not there, and empty for one that no person has written."""
        oid = self.files.get(path)
        if oid is None:
            return None
        data = self._repository.object(oid)
        return data.decode(errors="replace") if len(data) <= _LARGEST else ""

    def dockerfiles(self) -> list[str]:
        """Files that are Dockerfiles by their name, and templates of none."""
        named = (path for path in self.files if _NAME.fullmatch(path.rpartition("/")[2]) and not _OTHERS.search(path))
        return sorted(path for path in named if self._is_dockerfile(path))

    def _is_dockerfile(self, path: str) -> bool:
        """A link is one by its name; anything else has a FROM."""
        text = self.text(path) or ""
        return _FROM.search(text) is not None or "\n" not in text
