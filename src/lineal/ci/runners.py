"""The runners of a CI that build for a platform, by their labels (GitHub) or tags (GitLab)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lineal.errors import BadConfiguration
from lineal.oci.platform import normal
from lineal.text import quoted

Runners = Mapping[str, tuple[str, ...]]
"""Labels by platform, in its one spelling."""


def parse_runners(lines: Iterable[str], origin: str) -> dict[str, tuple[str, ...]]:
    """`linux/arm64=LABEL[,LABEL]`, one in each line. `origin` names the flag or the variable. Raises
    `BadConfiguration`."""
    found = {}
    for line in filter(str.strip, lines):
        platform, separator, labels = line.partition("=")
        names = tuple(label.strip() for label in labels.split(",") if label.strip())
        if not separator or not names or not platform.strip().startswith("linux/"):
            raise BadConfiguration(
                f"{quoted(line)} ({origin}) does not say which runner builds for a platform.",
                id="LN-1038",
                remedy="Write PLATFORM=LABEL, such as linux/arm64=ubuntu-24.04-arm.",
            )
        found[normal(platform.strip())] = names
    return found


def labels(platform: str, given: Runners, usual: Runners) -> tuple[str, ...]:
    """The labels for a platform; without any, those for amd64, where it has to be emulated."""
    kinds = (normal(platform), "/".join(normal(platform).split("/")[:2]))
    for table in (given, usual):
        for kind in kinds:
            if kind in table:
                return table[kind]
    return given.get("linux/amd64") or usual["linux/amd64"]
