"""What a Kubernetes cluster uses: every digest and stage tag that its pods, or what makes pods, name anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from lineal.errors import Unreachable
from lineal.lock.holder import tidy
from lineal.lock.kubernetes import connect
from lineal.lock.leased import LockFailed

if TYPE_CHECKING:
    import httpx2

# Replica sets and controller revisions are what a rollback goes back to.
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
_NAMED = re.compile(rb"sha256:[0-9a-f]{64}|(?<![0-9a-f])[0-9a-f]{64}-[0-9]{13}(?![0-9])")
_PAGE = 250
_PAGES = 10_000
_BIGGEST = 256 << 20
_TIMEOUT = 60.0


def in_use(context: str, environ: Mapping[str, str]) -> set[str]:
    """Digests and stage tags; more than are images, which keeps too much rather than too little. Raises `Unreachable`
    when anything cannot be listed."""
    try:
        client, _ = connect(environ, context, _TIMEOUT)
        with client:
            return {name for kind in KINDS for name in _listed(client, kind)}
    except LockFailed as problem:
        reason = str(problem)
    raise Unreachable(
        f"Nothing is deleted, because it cannot be told what the cluster of the context {context} uses: {reason}.",
        remedy="This job has to list pods and workloads in all namespaces; docs/cleanup.md has the role for it.",
    )


def _listed(client: httpx2.Client, kind: str) -> set[str]:
    found: set[str] = set()
    following = ""
    for _ in range(_PAGES):
        query = {"limit": _PAGE, **({"continue": following} if following else {})}
        data = _get(client, f"/{kind}?{urlencode(query)}", kind.rpartition("/")[2])
        found |= {name.decode() for name in _NAMED.findall(data)}
        following = _next(data)
        if not following:
            return found
    raise LockFailed(f"its list of {kind} has no end")


def _get(client: httpx2.Client, path: str, what: str) -> bytes:
    import httpx2
    from lightkube.core.exceptions import ConfigError

    data = bytearray()
    try:
        with client.stream("GET", path) as response:
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > _BIGGEST:
                    raise LockFailed("its answer is not that of a Kubernetes API server")
    except ConfigError as error:
        raise LockFailed(tidy(str(error))) from None
    except (httpx2.HTTPError, OSError) as error:
        raise LockFailed(f"{client.base_url.host} cannot be reached ({type(error).__name__})") from None
    if response.status_code == 403:
        raise LockFailed(f"this job may not list {what} in all namespaces")
    if response.status_code != 200:
        raise LockFailed(f"the API server answers status {response.status_code} to a list of {what}")
    return bytes(data)


def _next(data: bytes) -> str:
    """The token of the next page, empty when this is the last one."""
    try:
        answer: Any = json.loads(data)
        if not isinstance(answer["items"] or [], list):
            raise TypeError
        return str(answer["metadata"].get("continue") or "")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise LockFailed("its answer is not that of a Kubernetes API server") from None
