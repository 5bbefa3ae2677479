"""Rewrites the values of a bundle whose images were copied: every value that names their repository, in any form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lineal.deploy.bundle.bundle import Bundle
from lineal.deploy.values import ImageValue
from lineal.errors import DeployFailed

# Characters that may stand beside a repository's name without being part of it.
_BEFORE, _AFTER = r"(?<![\w./-])", r"(?![\w/-]|\.\w)"

_DEEPEST = 100
"""Levels of values that are followed: each is a call in here."""


@dataclass(frozen=True, slots=True)
class Relocation:
    """From the repositories of these images to the repository `target`; tags and digests stay."""

    images: Mapping[str, ImageValue]
    target: str

    def bundle(self, bundle: Bundle) -> Bundle:
        """The bundle with the new repository in its values. Raises `DeployFailed` when they are nested too deeply."""
        for part, values in bundle.parts.items():
            if _too_deep(values):
                what = f"The bundle's {bundle.path(part)} has values more than {_DEEPEST} levels deep."
                raise DeployFailed(what, id="LN-7009", remedy="Publish it again with flatter ones.")
        return bundle.changed(self._moved)

    @property
    def sources(self) -> list[str]:
        """The repositories that the images are in, the longest first: one may begin like another."""
        return sorted({image.repository for image in self.images.values()}, key=lambda name: (-len(name), name))

    def _moved(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._moved(part) for key, part in self._split(value).items()}
        if isinstance(value, list):
            return [self._moved(part) for part in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        for source in self.sources:
            text = re.sub(f"{_BEFORE}{re.escape(source)}{_AFTER}", lambda _: self.target, text)
        return text

    def _split(self, value: dict[str, Any]) -> dict[str, Any]:
        """Move an image that has its host and path in two values, `registry` and `repository`, as in many charts."""
        host, _, path = self.target.partition("/")
        for source in self.sources:
            if (value.get("registry"), value.get("repository")) == (*source.partition("/")[::2],):
                return {**value, "registry": host, "repository": path}
        return value

    def left(self, bundle: Bundle) -> list[str]:
        """The places in a relocated bundle that still name an old registry or repository, for a warning."""
        hosts = {source.partition("/")[0] for source in self.sources} - {self.target.partition("/")[0]}
        old = sorted({*self.sources, *hosts} - {self.target})
        if not old:
            return []
        words = re.compile("|".join(f"{_BEFORE}{re.escape(word)}(?:(?=/)|{_AFTER})" for word in old))
        told = [text for part, values in bundle.parts.items() for text in _texts(values, part)]
        found = [place for place, text in told if words.search(text)]
        changed = {bundle.path(part) for part in bundle.parts}
        files = [
            path for path, content in sorted(bundle.files.items())
            if path not in changed and words.search(content.decode("utf-8", "replace"))
        ]  # fmt: skip
        return [*found, *files]


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [part for one in level for part in _parts(one)]
    return bool(level)


def _parts(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _texts(part, f"{place}.{key}".lstrip("."))
