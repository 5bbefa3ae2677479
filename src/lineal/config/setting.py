"""Settings of a run, each with where its value came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from lineal.config.validation import UNKNOWN_ENV
from lineal.errors import BadConfiguration, Location
from lineal.text import printable, quoted
from lineal.value import dataclass

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: `lineal.yaml:12`, `default`, `LINEAL_REPO`, `--repo`."""

    source: str
    place: Location | None = None

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

    `configured` is `LoadedProject.setting(key)`. An empty variable counts as unset, as CI systems leave them. `parse`
    turns a variable's text into the value and
    raises ValueError for text that is none; without it the value is the text.
    `default_source` says where a default that was worked out came from (`GITHUB_REPOSITORY`).
    Raises `BadConfiguration`."""
    if flag is not None:
        return Setting(flag, Origin(f"--{name}"))
    variable = variable_of(name)
    text = environ.get(variable, "")
    if text:
        try:
            return Setting(parse(text) if parse else text, Origin(variable))  # type: ignore[arg-type]
        except ValueError as error:
            message = f"The environment variable {variable} cannot be {quoted(text)}: {printable(str(error))}."
            raise BadConfiguration(message, id="LN-1012", remedy=f"Correct it, or give `--{name}`.") from None
    if configured is not None:
        return known(configured)
    return Setting(default, Origin(default_source))


def variable_of(name: str) -> str:
    """The variable that stands for the flag `--<name>`."""
    return "LINEAL_" + name.upper().replace("-", "_")


def known(setting: Setting[T]) -> Setting[T]:
    """The setting, unless its value needs the environment's name and the run was given none."""
    if isinstance(setting.value, str) and UNKNOWN_ENV in setting.value:
        message = "The value depends on the environment, and none was given."
        raise BadConfiguration(
            message, id="LN-1011", place=setting.origin.place, remedy="Give it with `--env NAME` or LINEAL_ENV."
        )
    return setting
