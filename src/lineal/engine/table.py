"""Which engine executes the `RUN`s for which platform, as a run and its project name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from lineal.errors import BadConfiguration
from lineal.oci.platform import normal
from lineal.text import quoted
from lineal.value import dataclass


@dataclass(frozen=True, slots=True)
class Named:
    """An engine as it is written; `source` says for people where."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class EngineTable:
    """`default` is for platforms that none is named for."""

    default: Named
    named: Mapping[str, Named] = field(default_factory=dict)
    """By the one spelling of a platform."""

    @property
    def every(self) -> tuple[Named, ...]:
        return tuple(dict.fromkeys([self.default, *self.named.values()]))


_DEFAULT = Named("auto", "default")


def parse_table(text: str, source: str) -> EngineTable:
    """`docker linux/arm64=buildkit:ADDRESS`: an engine for all platforms, others for some; blanks between them.

    Raises `BadConfiguration`."""
    found, named = _DEFAULT, {}
    for entry in text.split():
        platform, separator, name = entry.partition("=")
        if separator and platform.startswith("linux/"):
            named[normal(platform)] = Named(name, source)
        elif found is _DEFAULT:
            found = Named(entry, source)
        else:
            raise BadConfiguration(
                f"{quoted(text)} ({source}) names two engines for all platforms.",
                id="LN-5036",
                remedy="Name one, and others by `PLATFORM=ENGINE`, such as linux/arm64=buildkit:tcp://HOST:PORT.",
            )
    return EngineTable(found, named)
