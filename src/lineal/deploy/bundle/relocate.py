"""Rewrites the values of a bundle whose images were copied: every value that names their repository, in any form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lineal.deploy.bundle.bundle import ENCRYPTED, Bundle, written
from lineal.deploy.values import ImageValue
from lineal.errors import DeployFailed

# Characters that may stand beside a repository's name without being part of it.
_BEFORE, _AFTER = r"(?<![\w./-])", r"(?![\w/-]|\.\w)"

_DEEPEST = 100
"""Levels of values that are followed: each is a call in here."""
_PARTS = 4
"""Values that together name one repository, at most."""
_USUAL = ("registry", "repository", "image", "name")
"""The keys that mostly hold a part of a repository: they come first when several values would do."""
_WHOLE = ("repository", "image")
"""The keys that may hold the whole repository of somebody else's image, its tag beside it."""
_PLAIN = re.compile(r"(?:charts/[^/]+/)+values\.yaml")
"""The values of a subchart that is no bundle."""

Read = Callable[[bytes], dict[str, Any]]
"""Reads a values file as Helm does."""


@dataclass(frozen=True, slots=True)
class Relocation:
    """From the repositories of these images to the repository `target`; tags and digests stay."""

    images: Mapping[str, ImageValue]
    target: str
    others: Mapping[str, str] = field(default_factory=dict)
    """References of images of others, as the manifests have them, and their references at the new place."""

    def bundle(self, bundle: Bundle, read: Read | None = None) -> Bundle:
        """The bundle with the new repositories in its values; with `read`, in those of its subcharts too. Raises
        `DeployFailed` when they are nested too deeply."""
        for name, part in bundle.parts.items():
            if _too_deep(part.values):
                what = f"The bundle's {bundle.path(name)} has values more than {_DEEPEST} levels deep."
                raise DeployFailed(what, id="LN-7009", remedy="Publish it again with flatter ones.")
        moved = bundle.changed(self._moved)
        own = {moved.path(part) for part in moved.parts}
        files = {path: self._file(path, data, read) for path, data in moved.files.items() if path not in own}
        return Bundle(moved.name, {**moved.files, **files})

    def _file(self, path: str, data: bytes, read: Read | None) -> bytes:
        """Another file: the values of subcharts are moved as its own are, elsewhere only what `others` names."""
        if path.startswith(ENCRYPTED):
            return data
        if read is not None and _PLAIN.fullmatch(path):
            values = read(data)
            moved = self._moved(values) if not _too_deep(values) else values
            return data if moved == values else written(moved)
        try:
            return self._references(data.decode()).encode() if self.others else data
        except UnicodeDecodeError:
            return data

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
        return self._references(text)

    def _references(self, text: str) -> str:
        for old, new in self.others.items():
            if old.strip("abcdefghijklmnopqrstuvwxyz0123456789._-"):  # `redis` alone is a word like others
                text = re.sub(f"{_BEFORE}{re.escape(old)}{_AFTER}(?![:@])", new, text)
        return text

    def _split(self, value: dict[str, Any]) -> dict[str, Any]:
        """Move an image whose repository stands in several values side by side, as `registry` and `repository` or
        `image`: the texts that together are its name."""
        for source, target in [(source, self.target) for source in self.sources] + self._repositories():
            keys = _chain(value, source)
            if len(keys) > 1 and (parts := _cut(target, [value[key] for key in keys])):
                # A tag or digest behind the name stays there.
                parts[-1] += value[keys[-1]][len(source) - sum(len(value[key]) + 1 for key in keys[:-1]) :]
                value = {**value, **dict(zip(keys, parts, strict=True))}
        for source, target in self._repositories():
            value = {key: target if key in _WHOLE and part == source else part for key, part in value.items()}
        return value

    def _repositories(self) -> list[tuple[str, str]]:
        """The repositories of others, without tag and digest, and their new ones; the longest first."""
        return sorted({(_name(old), _name(new)) for old, new in self.others.items()}, key=lambda one: -len(one[0]))

    def left(self, bundle: Bundle) -> list[str]:
        """The places in a relocated bundle that still name an old registry or repository, for a warning."""
        words = self._old_words()
        if words is None:
            return []
        told = [text for name, part in bundle.parts.items() for text in _texts(part.values, name)]
        found = [place for place, text in told if words.search(text)]
        changed = {bundle.path(part) for part in bundle.parts}
        files = [
            path for path, content in sorted(bundle.files.items())
            if path not in changed and words.search(content.decode("utf-8", "replace"))
        ]  # fmt: skip
        return [*found, *files]

    def broken(self, bundle: Bundle, images: Iterable[str] | None) -> list[str]:
        """The images of a relocated bundle's manifests that would still come from an old repository, and the values
        that name an old registry for what may be such an image. `images` is None when no manifest is known."""
        old = [
            re.compile(f"{_BEFORE}{re.escape(source)}{_AFTER}") for source in self.sources if source != self.target
        ]
        pulled = [image for image in images or () if any(words.search(image) for words in old)]
        alone = [place for name, part in bundle.parts.items() for place in self._registries(part.values, name)]
        return [*pulled, *alone]

    def _registries(self, value: Any, place: str) -> Iterator[str]:
        """The values that are an old registry and nothing else, but for images of others beside it."""
        parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, part in parts:
            here = f"{place}.{key}".lstrip(".")
            if (
                isinstance(part, str)
                and part in self._old_hosts()
                and not (isinstance(value, dict) and _is_other(value, str(key)))
            ):
                yield here
            yield from self._registries(part, here)

    def _old_hosts(self) -> set[str]:
        return {source.partition("/")[0] for source in self.sources} - {self.target.partition("/")[0]}

    def _old_words(self) -> re.Pattern[str] | None:
        old = sorted({*self.sources, *self._old_hosts()} - {self.target})
        return re.compile("|".join(f"{_BEFORE}{re.escape(word)}(?:(?=/)|{_AFTER})" for word in old)) if old else None


def _name(reference: str) -> str:
    """The repository of a reference, without its tag and digest."""
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def _chain(value: Mapping[str, Any], rest: str, used: tuple[str, ...] = ()) -> list[str]:
    """The keys whose texts, with `/` between them, are the name `rest`; the last one may have a tag or digest behind
    it. Empty when there are none."""
    texts = [(key, text) for key, text in value.items() if isinstance(text, str) and text and key not in used]
    texts.sort(key=lambda one: _USUAL.index(one[0]) if one[0] in _USUAL else len(_USUAL))
    for key, text in texts:
        if text == rest or text.startswith((f"{rest}:", f"{rest}@")):
            return [*used, key]
        more = _chain(value, rest[len(text) + 1 :], (*used, key)) if rest.startswith(f"{text}/") else []
        if more and len(more) <= _PARTS:
            return more
    return []


def _cut(target: str, old: list[str]) -> list[str]:
    """The new name in as many parts as the old one had; a first part that was more than a host gets all but the
    last. Empty when there is too little of it."""
    parts = target.split("/")
    if len(parts) < len(old):
        return []
    if "/" in old[0]:
        return ["/".join(parts[: len(parts) - len(old) + 1]), *parts[len(parts) - len(old) + 1 :]]
    return [*parts[: len(old) - 1], "/".join(parts[len(old) - 1 :])]


def _is_other(value: Mapping[str, Any], registry: str) -> bool:
    """Whether texts beside a registry name an image: one of ours would have been moved."""
    return any(isinstance(value.get(key), str) and value[key] for key in _WHOLE if key != registry)


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
