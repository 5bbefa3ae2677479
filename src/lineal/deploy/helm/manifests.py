"""The manifests of a release: those that are deployed, and those that helm would deploy now."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lineal.deploy.helm.client import BEFORE_CHANGES, Answer, Helm, common_flags, ownership_flags
from lineal.deploy.helm.definitions import definitions
from lineal.deploy.helm.objects import objects_of
from lineal.deploy.release import Release
from lineal.errors import DeployFailed
from lineal.kube.json_fields import at, entries, mapping, text
from lineal.kube.objects import titled

_LIMIT = 120.0
"""Seconds for a command that reads."""
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
_BESIDE = ("PersistentVolumeClaim", "Pod", "Service")
_FIELDS = tuple(f"{{{{.Release.{name}}}}}" for name in ("Version", "Info.Status", "Info.Description", "Manifest"))
_OF_HOOK = ("{{.Name}}", "{{.Manifest}}")
_UNKNOWN_KIND = re.compile(r"The cluster knows no (\S+) of ")


@dataclass(frozen=True, slots=True)
class ReleaseManifests:
    """The objects and hooks of one revision, as helm tells them. They may hold secrets."""

    number: int
    status: str
    manifest: str
    hooks: tuple[tuple[str, str], ...]
    """Name and manifest of each."""
    restored: int | None = None
    """The revision that this one is a rollback to."""
    notes: str = ""
    """What the chart's NOTES.txt says, of a dry run."""

    @property
    def objects(self) -> list[dict[str, Any]]:
        return list(objects_of([self.manifest]))

    @property
    def hook_objects(self) -> list[dict[str, Any]]:
        """Without those for `helm test`, which no deploy runs."""
        return [one for one in self._all_hooks if not _is_test(one)]

    @property
    def _all_hooks(self) -> list[dict[str, Any]]:
        return list(objects_of(text for _, text in self.hooks))

    def without(self, gone: Sequence[dict[str, Any]]) -> ReleaseManifests:
        """The same without these of its objects."""
        if not gone:
            return self
        left = [one for one in self.objects if not any(equal(one, other) for other in gone)]
        return replace(self, manifest="\n---\n".join(json.dumps(one, default=str) for one in left))

    @property
    def whole(self) -> str:
        """All manifests, those of hooks too."""
        return "\n".join([self.manifest, *(text for _, text in self.hooks)])

    @property
    def namespaces(self) -> list[str]:
        """The namespaces that its objects name."""
        named = {at(one, "metadata", "namespace") for one in [*self.objects, *self.hook_objects]}
        return sorted(name for name in named if isinstance(name, str) and name)

    @property
    def kinds(self) -> set[str]:
        """The kinds of its objects and hooks."""
        return {text(one, "kind") for one in [*self.objects, *self.hook_objects]}

    @property
    def jobs(self) -> set[str]:
        """The names of hooks that are Jobs."""
        return {str(at(one, "metadata", "name")) for one in self.hook_objects if one.get("kind") == "Job"}

    @property
    def secrets(self) -> list[str]:
        """The values of its Secrets, plain and in base64: a program that gets them may print either."""
        found = [one for one in [*self.objects, *self._all_hooks] if one.get("kind") == "Secret"]
        plain = [str(value) for one in found for value in mapping(one, "stringData").values()]
        coded = [str(value) for one in found for value in mapping(one, "data").values()]
        return [*plain, *map(_coded, plain), *coded, *map(_decoded, coded)]

    def workloads(self, namespace: str) -> list[str]:
        """The Deployments, StatefulSets and DaemonSets, those of another namespace than this one with its name:
        `Deployment shop`, `DaemonSet agent in namespace agents`."""
        return [
            titled(text(one, "kind"), text(one, "metadata", "name"), text(one, "metadata", "namespace"), namespace)
            for one in self.objects
            if text(one, "apiVersion").startswith("apps/")
            and one.get("kind") in _WORKLOADS
            and text(one, "metadata", "name")
        ]

    @property
    def never_ready(self) -> bool:
        """Whether the legacy wait may wait for ever for something that Helm 4's own way does not wait for: a load
        balancer's address, which many clusters give to nobody, or a pod that ends."""
        return any(map(_never_ready, self.objects))

    def beside_workloads(self, *, never_ready: bool) -> list[dict[str, Any]]:
        """The objects that helm waits for beside workloads; with those that may never be ready if so asked."""
        found = [one for one in self.objects if one.get("apiVersion") == "v1" and one.get("kind") in _BESIDE]
        return [one for one in found if never_ready or not _never_ready(one)]

    @property
    def after_hooks(self) -> bool:
        """Whether hooks run after all is ready."""
        kinds = [text(one, "metadata", "annotations", "helm.sh/hook") for one in self.hook_objects]
        return any(word.strip().startswith("post-") for hook in kinds for word in hook.split(","))

    def same(self, other: ReleaseManifests) -> bool:
        """Whether both ask the same of the cluster. Comments and white space do not count: Helm 3 and 4 differ in
        them."""
        return equal(self.objects, other.objects) and equal(self.hook_objects, other.hook_objects)


