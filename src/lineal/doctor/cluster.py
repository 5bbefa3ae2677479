"""The cluster that a deploy would go to: whether it answers, and lets this job keep a release there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lineal.doctor.finding import Finding
from lineal.text import printable

if TYPE_CHECKING:
    from lineal.kube.client import KubeClient
    from lineal.session.session import Session

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def cluster(session: Session) -> Iterator[Finding]:
    from lineal.kube import kubeconfig
    from lineal.kube.client import KubeClient, KubeRefused
    from lineal.kube.login import KubeUnavailable
    from lineal.session.settings import ReleaseSettings

    deploy = session.loaded.project.deploy
    if deploy is None:
        yield Finding("cluster", "note", "lineal.yaml has no `deploy`, so nothing needs one.")
        return
    environ, context = session.settings.environ, session.settings.kube_context.value or None
    where = kubeconfig.choose(environ, context)
    namespace = ReleaseSettings.of(session.settings, session.loaded, deploy).namespace.value
    try:
        client = KubeClient.of_helm(environ, context)
        try:
            yield from _asked(client, namespace, str(where))
        finally:
            client.close()
    except (KubeUnavailable, KubeRefused) as error:
        what = f"The cluster ({where}) cannot be used: {printable(str(error), 200)}."
        yield Finding("cluster", "problem", what, "Check --kube-context and KUBECONFIG, and the way there.")


def _asked(client: KubeClient, namespace: str, where: str) -> Iterator[Finding]:
    version = printable(str((client.get("/version") or {}).get("gitVersion", "?")), 40)
    yield Finding("cluster", "ok", f"{where} is Kubernetes {version}.")
    # Helm keeps its releases as secrets.
    wanted = {"namespace": namespace, "verb": "create", "resource": "secrets"}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
              "spec": {"resourceAttributes": wanted}}  # fmt: skip
    status: Any = (client.ask("POST", _REVIEWS, review) or {}).get("status")
    if isinstance(status, dict) and status.get("allowed") is True:
        yield Finding("release", "ok", f"A release may be kept in the namespace {namespace}.")
        return
    what = f"This job may not create secrets in the namespace {namespace}, in which helm keeps a release."
    yield Finding("release", "problem", what, "Bind its account to a role that may do what the chart needs there.")
