"""Hooks that a run left in the cluster when it was killed: the next deploy would find them in its way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lineal.deploy.helm.client import Helm
from lineal.deploy.helm.objects import read_objects
from lineal.deploy.release import Release
from lineal.kube.json_fields import at

_LIMIT = 60.0
_POLICY = "helm.sh/hook-delete-policy"


def hooks_of(helm: Helm, release: Release, number: int) -> list[dict[str, Any]]:
    """The hooks of a revision that helm does not delete before it makes them again; none when it cannot tell."""
    command = ["get", "hooks", release.name, "--revision", str(number), *release.place_flags]
    answer = helm.run(command, limit=_LIMIT)
    found = read_objects(answer.stdout) if answer.code == 0 else []
    return [one for one in found if _stays(at(one, "metadata", "annotations", _POLICY))]


def _stays(policy: Any) -> bool:
    """By default, helm deletes a hook before it makes it again."""
    return isinstance(policy, str) and bool(policy.strip()) and "before-hook-creation" not in policy


def delete(helm: Helm, release: Release, hooks: Iterable[dict[str, Any]], *, running_only: bool) -> str:
    """Delete these as far as they are there; with `running_only`, only Jobs that have not ended: one that has may be
    looked at. Returns a sentence about it, empty for nothing."""
    from lineal.kube.client import KubeClient
    from lineal.kube.login import KubeUnavailable
    from lineal.kube.objects import KubeObjects, name_of

    wanted = list(hooks)
    if not wanted:
        return ""
    try:
        api = KubeClient.of_helm(helm.environ, release.kube_context)
    except KubeUnavailable:
        return ""
    objects = KubeObjects(api, release.namespace)
    if running_only:
        wanted = [one for one in wanted if objects.runs(one)]
    gone = [name_of(one) for one in wanted if objects.delete(one)]
    return f"Hooks that it left there have been deleted: {', '.join(gone)}." if gone else ""
