"""Where the policy of a run is from: the commit, or a file that whoever runs it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lineal.config.load import LoadedProject
from lineal.config.trust import policy_of, read_policy
from lineal.context.committed import MAX_TEXT
from lineal.errors import BadConfiguration, Location
from lineal.git.commit import Commit
from lineal.git.remote import web_address
from lineal.oci.types import sha256
from lineal.store.statement import digest_set
from lineal.text import quoted
from lineal.trust.keys import MAX_KEY
from lineal.trust.policy import Policy
from lineal.value import dataclass


@dataclass(frozen=True)
class PolicyOfRun:
    policy: Policy | None
    read: Callable[[str], bytes | None]
    """The content of a key's file, None where there is none."""
    place: Callable[[str], Location | None]
    """Where a dotted key, such as `trust.accept`, is written."""
    told: Callable[[], Mapping[str, Any]] = dict
    """What others are told of it: `uri` and `digest`, as in-toto writes them."""


def of_commit(loaded: LoadedProject, commit: Commit) -> PolicyOfRun:

    def told() -> Mapping[str, Any]:
        return {"uri": f"git+{web_address(commit) or 'local'}#{loaded.file}", "digest": {"gitCommit": commit.commit}}

    return PolicyOfRun(policy_of(loaded.project.trust), commit.file, loaded.place, told)


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
    told = {"uri": path.name, "digest": digest_set(sha256(text.encode()))}
    return PolicyOfRun(policy, read, place, lambda: told)


def _content(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most)
