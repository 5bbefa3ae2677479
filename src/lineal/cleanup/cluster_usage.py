"""The stages that a Kubernetes cluster uses: digests and stage tags anywhere in its pods and in what makes pods."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from lineal.errors import Unreachable
from lineal.kube.client import FORBIDDEN, KubeClient, KubeRefused
from lineal.kube.login import KubeUnavailable
from lineal.store.tags import named

# A rollback goes back to a replica set or a controller revision.
KINDS = (
    "api/v1/pods",
    "api/v1/replicationcontrollers",
    "apis/apps/v1/deployments",
    "apis/apps/v1/replicasets",
    "apis/apps/v1/statefulsets",
    "apis/apps/v1/daemonsets",
    "apis/apps/v1/controllerrevisions",
    "apis/batch/v1/jobs",
    "apis/batch/v1/cronjobs",
)
_PAGE = 250
"""Objects of one page of a list."""
_PAGES = 10_000
_BIGGEST = 256 << 20
"""Bytes of one page."""
_TIMEOUT = 60.0
"""Seconds for one request."""


def in_use(context: str, environ: Mapping[str, str]) -> set[str]:
    """Digests and stage tags that the cluster uses. Raises `Unreachable` when a list cannot be read."""
    try:
        with closing(KubeClient.connect(environ, context, timeout=_TIMEOUT, biggest=_BIGGEST)) as api:
            return {name for kind in KINDS for name in _listed(api, kind)}
    except KubeUnavailable as problem:
        reason = str(problem)
    raise Unreachable(
        f"Nothing is deleted, because it cannot be told what the cluster of the context {context} uses: {reason}.",
        id="LN-8001",
        remedy="This job has to list pods and workloads in all namespaces; docs/cleanup.md has the role for it.",
    )


def _listed(api: KubeClient, kind: str) -> set[str]:
    found: set[str] = set()
    following = ""
    for _ in range(_PAGES):
        query = {"limit": str(_PAGE), **({"continue": following} if following else {})}
        data = _page(api, kind, query)
        found |= named(data)
        following = _next(data)
        if not following:
            return found
    raise KubeUnavailable(f"its list of {kind} has no end")


def _page(api: KubeClient, kind: str, query: Mapping[str, str]) -> bytes:
    try:
        return api.data(f"/{kind}", **query)
    except KubeRefused as error:
        what = kind.rpartition("/")[2]
        if error.status == FORBIDDEN:
            raise KubeUnavailable(f"this job may not list {what} in all namespaces") from None
        raise KubeUnavailable(f"the API server answers status {error.status} to a list of {what}") from None


def _next(data: bytes) -> str:
    """The token of the next page, empty when this is the last one."""
    try:
        answer: Any = json.loads(data)
        if not isinstance(answer["items"] or [], list):
            raise TypeError
        return str(answer["metadata"].get("continue") or "")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise KubeUnavailable("its answer is not that of a Kubernetes API server") from None
