"""A release as the cluster has it, and as helm would make it now."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lineal.deploy import reasons
from lineal.deploy.fields import at, entries, mapping
from lineal.deploy.release import Release
from lineal.errors import DeployFailed, Interrupted

if TYPE_CHECKING:
    from lineal.deploy.helm import Answer, Helm

_LIMIT = 120.0
UNREADABLE = "(unreadable)"


@dataclass(frozen=True, slots=True)
class Rendering:
    """What is asked of the cluster, in helm's words; it may hold secrets."""

    number: int
    status: str
    manifest: str
    hooks: tuple[tuple[str, str], ...]
    """Name and manifest of each."""

    @property
    def objects(self) -> list[dict[str, Any]]:
        return list(_objects([self.manifest]))

    @property
    def hook_objects(self) -> list[dict[str, Any]]:
        return list(_objects(text for _, text in self.hooks))

    @property
    def jobs(self) -> set[str]:
        """The names of hooks that are Jobs."""
        return {str(at(one, "metadata", "name")) for one in self.hook_objects if one.get("kind") == "Job"}

    @property
    def secrets(self) -> list[str]:
        """The values of its Secrets, as a program that was given them may print them."""
        found = [one for one in [*self.objects, *self.hook_objects] if one.get("kind") == "Secret"]
        plain = [str(value) for one in found for value in mapping(one, "stringData").values()]
        return [*plain, *(_decoded(value) for one in found for value in mapping(one, "data").values())]

    def same(self, other: Rendering) -> bool:
        """Comments and white space do not count; Helm 3 and 4 write them differently."""
        return self.objects == other.objects and self.hook_objects == other.hook_objects


def now(helm: Helm, release: Release) -> Rendering | None:
    """The last revision, None when there is no such release."""
    answer = helm.run(["status", *_where(release), "--output", "json", "--", release.name], limit=_LIMIT)
    if answer.code != 0 and any("release: not found" in line for line in answer.stderr):
        return None
    return _rendering(helm, release, answer, "helm status")


def wanted(helm: Helm, release: Release, flags: list[str]) -> Rendering:
    """What `helm upgrade` would make, with what the cluster can do and `lookup` finds; changes nothing there."""
    command = ["upgrade", "--install", "--reset-values", "--dry-run=server", "--output", "json"]
    answer = helm.run([*command, *flags], limit=release.timeout + _LIMIT)
    return _rendering(helm, release, answer, "helm upgrade")


def _rendering(helm: Helm, release: Release, answer: Answer, doing: str) -> Rendering:
    if answer.signals:
        raise Interrupted(f"Interrupted by {answer.signals[0].name} before {release} was changed.")
    if answer.code != 0:
        raise reasons.explain(answer.stderr, release, helm.environ, doing)
    try:
        found = json.loads(answer.stdout[max(answer.stdout.find("{"), 0) :])
        status = str(at(found, "info", "status"))
        hooks = tuple((str(hook.get("name")), str(hook.get("manifest"))) for hook in entries(found, "hooks"))
        return Rendering(int(found["version"]), status, str(found["manifest"]), hooks)
    except (ValueError, KeyError, TypeError, RecursionError):
        what = f"{doing} of {release} printed nothing that can be read."
        raise DeployFailed(what, remedy="Use Helm 3.17 or later, or 4.") from None


def _decoded(value: object) -> str:
    try:
        return base64.b64decode(str(value)).decode()
    except ValueError:
        return ""  # no text, so nobody prints it


def _objects(texts: Iterable[str]) -> Iterable[dict[str, Any]]:
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for text in texts:
        try:
            for document in yaml.load_all(text, Loader=loader):
                found = (
                    document.get("items") if isinstance(document, dict) and document.get("kind") == "List" else None
                )
                for one in found if isinstance(found, list) else [document]:
                    if isinstance(one, dict):
                        yield one
        except (yaml.YAMLError, ValueError, RecursionError):
            # Go's YAML knows what Python's does not; as a text it can still be compared.
            yield {"kind": UNREADABLE, "metadata": {"name": "text"}, "text": text}


def _where(release: Release) -> list[str]:
    context = ["--kube-context", release.kube_context] if release.kube_context else []
    return ["--namespace", release.namespace, *context]
