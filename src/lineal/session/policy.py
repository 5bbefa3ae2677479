"""Where the policy of a run is from: the commit, or a file that whoever runs it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lineal.config.load import LoadedProject
from lineal.config.trust import policy_of, read_policy
from lineal.context.committed import MAX_TEXT
from lineal.errors import BadConfiguration, Location
from lineal.text import quoted
from lineal.trust.keys import MAX_KEY
from lineal.trust.policy import Policy


@dataclass(frozen=True)
class PolicyOfRun:
    policy: Policy | None
    read: Callable[[str], bytes | None]
    """The content of a key's file, None where there is none."""
    place: Callable[[str], Location | None]
    """Where a dotted key, such as `trust.accept`, is written."""


def of_commit(loaded: LoadedProject, read: Callable[[str], bytes | None]) -> PolicyOfRun:
    return PolicyOfRun(policy_of(loaded.project.trust), read, loaded.place)


def of_file(path: Path, name: str) -> PolicyOfRun:
    """Keys are found from the folder of the file. Raises `BadConfiguration`."""
    try:
        text = _content(path, MAX_TEXT).decode()
    except (OSError, ValueError):
        raise BadConfiguration(
            f"The policy {quoted(name)} cannot be read.", id="LN-1056", remedy="Give the path of a text file."
        ) from None

    def read(key: str) -> bytes | None:
        try:
            return _content(path.parent / key, MAX_KEY)
        except (OSError, ValueError):
            return None

    policy, place = read_policy(text, name)
    return PolicyOfRun(policy, read, place)


def _content(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most)
