"""A rule of a project beyond its types that is broken."""

from __future__ import annotations

from lineal.config.document import Path


class RuleViolation(Exception):
    """A rule that the value at `path` breaks."""

    def __init__(self, path: Path, message: str, remedy: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.remedy = remedy
