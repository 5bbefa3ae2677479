"""The fields of a release that somebody else has, and that a deploy on the server takes over."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from lineal.deploy.release import Release
from lineal.kube.client import CONFLICT, KubeClient, KubeRefused
from lineal.kube.json_fields import text
from lineal.kube.login import KubeUnavailable
from lineal.kube.objects import KubeObjects, name_of

_APPLY = "application/apply-patch+yaml"
_HELM = "helm"
"""The name by which any helm program, 3 or 4, owns fields."""
_OWNER = re.compile(r'conflict with "([^"]+)"')
_LONGEST = 200
"""Characters of a field's path."""


def taken(api: KubeClient, release: Release, objects: list[dict[str, Any]]) -> Iterator[str]:
    """A sentence for each object and each owner. The API server is asked to apply the objects without doing it; one
    that it does not take is left for helm to name."""
    places = KubeObjects(api, release.namespace)
    query = {"dryRun": "All", "fieldManager": _HELM, "force": "false"}
    for one in objects:
        path = places.path(one)
        try:
            if path is not None:
                body = json.loads(json.dumps(one, default=str))  # a date is a text to the cluster
                api.ask("PATCH", path, body, query=query, kind=_APPLY)
        except KubeRefused as refused:
            if refused.status == CONFLICT:
                yield from _sentences(one, refused.causes)
        except KubeUnavailable:
            return  # helm says so


def _sentences(one: dict[str, Any], causes: Any) -> Iterator[str]:
    fields: dict[str, list[str]] = {}
    for cause in causes:
        owner = _OWNER.search(text(cause, "message"))
        if owner is not None and owner[1] != _HELM:
            fields.setdefault(owner[1], []).append(text(cause, "field", longest=_LONGEST))
    for owner_name, theirs in fields.items():
        yield f"{name_of(one)}: {', '.join(theirs)} had been set by {owner_name}, and is set as the chart says."
