"""Logs in to an API server with lightkube: by token, certificate, exec plugin or a pod's service account."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

_IMPORTING = Lock()
_EXEC_V1 = "client.authentication.k8s.io/v1"
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class KubeUnavailable(Exception):
    """The API server cannot be used; the text says why, in a few words."""


def preload() -> None:
    """Import what `connect` and a client need: it takes a quarter of a second, which may be beside other work. One
    thread at a time: its modules import each other in a circle, and Python gives up when two threads meet there.
    Raises `ImportError`."""
    with _IMPORTING:
        import httpx2  # noqa: F401
        from lightkube.config import client_adapter, kubeconfig, models  # noqa: F401
        from lightkube.core import exceptions  # noqa: F401


def connect(environ: Mapping[str, str], context: str, timeout: float) -> tuple[httpx2.Client, str]:
    """A client of the API server of `context` (empty: the kubeconfig's own, or the cluster of this pod), and the
    namespace that goes with it. `timeout`: seconds for each request. Raises `KubeUnavailable`."""
    try:
        preload()
        import httpx2
        from lightkube.config import client_adapter
    except ImportError:
        raise KubeUnavailable('lightkube is not installed; run `pip install "lightkube<2"`') from None
    try:
        config = _config(environ, context)
        parameters = client_adapter.ConnectionParams(timeout=httpx2.Timeout(timeout))
        client: httpx2.Client = client_adapter.Client(config, parameters)
        return client, config.namespace
    except KubeUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 (lightkube checks nothing that it reads)
        raise KubeUnavailable(f"the kubeconfig cannot be used ({type(error).__name__})") from None


def _config(environ: Mapping[str, str], context: str) -> Any:
    """The configuration that kubectl and helm would use: the kubeconfig, else the service account of the pod."""
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.config.models import User

    named = [part for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if len(named) > 1:
        raise KubeUnavailable("KUBECONFIG names several files; name one that has the cluster, user and context")
    default = Path(environ.get("HOME") or Path.home()) / ".kube" / "config"
    file = Path(named[0]) if named else default
    if named and not file.is_file():
        raise KubeUnavailable(f"KUBECONFIG names {file}, which does not exist")
    if file.is_file():
        config = KubeConfig.from_file(file).get(context or None)
    elif _SERVICE_ACCOUNT.is_dir():
        config = KubeConfig.from_service_account(_SERVICE_ACCOUNT).get()
    else:
        raise KubeUnavailable("there is no kubeconfig, and this is no pod with a service account")
    # lightkube wants a user, also for a cluster that asks for none.
    user = (config and config.user) or User()
    if user.exec:
        _complete(user.exec)
    return config._replace(user=user) if config else config


def _complete(plugin: Any) -> None:
    """Have lightkube run the program of a kubeconfig (`exec`) as kubectl does: the program is told which version of
    the answer is wanted. lightkube knows no `v1`, of which it would read the same."""
    from lightkube.config.models import NameValue

    wanted = {"kind": "ExecCredential", "apiVersion": plugin.apiVersion, "spec": {"interactive": False}}
    plugin.env = [*(plugin.env or ()), NameValue(name="KUBERNETES_EXEC_INFO", value=json.dumps(wanted))]
    if plugin.apiVersion == _EXEC_V1:
        plugin.apiVersion = _EXEC_V1 + "beta1"
