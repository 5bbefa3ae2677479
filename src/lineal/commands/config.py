"""`lineal config`: the resolved configuration as YAML, each value with its origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lineal.text import printable

if TYPE_CHECKING:
    from lineal.config.load import LoadedProject
from lineal.config.setting import Setting


def describe(loaded: LoadedProject, settings: Mapping[str, Setting[Any]]) -> str:
    """The resolved configuration as YAML, each value's origin in a comment behind it.

    A setting named as a key of the configuration (`repo`, `deploy.namespace`) is shown in its place, the others
    (`jobs`) under `settings`."""
    from msgspec import to_builtins

    tree: dict[str, Any] = to_builtins(loaded.project)
    origins = {key: origin.source for key, origin in loaded.origins.items()}
    others: dict[str, Any] = {}
    for name, setting in settings.items():
        if not _put(tree, name, setting.value):
            others[name] = setting.value
            name = f"settings.{name}"
        origins[name] = setting.origin.source
    if others:
        tree["settings"] = others
    lines = list(_lines(tree, "", 0, origins))
    width = min(max((len(text) for text, _ in lines), default=0), 60)
    return "".join(f"{text:<{width}}  # {origin}\n" if origin else f"{text}\n" for text, origin in lines)


def _put(tree: dict[str, Any], name: str, value: object) -> bool:
    *parents, last = name.split(".")
    for parent in parents:
        if not isinstance(tree.get(parent), dict):
            return False
        tree = tree[parent]
    if last not in tree:
        return False
    tree[last] = value
    return True


def _lines(value: dict[str, Any] | list[Any], prefix: str, depth: int, origins: dict[str, str]) -> Iterator[_Line]:
    """Every line of the YAML with its origin; containers that are not empty have none."""
    pad = "  " * depth
    if isinstance(value, dict):
        entries = [
            (f"{prefix}.{key}" if prefix else key, f"{pad}{_scalar(key)}:", item) for key, item in value.items()
        ]
    else:
        entries = [(f"{prefix}[{index}]", f"{pad}-", item) for index, item in enumerate(value)]
    for key, start, item in entries:
        if isinstance(item, dict | list) and item:
            inner = _lines(item, key, depth + 1, origins)
            if start.endswith("-"):  # `- id: npm`, the first line beside the dash
                first, origin = next(inner)
                yield f"{start} {first.lstrip()}", origin
            else:
                yield start, ""
            yield from inner
        else:
            yield f"{start} {_scalar(item)}", origins.get(printable(key), origins.get(key, "default"))


_Line = tuple[str, str]


def _scalar(value: object) -> str:
    """One line that YAML reads as this value; text is quoted wherever it could be read as something else."""
    import yaml

    if isinstance(value, dict | list):
        return "{}" if isinstance(value, dict) else "[]"
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    text = str(value)
    if text and all(char.isascii() and (char.isalnum() or char in "._-/:") for char in text):
        loader: Any = yaml.resolver.Resolver()
        tag = loader.resolve(yaml.ScalarNode, text, (True, False))
        if text[0].isalnum() and not text.endswith(":") and tag == "tag:yaml.org,2002:str":
            return text
    dumped: str = yaml.dump(text, default_style='"', width=10**9)
    return dumped.rstrip("\n")
