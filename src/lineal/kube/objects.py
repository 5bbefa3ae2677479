"""Any object of a manifest in the cluster: where it is, whether it is there, its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from lineal.kube.client import KubeClient, KubeRefused, path
from lineal.kube.json_fields import at, entries, text
from lineal.kube.login import KubeUnavailable


@dataclass(slots=True)
class KubeObjects:
    """What the API server does not answer counts as unknown: nothing here raises."""

    api: KubeClient
    namespace: str
    """For objects that name none."""
    _paths: dict[str, dict[str, tuple[str, bool]] | None] = field(default_factory=dict)
    """By API version and kind: the word in paths, and whether an object of it is in a namespace."""

    def path(self, one: dict[str, Any]) -> str | None:
        """The path of an object, None for one without a name, or of a kind that the cluster does not know."""
        version, name = str(one.get("apiVersion")), at(one, "metadata", "name")
        word, inside = (self._kinds(version) or {}).get(str(one.get("kind")), ("", False))
        if not word or not isinstance(name, str):
            return None
        group = f"apis/{version}" if "/" in version else f"api/{version}"
        if inside:
            return path(group, str(at(one, "metadata", "namespace") or self.namespace), word, name)
        return f"/{group}/{word}/{quote(name, safe='')}"

    def served(self, one: dict[str, Any]) -> bool | None:
        """Whether the cluster knows its kind, None when it does not say."""
        known = self._kinds(str(one.get("apiVersion")))
        return None if known is None else str(one.get("kind")) in known

    def delete(self, one: dict[str, Any]) -> bool:
        """Delete an object with all that it owns. False when it was not there, or stays."""
        where = self.path(one)
        try:
            return (
                where is not None
                and self.api.ask("DELETE", where, query={"propagationPolicy": "Background"}) is not None
            )
        except (KubeRefused, KubeUnavailable):
            return False

    def runs(self, one: dict[str, Any]) -> bool:
        """Whether it is a Job that has not ended."""
        where = self.path(one) if one.get("kind") == "Job" else None
        try:
            found = self.api.get(where) if where else None
        except (KubeRefused, KubeUnavailable):
            return False
        ended = {
            str(one.get("type")) for one in entries(found, "status", "conditions") if one.get("status") == "True"
        }
        return found is not None and not ended & {"Complete", "Failed"}

    def _kinds(self, version: str) -> dict[str, tuple[str, bool]] | None:
        if version not in self._paths:
            try:
                found = self.api.get(f"/apis/{version}" if "/" in version else f"/api/{version}")
            except (KubeRefused, KubeUnavailable):
                self._paths[version] = None
                return None
            self._paths[version] = {
                str(one.get("kind")): (str(one.get("name")), one.get("namespaced") is True)
                for one in entries(found, "resources")
                if "/" not in str(one.get("name"))
            }
        return self._paths[version]


def titled(kind: str, name: str, namespace: str, home: str) -> str:
    """The name of an object for people, with its namespace when that is another one than `home`."""
    return f"{kind} {name}" + (f" in namespace {namespace}" if namespace not in ("", home) else "")


def name_of(one: dict[str, Any]) -> str:
    return f"{text(one, 'kind')} {text(one, 'metadata', 'name')}"
