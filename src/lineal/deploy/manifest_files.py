"""Manifests as files for whoever applies them from a directory: one for each object, with a name that depends on the
object alone."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from lineal.deploy.helm.objects import UNREADABLE, objects_of
from lineal.errors import DeployFailed
from lineal.kube.json_fields import at, mapping, text

KUSTOMIZATION = "kustomization.yaml"
_LONGEST = 200
"""Characters of a file's name before its ending."""
_STRANGE = re.compile(r"[^a-z0-9.\-]")
_LIKE_A_NUMBER = re.compile(r"[-+]?\.?[0-9][0-9a-zA-Z_+.:-]*|[yYnN]")
"""Texts that some reader of YAML takes for a number or a truth without quotes: `12e4567`, `0800`."""
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""Characters that only escapes keep: readers take some for the end of a line."""
_GLOBAL = {
    "": ("ComponentStatus", "Namespace", "Node", "PersistentVolume"),
    "admissionregistration.k8s.io": (
        "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration",
    ),
    "apiextensions.k8s.io": ("CustomResourceDefinition",),
    "apiregistration.k8s.io": ("APIService",),
    "cert-manager.io": ("ClusterIssuer",),
    "certificates.k8s.io": ("CertificateSigningRequest", "ClusterTrustBundle"),
    "external-secrets.io": ("ClusterExternalSecret", "ClusterSecretStore", "ClusterPushSecret"),
    "flowcontrol.apiserver.k8s.io": ("FlowSchema", "PriorityLevelConfiguration"),
    "gateway.networking.k8s.io": ("GatewayClass",),
    "karpenter.sh": ("NodeClaim", "NodePool"),
    "kyverno.io": ("ClusterCleanupPolicy", "ClusterPolicy"),
    "networking.k8s.io": ("IPAddress", "IngressClass", "ServiceCIDR"),
    "node.k8s.io": ("RuntimeClass",),
    "policy": ("PodSecurityPolicy",),
    "rbac.authorization.k8s.io": ("ClusterRole", "ClusterRoleBinding"),
    "resource.k8s.io": ("DeviceClass", "ResourceSlice"),
    "scheduling.k8s.io": ("PriorityClass",),
    "snapshot.storage.k8s.io": ("VolumeSnapshotClass", "VolumeSnapshotContent"),
    "storage.k8s.io": ("CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"),
    "trust.cert-manager.io": ("Bundle",),
}  # fmt: skip
"""Kinds without a namespace, by API group: those of Kubernetes, and some that many clusters have."""


def read(manifests: str) -> list[dict[str, Any]]:
    """The objects of manifests. Raises `DeployFailed` for what is no YAML that can be taken apart."""
    found = [one for one in objects_of([manifests]) if one]
    if any(one.get("kind") == UNREADABLE for one in found):
        what = "The manifests have YAML that cannot be taken apart into objects."
        raise DeployFailed(what, id="LN-6065", remedy="Write it as `kubectl` prints it, or use `--output DIR`.")
    return found


def with_namespace(objects: Sequence[dict[str, Any]], namespace: str) -> list[dict[str, Any]]:
    """The objects, those that belong into a namespace and name none in this one; and first, unless they have it
    themselves, the namespace."""
    clusterwide = _defined(objects)
    placed = [_placed(one, namespace) if _belongs(one, clusterwide) else one for one in objects]
    own = any(_kind(one) == ("", "Namespace") and at(one, "metadata", "name") == namespace for one in objects)
    return placed if own else [_namespace(namespace), *placed]


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _placed(one: dict[str, Any], namespace: str) -> dict[str, Any]:
    if text(one, "metadata", "namespace"):
        return one
    made = copy.deepcopy(one)
    about = {"name": None, **mapping(made, "metadata")}
    name = about.pop("name")
    made["metadata"] = {**({} if name is None else {"name": name}), "namespace": namespace, **about}
    return made


def _belongs(one: dict[str, Any], clusterwide: set[tuple[str, str]]) -> bool:
    """Whether an object is of a kind that is in a namespace; an unknown kind is taken for one."""
    group, kind = _kind(one)
    return kind not in _GLOBAL.get(group, ()) and (group, kind) not in clusterwide


def _defined(objects: Iterable[dict[str, Any]]) -> set[tuple[str, str]]:
    """The kinds without a namespace that definitions (CRDs) among the objects make."""
    return {
        (text(one, "spec", "group"), text(one, "spec", "names", "kind"))
        for one in objects
        if one.get("kind") == "CustomResourceDefinition" and at(one, "spec", "scope") == "Cluster"
    }


def _kind(one: dict[str, Any]) -> tuple[str, str]:
    """API group and kind."""
    group, slash, _version = text(one, "apiVersion").partition("/")
    return group if slash else "", text(one, "kind")


def files(objects: Iterable[dict[str, Any]], home: str) -> dict[str, str]:
    """File name -> YAML, sorted by name. `home` is the namespace of the release."""
    found: dict[str, str] = {}
    for one in objects:
        base, number = file_name(one, home), 1
        name = f"{base}.yaml"
        while name in found:  # two objects of one name: Jobs that get theirs from the cluster
            number += 1
            name = f"{base}-{number}.yaml"
        found[name] = written(one)
    return dict(sorted(found.items()))


def file_name(one: dict[str, Any], home: str) -> str:
    """`deployment-shop`; `certificate.cert-manager.io-shop` for a kind that is none of Kubernetes', and with the
    namespace behind it (`role-agent_agents`) when that is not `home`."""
    group, kind = _kind(one)
    foreign = f".{group}" if "." in group and not group.endswith(".k8s.io") else ""
    name = text(one, "metadata", "name") or text(one, "metadata", "generateName").rstrip("-")
    there = text(one, "metadata", "namespace")
    base = f"{_plain(kind + foreign)}-{_plain(name)}" + (f"_{_plain(there)}" if there not in ("", home) else "")
    if len(base) <= _LONGEST:
        return base
    return f"{base[: _LONGEST - 9]}-{_hash(base)}"


def _plain(word: str) -> str:
    """The word in characters that every file system takes. One that had to change gets a hash: two never meet."""
    low = word.lower()
    clean = _STRANGE.sub("-", low).strip(".-")
    return clean if clean == low and clean else f"{clean}-{_hash(word)}".lstrip("-")


def _hash(word: str) -> str:
    return hashlib.sha256(word.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def kustomization(names: Iterable[str]) -> str:
    """A kustomization.yaml that has these files."""
    lines = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization", "resources:"]
    return "\n".join([*lines, *(f"- {name}" for name in names)]) + "\n"


def written(one: Any) -> str:
    """An object as YAML: its own order of keys, and texts of several lines as such."""
    import yaml

    dumped: str = yaml.dump(one, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=10_000)
    return dumped


@cache
def _dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def represent(dumper: Any, value: str) -> Any:
        style = "|" if "\n" in value else "'" if _LIKE_A_NUMBER.fullmatch(value) else None
        if _UNSEEN.search(value):
            style = '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, represent)
    return Dumper


def document(objects: Iterable[dict[str, Any]]) -> str:
    """The objects as one text with `---` before each."""
    return "".join(f"---\n{written(one)}" for one in objects)
