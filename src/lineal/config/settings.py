"""Settings of a run, each with where its value came from; and the configuration as `lineal config` shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lineal.config.rules import UNKNOWN_ENV
from lineal.config.suggest import printable, quoted
from lineal.errors import BadConfiguration, Place

if TYPE_CHECKING:
    from lineal.config.load import Loaded

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: `lineal.yaml:12`, `default`, `LINEAL_REPO`, `--repo`."""

    source: str
    place: Place | None = None

    def __str__(self) -> str:
        return self.source


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    value: T
    origin: Origin = DEFAULT


def resolve(
    name: str,
    *,
    flag: T | None,
    environ: Mapping[str, str],
    configured: Setting[T] | None = None,
    default: T,
    parse: Callable[[str], T] | None = None,
    default_source: str = "default",
) -> Setting[T]:
    """The value of `name`; later wins: default, `lineal.yaml`, `LINEAL_<NAME>`, `--<name>`.

    `configured` is `Loaded.setting(key)`. An empty variable counts as unset, as CI systems leave them. `parse` turns
    a variable's text into the value and raises ValueError for text that is none; without it the value is the text.
    `default_source` says where a default that was worked out came from (`GITHUB_REPOSITORY`).
    Raises `BadConfiguration`."""
    if flag is not None:
        return Setting(flag, Origin(f"--{name}"))
    variable = "LINEAL_" + name.upper().replace("-", "_")
    text = environ.get(variable, "")
    if text:
        try:
            return Setting(parse(text) if parse else text, Origin(variable))  # type: ignore[arg-type]
        except ValueError as error:
            message = f"The environment variable {variable} cannot be {quoted(text)}: {printable(str(error))}."
            raise BadConfiguration(message, remedy=f"Correct it, or give `--{name}`.") from None
    if configured is not None:
        return known(configured)
    return Setting(default, Origin(default_source))


def known(setting: Setting[T]) -> Setting[T]:
    """The setting, unless its value needs the environment's name and the run was given none."""
    if isinstance(setting.value, str) and UNKNOWN_ENV in setting.value:
        message = "The value depends on the environment, and none was given."
        raise BadConfiguration(message, place=setting.origin.place, remedy="Give it with `--env NAME` or LINEAL_ENV.")
    return setting


def describe(loaded: Loaded, settings: Mapping[str, Setting[Any]]) -> str:
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
