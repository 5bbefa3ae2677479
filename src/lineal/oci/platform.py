"""Platforms: their spellings, and which image runs where, in containerd's order (containerd/platforms, `Only`)."""

from __future__ import annotations

import platform as machine
from collections.abc import Iterator, Mapping

from lineal.regex import regex

_ARCHITECTURES = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm/v7", "armel": "arm/v6",
    "arm": "arm/v7",
}  # fmt: skip
_PLAIN = {"arm64/v8": "arm64", "amd64/v1": "amd64"}
_OLDEST = {"amd64": 2, "arm": 5, "arm64": 9}
"""The lowest variant that has a number of its own."""
_DIGITS = 2
LINUX = regex(r"linux/[a-z0-9]+(/v[0-9]+)?")
_FIELDS = ("os", "architecture", "variant")


def normal(platform: str) -> str:
    """`os/architecture[/variant]` in containerd's one spelling; an architecture alone is Linux's."""
    text = platform.lower()
    if "/" not in text:
        text = f"linux/{text}"
    name, _, rest = text.partition("/")
    architecture, _, variant = rest.partition("/")
    known = _ARCHITECTURES.get(architecture, architecture)
    if variant:
        known = f"{known.partition('/')[0]}/{'v' * variant[:1].isdecimal()}{variant}"
    return f"{name}/{_PLAIN.get(known, known)}"


def runs(platform: str) -> Iterator[str]:
    """The platforms whose images run on this one, the best first: itself, older variants, and what its processors
    run besides. Never a newer variant."""
    name, _, rest = normal(platform).partition("/")
    yield f"{name}/{rest}"
    architecture, _, variant = rest.partition("/")
    number = variant.removeprefix("v")
    newest = int(number) if number.isdecimal() and len(number) <= _DIGITS else 0
    for older in range(newest - 1, _OLDEST.get(architecture, newest) - 1, -1):
        yield f"{name}/{architecture}/v{older}"
    if variant and architecture in ("amd64", "arm64"):
        yield f"{name}/{architecture}"
    if architecture == "amd64":
        yield f"{name}/386"
    if architecture == "arm64":
        yield from (f"{name}/arm/v{older}" for older in (8, 7, 6, 5))


def is_linux(platform: str) -> bool:
    """Whether it is spelled as one that Lineal builds for."""
    return LINUX.fullmatch(platform) is not None


def fields(platform: str) -> dict[str, str]:
    """A platform as an index names it; `named` reads it."""
    return dict(zip(_FIELDS, platform.split("/"), strict=False))


def own_platform() -> str:
    """The one of this machine."""
    return normal(machine.machine())


def named(document: Mapping[str, object]) -> str | None:
    """The platform that an image's config, or the `platform` of an index's entry, names; None when it names none.
    Raises ValueError."""
    parts = [document.get(key) or "" for key in _FIELDS]
    if not all(isinstance(part, str) and "/" not in part for part in parts):
        raise ValueError("a platform is made of texts")
    return normal("/".join(str(part) for part in parts if part)) if parts[0] and parts[1] else None
