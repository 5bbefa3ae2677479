"""Failures of helm whose words blame the wrong one: the cluster, a template, the user. Tried before all others, on
the whole of what helm says, since the cause often stands at its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from lineal.deploy.helm.chart_archive import unpack
from lineal.deploy.release import Release
from lineal.errors import BadConfiguration, DeployFailed, LinealError, Location, Unreachable, missing_program
from lineal.kube import kubeconfig
from lineal.text import printable, size

Explain = Callable[[re.Match[str], str, Release, Mapping[str, str]], LinealError]
_LONGEST = 300
"""Characters of a reason that are shown."""
_LARGEST = 3
"""Files of a chart that are named when it is too large."""


def _program(matched: re.Match[str], _reason: str, release: Release, environ: Mapping[str, str]) -> LinealError:
    cluster = kubeconfig.choose(environ, release.kube_context)
    what = f"The kubeconfig ({cluster}) logs in by the program {printable(matched[1])}, which is not there."
    return BadConfiguration(
        what,
        id="LN-6046",
        remedy=missing_program(environ)
        or "Install it where this job runs, or use a kubeconfig with a token or a certificate.",
    )


def _program_failed(
    matched: re.Match[str], _reason: str, release: Release, environ: Mapping[str, str]
) -> LinealError:
    cluster = kubeconfig.choose(environ, release.kube_context)
    name, code = matched[1], matched[2]
    what = f"The program {printable(name)}, by which the kubeconfig ({cluster}) logs in, ended with {code}."
    return Unreachable(what, id="LN-6047", remedy="Run `kubectl get namespaces` in this job: it shows what it says.")


def _provider(matched: re.Match[str], _reason: str, release: Release, environ: Mapping[str, str]) -> LinealError:
    cluster = kubeconfig.choose(environ, release.kube_context)
    what = f"The kubeconfig ({cluster}) logs in by `auth-provider: {printable(matched[1])}`, which helm has no more."
    return BadConfiguration(what, id="LN-6046", remedy="Make it again with the tools of that cloud (`exec:`).")


def _webhook(matched: re.Match[str], _reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    url = re.search(r'"(https?://[^"]+)"', matched[2])
    host = urlsplit(url[1]).netloc if url else ""
    service = re.fullmatch(r"([^.]+)\.([^.]+)\.svc(?:\..*)?(?::\d+)?", host)
    where = f"the Service {service[1]} in namespace {service[2]}" if service else host or "no address"
    said = _short(re.sub(r'.*"https?://[^"]+": ', "", matched[2]))
    what = f"The webhook {printable(matched[1])} ({where}) does not answer, so the cluster refuses {release}: {said}"
    return DeployFailed(
        what, id="LN-6048", remedy="Bring its pods up again, or ask those who installed it. The cluster itself is up."
    )


def _api_down(matched: re.Match[str], _reason: str, _release: Release, _environ: Mapping[str, str]) -> LinealError:
    what = f"An API of the cluster is down, {printable(matched[1])}: {_short(matched[2])}"
    return DeployFailed(
        what,
        id="LN-6048",
        remedy="See `kubectl get apiservices`, and bring it up or remove it. The cluster itself is up.",
    )


def _web_schema(matched: re.Match[str], _reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    what = (
        f"The schema of the chart {printable(matched[1])} refers to {printable(matched[2])}, which cannot be read: "
    )
    return Unreachable(
        what + _short(matched[3].rpartition('": ')[2]), id="LN-6049", place=Location(release.chart.name),
        remedy="Give `--skip-schema-validation`, or let this machine reach it.",
    )  # fmt: skip


def _no_global(matched: re.Match[str], _reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    chart = printable((re.findall(r"(\S+): - ", matched[1]) or ["?"])[-1])
    key = next(found for found in matched.groups()[1:] if found)
    what = f"The schema of the chart {chart} does not allow `{'global.lineal' if key == 'lineal' else key}`"
    if _name(release) not in (chart, ""):
        what = f"{what}, which Helm gives to every subchart."
        return BadConfiguration(
            what, id="LN-6019", place=Location(release.chart.name), remedy="Give `--skip-schema-validation`."
        )
    what = f"{what}: Lineal adds `global.lineal` to the values."
    return BadConfiguration(
        what, id="LN-6050", place=Location(release.chart.name),
        remedy="Write `global: false` under `deploy` in lineal.yaml.",
    )  # fmt: skip


def _name(release: Release) -> str:
    """The name of the chart itself, empty when it is not at hand."""
    import yaml

    path = Path(release.chart.location)
    try:
        if path.is_dir():
            about = yaml.safe_load((path / "Chart.yaml").read_bytes())
        else:
            about = yaml.safe_load(unpack(path.read_bytes(), "")[1]["Chart.yaml"])
    except (OSError, DeployFailed, yaml.YAMLError):
        return ""
    return str(about.get("name")) if isinstance(about, dict) else ""


def _too_large(_matched: re.Match[str], _reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    files = sorted(_sizes(release).items(), key=lambda one: -one[1])[:_LARGEST]
    named = ", ".join(f"{printable(path)} ({size(count)})" for path, count in files)
    what = f"Helm keeps a chart and its manifests, compressed, in a Secret of at most 1 MiB, and {release} is larger."
    what = f"{what} The chart's largest files: {named}." if named else what
    return DeployFailed(what, id="LN-6051", remedy="Name those that templates do not need in .helmignore.")


def _sizes(release: Release) -> dict[str, int]:
    """The size of each file of the chart; none for a chart that is in a registry."""
    location, name = Path(release.chart.location), release.chart.name
    if release.chart.is_directory:
        files = (path for path in location.rglob("*") if path.is_file())
        return {f"{name}/{path.relative_to(location).as_posix()}": path.stat().st_size for path in files}
    if not location.is_file():
        return {}
    return {path: len(data) for path, data in unpack(location.read_bytes(), name)[1].items()}


def _immutable(matched: re.Match[str], _reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    kind, name = matched["kind"], matched["name"]
    field = matched["field"] or "spec"
    what = (
        f"{str(release).capitalize()} changes a field that cannot be changed, {printable(field)} of {kind} "
        f"{printable(name)}: {_short(matched['said'])}"
    )
    return DeployFailed(what, id="LN-6026", remedy=_way_out(kind, name, release))


def _way_out(kind: str, name: str, release: Release) -> str:
    delete = f"`kubectl -n {release.namespace} delete {kind.lower()} {printable(name)}`"
    if kind == "Job":
        return (
            "Make it a hook (`helm.sh/hook: pre-upgrade`), or put something that changes into its name, such as "
            f"`{{{{ .Values.global.lineal.commit | trunc 12 }}}}`; once, {delete} helps too."
        )
    if kind == "StatefulSet":
        return f"Run {delete[:-1]} --cascade=orphan`, which keeps its pods and volumes, and deploy again."
    if kind in ("PersistentVolumeClaim", "PersistentVolume"):
        return "Give the object another name, or leave the field as it was: to delete it deletes its data."
    return f"Give the object another name, or delete it in the cluster first ({delete}), and deploy again."


def _taken(matched: re.Match[str], reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    owner = re.search(r'"meta\.helm\.sh/release-name" must equal "[^"]*": current value is "([^"]*)"', reason)
    place = re.search(r'"meta\.helm\.sh/release-namespace" must equal "[^"]*": current value is "([^"]*)"', reason)
    whose = "no release"
    if owner or place:
        of = owner[1] if owner else release.name
        whose = f"the release {of} in namespace {place[1] if place else release.namespace}"
    where = f" in namespace {matched[3]}" if matched[3] else ""
    what = f"{matched[1]} {printable(matched[2])}{where} is there already, and belongs to {printable(whose)}."
    return DeployFailed(
        what, id="LN-6052",
        remedy="Delete it, give it another name, or take it over with `--take-ownership`.",
    )  # fmt: skip


def _removed(matched: re.Match[str], _reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    return removed(matched[1], matched[2], release)


def removed(kind: str, version: str, release: Release) -> DeployFailed:
    """The error for a release with objects of a kind that the cluster has no more."""
    what = (
        f"What is deployed of {release} has a {kind} of {version}, a kind that the cluster has no more, and helm "
        "does not go on from there."
    )
    remedy = (
        "Install its definition (CRD) again; for an API that Kubernetes removed, run the plugin `helm mapkubeapis "
        f"{release.name} --namespace {release.namespace}`. Then run it again."
    )
    return DeployFailed(what, id="LN-6053", remedy=remedy)


def without_dumps(text: str) -> str:
    """The text without the objects in it, which may be pages of JSON, with secrets in them."""
    kept, depth = [], 0
    for number, char in enumerate(text):
        opens = char == "{" or (char == "[" and (depth > 0 or text[number + 1 : number + 2] in ('"', "{")))
        if opens and not depth:
            kept.append("…")
        depth += opens
        if not depth:
            kept.append(char)
        elif char in "}]":
            depth -= 1
    return "".join(kept)


def _short(text: str) -> str:
    """The beginning, without the diff of two objects that the API server may put behind it."""
    return f"{printable(re.sub(r'@@ -[0-9].*', '', text, flags=re.DOTALL).strip(), _LONGEST).rstrip('. ]')}."


def _too_long(matched: re.Match[str], reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    owner = re.search(r'(\w+)(?:\.[\w.]+)? "([^"]+)" is invalid', reason)
    whose = f"{owner[1]} {printable(owner[2])}" if owner else str(release)
    what = f"A value in {matched['field']} of {whose} is longer than the 63 characters of a label."
    remedy = (
        "For the tag of an image give `images.NAME.short` beside its digest, publish it under a tag of its own "
        "(docs/publish.md), or have the chart cut it."
    )
    return DeployFailed(what, id="LN-6057", remedy=remedy)


def _hook_left(matched: re.Match[str], _reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    kind, name = matched["kind"].partition(".")[0], printable(matched["name"])
    what = f"The hook {name} ({printable(matched['file'])}) is there already, from an earlier run of {release}."
    remedy = (
        f"Run `kubectl -n {release.namespace} delete {kind} {name}`, and add `before-hook-creation` to its "
        "`helm.sh/hook-delete-policy`."
    )
    return DeployFailed(what, id="LN-6058", remedy=remedy)


def _no_namespace(matched: re.Match[str], _reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    what = f"The chart puts objects of {release} into the namespace {printable(matched[1])}, and there is none."
    remedy = "Make it first, or correct the value that names it."
    if matched[1] == release.namespace:
        what = f"There is no namespace {release.namespace}, and this account may not make it."
        remedy = "Make it first, or allow the account to."
    return DeployFailed(what, id="LN-6060", remedy=remedy)


_IMMUTABLE = (
    r"immutable|(?:may|can) ?not (?:be )?(?:chang|unset|updat)|may not change fields other than|"
    r"updates? to [^:]{1,200}? (?:for fields other than|(?:is|are) forbidden)"
)
_OF_SCHEMA = r"schema\(s\) in the following chart\(s\): "
FIRST: tuple[tuple[str, Explain], ...] = (
    (r"exec: executable (\S+) not found", _program),
    (r"exec: executable (\S+) failed with exit code (\d+)", _program_failed),
    (r'no auth provider found for name "([^"]+)"', _provider),
    (r'failed calling webhook "([^"]+)": (.*)', _webhook),
    (r"conversion webhook for (\S+?),? .*?failed: (.*)", _webhook),
    (r"unable to retrieve the complete list of server APIs: (\S+): (.*)", _api_down),
    (_OF_SCHEMA + r'([^:\s]+):[^-]*?(?:Get|loading) "([^"]+)": (.*)', _web_schema),
    (
        _OF_SCHEMA + r"(.*?)(?:\(root\): Additional property (global)|at '': additional properties [^-]*?'(global)'|"
        r"global: Additional property (lineal)|at '/global': additional properties [^-]*?'(lineal)')",
        _no_global,
    ),
    (
        r'Secret "sh\.helm\.release\.v1\.[^"]+" is invalid: data: Too long|etcdserver: request is too large|'
        r"Request entity too large: limit is",
        _too_large,
    ),
    (
        r'(?P<kind>[A-Z]\w+)(?:\.[\w.]+)? "(?P<name>[^"]+)" is invalid: \[?(?:(?P<field>[\w.\[\]]+): )?'
        rf"(?P<said>.*?(?:{_IMMUTABLE}).*)",
        _immutable,
    ),
    (r'(\w+) "([^"]+)" in namespace "([^"]*)" exists and cannot be imported', _taken),
    (r"(?P<field>[\w.]*labels): Invalid value: .*?: must be no more than 63 (?:bytes|characters)", _too_long),
    (r'Hook \S+ (?P<file>\S+) failed: .*?(?P<kind>\S+) "(?P<name>[^"]+)" already exists', _hook_left),
    (r'namespaces "([^"]+)" not found', _no_namespace),
    (
        r"(?:from current release manifest|from the current release|objects? for delet\w+).*?no matches for kind "
        r'"([^"]+)" in version "([^"]+)"',
        _removed,
    ),
)
