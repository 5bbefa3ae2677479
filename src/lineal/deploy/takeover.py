"""The fields of a release that somebody else has, and that a deploy on the server takes over."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from lineal.deploy.release import Release
from lineal.kube.client import CONFLICT, KubeClient, KubeRefused
from lineal.kube.json_fields import entries, text
from lineal.kube.login import KubeUnavailable

_APPLY = "application/apply-patch+yaml"
_HELM = "helm"
"""The name by which any helm program, 3 or 4, owns fields."""
_OWNER = re.compile(r'conflict with "([^"]+)"')
_LONGEST = 200
"""Characters of a field's path."""


def taken(api: KubeClient, release: Release, objects: list[dict[str, Any]]) -> Iterator[str]:
    """A sentence for each object and each owner. The API server is asked to apply the objects without doing it; one
    that it does not take is left for helm to name."""
    kinds: dict[str, dict[str, dict[str, Any]]] = {}
    query = {"dryRun": "All", "fieldManager": _HELM, "force": "false"}
    for one in objects:
        try:
            path = _path(api, one, release.namespace, kinds)
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
        named = f"{text(one, 'kind')} {text(one, 'metadata', 'name')}"
        yield f"{named}: {', '.join(theirs)} had been set by {owner_name}, and is set as the chart says."


def _path(
    api: KubeClient, one: dict[str, Any], namespace: str, kinds: dict[str, dict[str, dict[str, Any]]]
) -> str | None:
    """The path of an object in the API, None when the API server does not know its kind. `kinds` keeps what it
    knows, by API version."""
    version, name = text(one, "apiVersion"), text(one, "metadata", "name")
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    if version not in kinds:
        known = entries(api.get(root), "resources")
        kinds[version] = {text(resource, "kind"): resource for resource in known if "/" not in text(resource, "name")}
    resource = kinds[version].get(text(one, "kind"))
    if resource is None or not name:
        return None
    inside = quote(text(one, "metadata", "namespace") or namespace, safe="")
    within = f"/namespaces/{inside}" if resource.get("namespaced") else ""
    return f"{root}{within}/{text(resource, 'name')}/{quote(name, safe='')}"
