"""Removes what killed runs left in the engine: a command still running, a secret in a volume."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from lineal.engine.docker import process_identity
from lineal.engine.docker.client import Client
from lineal.engine.docker.resources import LABEL, remove_container, remove_image, remove_volume

_OLD = 24 * 3600.0
"""Seconds after which the things of a run on another machine, whose process cannot be asked, count as abandoned."""


def remove_orphans(client: Client) -> list[str]:
    """Remove the containers, volumes and committed images of runs that are over; return their names.

    A run is over when its process, on this machine, is dead, or when it is of another machine and the thing is older
    than a day. Raises `Unreachable` when the engine cannot list them; what it will not remove stays."""
    removed = []
    for one in _orphans(client, "/containers/json", "list containers", all="1"):
        remove_container(client, one["Id"])
        removed.append(one["Id"])
    for one in _orphans(client, "/volumes", "list volumes"):
        remove_volume(client, one["Name"])
        removed.append(one["Name"])
    for one in _orphans(client, "/images/json", "list images"):
        # A commit inherits the labels; one that somebody has named is somebody's.
        if all(tag == "<none>:<none>" for tag in one.get("RepoTags") or ()):
            remove_image(client, one["Id"])
            removed.append(one["Id"])
    return removed


def _orphans(client: Client, path: str, what: str, **params: str) -> Iterator[dict[str, Any]]:
    filters = {"filters": json.dumps({"label": [LABEL]})}
    answer = client.call("GET", path, what, params={**params, **filters})
    found = answer.json()
    listed = found.get("Volumes") if isinstance(found, dict) else found
    for one in listed or ():
        lives = process_identity.lives(one.get("Labels") or {})
        if lives is False or (lives is None and _age(one, answer.headers.get("Date")) > _OLD):
            yield one


def _age(one: dict[str, Any], date: str | None) -> float:
    """Seconds since the engine made a thing, by its own clock (the answer's `Date`); 0 when it does not say."""
    made = one.get("Created", one.get("CreatedAt"))
    try:
        then = datetime.fromtimestamp(made, UTC) if isinstance(made, int) else datetime.fromisoformat(str(made))
        return (parsedate_to_datetime(str(date)) - then).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