def deployed(helm: Helm, release: Release, number: int | None = None) -> ReleaseManifests | None:
    """The manifests of the last revision, or of that `number`; None when there is no such release."""
    revision = [] if number is None else ["--revision", str(number)]
    # `helm status` of Helm 4 asks the cluster for all objects too, and fails where it has lost a kind.
    between = secrets.token_hex(16)
    template = between.join(_FIELDS) + f"{{{{range .Release.Hooks}}}}{between}" + between.join(_OF_HOOK) + "{{end}}"
    command = ["get", "all", *release.place_flags, *revision, "--template", template, "--", release.name]
    answer = helm.run(command, limit=_LIMIT)
    if answer.code != 0 and any("release: not found" in line for line in answer.stderr):
        return None
    parts = answer.or_raise(f"Reading {release}", helm.explains(release), state=BEFORE_CHANGES).split(between)
    if len(parts) < len(_FIELDS) or not parts[0].isdigit():
        raise _unreadable(answer, release)
    version, status, description, manifest = parts[: len(_FIELDS)]
    hooks = parts[len(_FIELDS) :]
    back = re.match(r"Rollback to (\d+)", description)
    restored = int(back[1]) if back else None
    return ReleaseManifests(
        int(version), status, manifest, tuple(zip(hooks[::2], hooks[1::2], strict=True)), restored
    )


def last_deployed(helm: Helm, release: Release) -> ReleaseManifests | None:
    """The manifests of the last revision that was deployed, None when none was."""
    command = ["history", *release.place_flags, "--max", "256", "--output", "json", "--", release.name]
    answer = helm.run(command, limit=_LIMIT)
    answer.or_interrupted(f"Reading {release}", BEFORE_CHANGES)
    try:
        found = [int(one["revision"]) for one in json.loads(answer.stdout or "[]") if one["status"] == "deployed"]
    except (ValueError, KeyError, TypeError):
        found = []
    return deployed(helm, release, max(found)) if found else None


def dry_run(helm: Helm, release: Release) -> ReleaseManifests:
    """The manifests that `helm upgrade` would deploy now. The cluster answers `lookup` and says what it can do;
    nothing is changed there.

    Of a first installation that brings the definitions of its kinds along (crds/), they are those that helm renders:
    the cluster does not know the kinds yet."""
    try:
        return _dry_run(helm, release)
    except DeployFailed as error:
        kind = _UNKNOWN_KIND.search(error.message)
        if kind is None or kind[1] not in {at(one, "spec", "names", "kind") for one, _ in definitions(release.chart)}:
            raise
        if deployed(helm, release) is None:
            return rendered(helm, release, 1, [])
        error.remedy = (
            "Helm installs crds/ with the first installation only: run `kubectl apply --server-side` on the chart's "
            "crds/, and deploy again."
        )
        raise


