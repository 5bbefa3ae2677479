"""Whom a failure of helm is blamed on: the words are those of Helm 3 and 4 and of a real API server."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal.deploy.helm import errors
from lineal.errors import BadConfiguration, DeployFailed, LinealError, Unreachable
from tests.unit.deploy.conftest import MakeRelease

_JOB = (
    'Job.batch "shop-migrate" is invalid: spec.template: Invalid value: '
    '{"Spec":{"Env":[{"Name":"P","Value":"hunter2"}],'
    '"Volumes":null},"x":[1]}: field is immutable'
)
_SCHEMA = "Error: values don't meet the specifications of the schema(s) in the following chart(s):\n"


def explained(release: MakeRelease, said: str, doing: str = "helm upgrade") -> LinealError:
    return errors.explain(said.split("\n"), release(), {"HOME": "/nowhere"}, doing)


CASES = [
    ("Error: Kubernetes cluster unreachable: Get \"https://127.0.0.1:1/version\": getting credentials: exec: "
     "executable "
     "aws not found\n\nIt looks like you are trying to use a client-go credential plugin", BadConfiguration,
     "logs in by the program aws, which is not there. Install it"),
    ("Error: Kubernetes cluster unreachable: Get \"https://x/version\": getting credentials: exec: executable "
     "kubelogin "
     "failed with exit code 1", Unreachable, "The program kubelogin, by which the kubeconfig"),
    ('Error: no Auth Provider found for name "gcp"', BadConfiguration, "`auth-provider: gcp`"),
    ('Error: UPGRADE FAILED: cannot patch "settings" with kind ConfigMap: Internal error occurred: failed calling '
     'webhook "h.example.org": failed to call webhook: Post "https://nobody.hooks.svc:443/?timeout=2s": service '
     '"nobody" '
     "not found", DeployFailed, 'The webhook h.example.org (the Service nobody in namespace hooks) does not '
     'answer, so '
     'the cluster refuses release shop-prod in namespace shop: service "nobody" not found. Bring its pods up'),
    ('Error: UPGRADE FAILED: failed calling webhook "v.example.org": failed to call webhook: Post '
     '"https://v.ops.svc.cluster.local:443/validate?timeout=10s": dial tcp 10.0.0.9:443: connect: connection refused',
     DeployFailed, "(the Service v in namespace ops) does not answer"),
    ("Error: UPGRADE FAILED: unable to retrieve the complete list of server APIs: metrics.k8s.io/v1beta1: the "
     "server is "
     "currently unable to handle the request", DeployFailed, "An API of the cluster is down, metrics.k8s.io/v1beta1"),
    (_SCHEMA + 'shop:\nGet "https://schemas.example.invalid/chart.json": dial tcp: lookup schemas.example.invalid: '
     "no host", Unreachable, "The schema of the chart shop refers to https://schemas.example.invalid/chart.json, "
     "which cannot "
     "be read"),
    (_SCHEMA + 'shop:\nfailing loading "https://h/c.json": HTTP request failed for https://h/c.json: Get "https://h/c.json":'
     " dial tcp: no route", Unreachable, "Give `--skip-schema-validation`"),
    (_SCHEMA + "shop:\n- (root): Additional property global is not allowed\n", BadConfiguration,
     "The schema of the chart shop does not allow `global`: Lineal adds `global.lineal` to the values. Write "
     "`global: false`"),
    (_SCHEMA + "shop:\n- at '': additional properties 'more', 'global' not allowed\n", BadConfiguration,
     "`global: false`"),
    (_SCHEMA + "shop:\n- global: Additional property lineal is not allowed\n", BadConfiguration,
     "not allow `global.lineal`"),
    (_SCHEMA + "shop:\n- at '/global': additional properties 'lineal' not allowed\n", BadConfiguration,
     "`global: false`"),
    (_SCHEMA + "shop:\n- at '': additional properties 'other' not allowed\n", BadConfiguration, "Correct the values"),
    (_SCHEMA + "sub:\n- (root): Additional property global is not allowed\n", BadConfiguration,
     "which Helm gives to every subchart. Give `--skip-schema-validation`"),
    (f"Error: UPGRADE FAILED: cannot patch \"shop-migrate\" with kind Job: {_JOB}", DeployFailed,
     "changes a field that cannot be changed, spec.template of Job shop-migrate: Invalid value: …: field is "
     "immutable. "
     "Make it a hook (`helm.sh/hook: pre-upgrade`), or put something that changes into its name"),
    (f"Error: UPGRADE FAILED: server-side apply failed for object shop/shop-migrate batch/v1, Kind=Job: {_JOB}",
     DeployFailed, "`kubectl -n shop delete job shop-migrate`"),
    ("Error: UPGRADE FAILED: cannot patch \"db\" with kind StatefulSet: StatefulSet.apps \"db\" is invalid: spec: "
     "Forbidden: updates to statefulset spec for fields other than 'replicas', 'template' are forbidden",
     DeployFailed,
     "`kubectl -n shop delete statefulset db --cascade=orphan`"),
    ('Error: UPGRADE FAILED: cannot patch "web" with kind Service: Service "web" is invalid: '
     'spec.clusterIPs[0]: Invalid '
     'value: ["None"]: may not change once set', DeployFailed, "spec.clusterIPs[0] of Service web"),
    ('Error: UPGRADE FAILED: RoleBinding.rbac.authorization.k8s.io "r" is invalid: roleRef: Invalid value: '
     'rbac.RoleRef{APIGroup:"x", Kind:"Role"}: cannot change roleRef', DeployFailed, "delete rolebinding r"),
    ('Error: UPGRADE FAILED: StorageClass.storage.k8s.io "fast" is invalid: parameters: Forbidden: updates to '
     'parameters '
     "are forbidden.", DeployFailed, "parameters of StorageClass fast"),
    ('Error: UPGRADE FAILED: PersistentVolumeClaim "data" is invalid: spec: Forbidden: spec is immutable after '
     'creation '
     "except resources.requests", DeployFailed, "to delete it deletes its data"),
    ('Error: UPGRADE FAILED: Deployment.apps "a" is invalid: spec.x: Invalid value: {"l":"immutable-infra"}: must be '
     "a number", DeployFailed, "does not take a manifest"),
    ('Error: Unable to continue with install: ConfigMap "settings" in namespace "shop" exists and cannot be '
     'imported into '
     'the current release: invalid ownership metadata; label validation error: missing key '
     '"app.kubernetes.io/managed-by":'
     ' must be set to "Helm"', DeployFailed,
     "ConfigMap settings in namespace shop is there already, and belongs to no release. Delete it"),
    ('Error: unable to continue with install: ClusterRole "r" in namespace "" exists and cannot be imported into the '
     'current release: invalid ownership metadata; annotation validation error: key "meta.helm.sh/release-name" must '
     'equal "shop-prod": current value is "other"; annotation validation error: key '
     '"meta.helm.sh/release-namespace" must '
     'equal "shop": current value is "elsewhere"', DeployFailed,
     "ClusterRole r is there already, and belongs to the release other in namespace elsewhere."),
    ('Error: UPGRADE FAILED: unable to build kubernetes objects from current release manifest: resource mapping '
     'not found '
     'for name: "web" namespace: "" from "": no matches for kind "Ingress" in version '
     '"extensions/v1beta1"\nensure CRDs '
     "are installed first", DeployFailed, "has a Ingress of extensions/v1beta1, a kind that the cluster has no more"),
    ('Error: create: failed to create: Secret "sh.helm.release.v1.shop.v1" is invalid: data: Too long: may not '
     'be more '
     "than 1048576 bytes", DeployFailed, "The chart's largest files: deploy/chart/templates/api.yaml"),
    ("Error: create: failed to create: etcdserver: request is too large", DeployFailed, "at most 1 MiB"),
    ('Error: UPGRADE FAILED: cannot patch "d" with kind PersistentVolumeClaim: PersistentVolumeClaim "d" is invalid: '
     'spec: Forbidden: spec is immutable after creation except resources.requests for bound claims\n@@ -6,7 +6,7 @@\n'
     '-   "storage": "hunter2"', DeployFailed, "except resources.requests for bound claims. Give the object another"),
    (f'Error: ConfigMap "x" is invalid: metadata.labels: Invalid value: "{"a" * 78}": must be no more than 63 bytes',
     DeployFailed, "A value in metadata.labels of ConfigMap x is longer than the 63 characters of a label. For"),
    (f'Error: Deployment.apps "web" is invalid: [spec.template.labels: Invalid value: "{"a" * 78}@sha256:b": must be '
     'no more than 63 bytes, spec.template.labels: Invalid value: "a valid label must be', DeployFailed,
     "A value in spec.template.labels of Deployment web is longer"),
    ('Error: failed pre-install: warning: Hook pre-install shop/templates/b.yaml failed: 1 error occurred:\n\t* '
     'jobs.batch "second" already exists', DeployFailed, "Run `kubectl -n shop delete jobs second`, and add"),
    ('Error: 1 error occurred:\n\t* namespaces "there" not found', DeployFailed,
     "into the namespace there, and there is none."),
    ('Error: create: failed to create: namespaces "shop" not found', DeployFailed,
     "There is no namespace shop, and this account may not make it."),
]  # fmt: skip


@pytest.mark.parametrize(("said", "error", "words"), CASES)
def test_whom_a_failure_is_blamed_on(
    release: MakeRelease, chart: Path, said: str, error: type[LinealError], words: str
) -> None:
    (chart / "charts/sub").mkdir(parents=True)
    made = explained(release, said)
    assert type(made) is error, made
    assert words in str(made)
    assert "hunter2" not in str(made)