def _dry_run(helm: Helm, release: Release) -> ReleaseManifests:
    command = ["upgrade", "--install", "--reset-values", "--dry-run=server", "--output", "json"]
    flags = [*helm.apply_flags(release), *ownership_flags(release), *release.context_flags, *common_flags(release)]
    answer = helm.run([*command, *flags], limit=release.timeout + _LIMIT)
    return _read(helm, release, answer)


def _read(helm: Helm, release: Release, answer: Answer) -> ReleaseManifests:
    """What a dry run printed."""
    printed = answer.or_raise(f"Reading {release}", helm.explains(release), state=BEFORE_CHANGES)
    try:
        found = json.loads(printed[max(printed.find("{"), 0) :])
        status = str(at(found, "info", "status"))
        hooks = tuple((str(hook.get("name")), str(hook.get("manifest"))) for hook in entries(found, "hooks"))
        notes = str(at(found, "info", "notes") or "")
        # Helm leaves an empty manifest out: that of a chart with only hooks or crds/, or with all switched off.
        manifest = str(found.get("manifest") or "")
        return ReleaseManifests(int(found["version"]), status, manifest, hooks, notes=notes)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _unreadable(answer, release) from None


def _unreadable(answer: Answer, release: Release) -> DeployFailed:
    what = f"{answer.command} of {release} printed nothing that can be read."
    return DeployFailed(what, id="LN-6013", remedy="Use Helm 3.18.5 or later, or 4.")


def rendered(
    helm: Helm, release: Release, number: int, asked: Sequence[str] = ("--dry-run=server",)
) -> ReleaseManifests:
    """The manifests that `helm upgrade` would deploy, where it cannot be asked: before a first installation that
    brings its own definitions (crds/), and while another deploy goes on. By `asked` the cluster answers `lookup`,
    and must know every kind."""
    flags = [*asked, *(["--is-upgrade"] if number > 1 else []), *release.context_flags]
    answer = helm.run(["template", *flags, *common_flags(release)], limit=release.timeout + _LIMIT)
    printed = answer.or_raise(f"Reading {release}", helm.explains(release), state=BEFORE_CHANGES)
    texts = [text for text in re.split(r"^---$", printed, flags=re.MULTILINE) if text.strip()]
    hooks = tuple((str(index), text) for index, text in enumerate(texts) if any(map(_events, objects_of([text]))))
    plain = [text for index, text in enumerate(texts) if (str(index), text) not in hooks]
    return ReleaseManifests(number, "rendered", "---".join(["", *plain]), hooks)


def _never_ready(one: dict[str, Any]) -> bool:
    kind = one.get("kind")
    if kind == "Service":
        return bool(at(one, "spec", "type") == "LoadBalancer")
    return kind == "Pod" and at(one, "spec", "restartPolicy") in ("Never", "OnFailure")


def _events(one: dict[str, Any]) -> list[str]:
    """When a hook runs, as `pre-install`; empty for an object that is no hook."""
    said = at(one, "metadata", "annotations", "helm.sh/hook")
    return [event.strip() for event in said.split(",")] if isinstance(said, str) else []


def _is_test(one: dict[str, Any]) -> bool:
    events = _events(one)
    return bool(events) and all(event.startswith("test") for event in events)


def equal(one: Any, other: Any) -> bool:
    """Whether two values are the same to a cluster, which tells 1, 1.0 and True apart (Python does not)."""
    return _canonical(one) == _canonical(other)


def _canonical(value: Any) -> str:
    """The value as a text, equal for equal values. The cluster reads keys as texts, whatever YAML makes of them."""
    if isinstance(value, dict):
        parts = sorted((key if isinstance(key, str) else _canonical(key), _canonical(value[key])) for key in value)
        return "{" + ",".join(f"{json.dumps(key)}:{part}" for key, part in parts) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    return json.dumps(value, default=repr)


def _coded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def _decoded(value: object) -> str:
    try:
        return base64.b64decode(str(value)).decode()
    except ValueError:
        return ""  # it is no text, so no program prints it
