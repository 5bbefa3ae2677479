"""Explains a failure of helm: its own words become one of our errors, with the place in the commit and a remedy.

Helm 3 and 4 use the same words for most things; where they differ, both wordings are here (the tests run both)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from lineal.deploy.helm import yaml_errors
from lineal.deploy.helm.refusals import FIRST, without_dumps
from lineal.deploy.release import Release
from lineal.errors import BadConfiguration, DeployFailed, LinealError, Location, Unreachable
from lineal.kube import kubeconfig
from lineal.text import did_you_mean, printable

_NOISE = re.compile(r"^(Use --debug flag|level=|WARNING: |I\d{4} |W\d{4} |E\d{4} |coalesce\.go|\d{4}/\d\d/\d\d )")
_AT = re.compile(
    r"(?P<file>[\w.+-]+/(?:charts/[\w.+-]+/)*(?:templates/[^\s:()]+|[\w.-]+\.(?:ya?ml|json)))(?::(?P<line>\d+))?"
)
_URL = re.compile(r'"(https?://[^"]+)"')
TIMED_OUT = "context deadline exceeded|timed out waiting|would exceed context deadline"
"""The words of helm when its time-out ends."""
_LIMIT = 1000
"""Characters of a reason that are kept."""
_WHOLE = 50_000
"""Characters of a reason that are searched for what is behind it."""


def explain(stderr: Sequence[str], release: Release, environ: Mapping[str, str], doing: str) -> LinealError:
    """The error for the lines that helm printed. `doing` is the command, for a failure that is not recognised."""
    whole = reason_of(stderr, _WHOLE)
    for values in release.values:
        whole = whole.replace(str(values.path), values.name)
    if release.chart.is_directory:
        whole = whole.replace(release.chart.location, release.chart.name)
    whole = without_dumps(_PREFIX.sub("", whole) if doing == "helm upgrade" else whole)
    for pattern, make in FIRST:
        matched = re.search(pattern, whole, re.IGNORECASE | re.DOTALL)
        if matched is not None:
            return make(matched, whole, release, environ)
    reason = printable(whole, _LIMIT)
    for pattern, make in _KNOWN:
        matched = re.search(pattern, reason, re.IGNORECASE | re.DOTALL)
        if matched is not None:
            return make(matched, reason, release, environ)
    if not reason:
        return DeployFailed(
            f"{doing} failed without saying why.", id="LN-6033", remedy="Run it again with `--debug`."
        )
    return DeployFailed(
        f"{doing} of {release} failed: {sentence(reason)}", id="LN-6033", remedy="Correct what helm names."
    )


def reason_of(stderr: Sequence[str], limit: int = _LIMIT) -> str:
    """The text after `Error:`, on one line; all lines when none begins so."""
    lines = [line.strip() for line in stderr]
    starts = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
    if starts:
        lines = [lines[starts[-1]].removeprefix("Error: "), *lines[starts[-1] + 1 :]]
    kept = [line for line in lines if line and not _NOISE.match(line)]
    return printable(" ".join(kept), limit)


_PREFIX = re.compile(r"^(UPGRADE FAILED: |INSTALLATION FAILED: )?(1 error occurred: \* )?")


def sentence(text: str) -> str:
    """The text with one full stop at its end."""
    return f"{text.rstrip('. ')}."


_Explain = Callable[[re.Match[str], str, Release, Mapping[str, str]], LinealError]


def _no_context(matched: re.Match[str], _reason: str, _release: Release, environ: Mapping[str, str]) -> LinealError:
    cluster = kubeconfig.choose(environ, matched.group(1))
    if not cluster.files:
        wanted = ", ".join(str(file) for file in cluster.wanted)
        what = f"There is no Kubernetes context {matched.group(1)}, because there is no kubeconfig at {wanted}."
        return BadConfiguration(what, id="LN-6020", remedy="Set KUBECONFIG to the file that has it.")
    where = ", ".join(str(file) for file in cluster.files)
    remedy = did_you_mean(matched.group(1), cluster.known, owner="It has")
    return BadConfiguration(
        f"There is no Kubernetes context {matched.group(1)} in {where}.", id="LN-6020", remedy=remedy
    )


def _unreachable(matched: re.Match[str], reason: str, release: Release, environ: Mapping[str, str]) -> LinealError:
    cluster = kubeconfig.choose(environ, release.kube_context)
    url = _URL.search(reason)
    cause = sentence(_cause(matched.group(1)))
    if "credentials" in cause or "nauthorized" in cause:
        what = f"The Kubernetes cluster refused helm's credentials ({cluster}): {cause}"
        return Unreachable(what, id="LN-6022", remedy="Renew the credentials in the kubeconfig.")
    host = f" at {urlsplit(url.group(1)).netloc}" if url else ""
    what = f"helm could not reach the Kubernetes cluster{host} ({cluster}): {cause}"
    if cluster.files:
        remedy = (
            "Check that the cluster is up, and the server's address in the kubeconfig (or give `--kube-context`)."
        )
    else:
        wanted = ", ".join(str(file) for file in cluster.wanted)
        remedy = f"Set KUBECONFIG to a kubeconfig; there is none at {wanted}."
    return Unreachable(what, id="LN-6021", remedy=remedy)


def _cause(text: str) -> str:
    """The end of `Get "https://…": dial tcp 10.0.0.1:6443: connect: connection refused`, the part for people."""
    text = re.sub(r'^\w+ "[^"]*": ', "", text.strip())
    text = re.sub(r"^dial tcp( [\w.:\[\]-]+)?: ", "", text)
    return text.removeprefix("connect: ").removeprefix("i/o ")


def _forbidden(_matched: re.Match[str], reason: str, release: Release, environ: Mapping[str, str]) -> LinealError:
    cluster = kubeconfig.choose(environ, release.kube_context)
    what = f"The Kubernetes cluster refused a request for {release} ({cluster}): {sentence(reason)}"
    return Unreachable(
        what, id="LN-6023", remedy="Give the user of that context the permission, or use another context."
    )


def _refused(_matched: re.Match[str], reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    what = f"A rule of the cluster refuses something of {release}: {sentence(reason)}"
    return DeployFailed(what, id="LN-6024", remedy="Correct it in the chart, or ask those who set that rule.")


def _quota(_matched: re.Match[str], reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    what = f"The quota of the namespace {release.namespace} is used up: {sentence(reason)}"
    return DeployFailed(what, id="LN-6025", remedy="Raise the quota, or ask for less.")


def _immutable(_matched: re.Match[str], reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    what = f"{str(release).capitalize()} changes a field that cannot be changed: {sentence(reason)}"
    return DeployFailed(what, id="LN-6026", remedy="Give the object another name, or delete it in the cluster first.")


def _no_kind(matched: re.Match[str], _reason: str, _release: Release, _environ: Mapping[str, str]) -> LinealError:
    what = f"The cluster knows no {matched.group(1)} of {matched.group(2)}: its definition (CRD) is not installed."
    return DeployFailed(what, id="LN-6027", remedy="Install it first, or put it into the chart's crds/ directory.")


def _terminating(_matched: re.Match[str], _reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    what = f"The namespace {release.namespace} is being deleted, and nothing can be deployed to it."
    return DeployFailed(what, id="LN-6028", remedy="Wait until it is gone, or give another `--namespace`.")


def _invalid(_matched: re.Match[str], reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    what = f"The cluster does not take a manifest of {release}: {sentence(reason)}"
    return DeployFailed(what, id="LN-6029", remedy="Correct the template, or the value that it gets.")


def _chart_registry(
    _matched: re.Match[str], reason: str, release: Release, _environ: Mapping[str, str]
) -> LinealError:
    what = f"helm could not fetch the chart {release.chart.name}: {sentence(reason)}"
    return Unreachable(
        what, id="LN-6009", remedy="Check the reference, the registry, and `docker login` (or `helm registry login`)."
    )


def _busy(_matched: re.Match[str], _reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    what = f"Another helm is changing {release}, or was killed while it did."
    again = f"`helm rollback {release.name} -n {release.namespace}` (`helm uninstall` after a first installation)"
    return DeployFailed(
        what, id="LN-6030", remedy=f"Wait for it; if no job is deploying, run {again} and deploy again."
    )


def _never_deployed(
    _matched: re.Match[str], _reason: str, release: Release, _environ: Mapping[str, str]
) -> LinealError:
    what = f"All earlier installations of {release} failed, and helm upgrades nothing that never worked."
    return DeployFailed(
        what, id="LN-6031", remedy=f"Run `helm uninstall {release.name} -n {release.namespace}` and deploy again."
    )


def _not_ready(_matched: re.Match[str], reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    what = f"{str(release).capitalize()} was not ready within {release.timeout:g} s ({reason.rstrip('. ')})."
    return DeployFailed(
        what, id="LN-6032", remedy=f"See `kubectl -n {release.namespace} get pods,events`, or raise `--timeout`."
    )


def _schema(matched: re.Match[str], _reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    found = re.split(r"\s+- ", " " + matched.group(1).strip())
    chart, problems = found[0].strip().rstrip(":"), [problem.strip() for problem in found[1:]]
    what = f"The values do not fit the schema of the chart {chart}: {'; '.join(problems)}."
    return BadConfiguration(
        what, id="LN-6019", place=Location(release.chart.name), remedy="Correct the values, or values.schema.json."
    )


def _dependencies(matched: re.Match[str], _reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    what = f"The chart's dependencies are not in its charts/ directory: {sentence(matched.group(1))}"
    remedy = "Commit charts/, or commit the lock file that `helm dependency update` writes."
    return DeployFailed(what, id="LN-6015", place=Location(f"{release.chart.name}/Chart.yaml"), remedy=remedy)


def _values_file(matched: re.Match[str], reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    name, said = matched.group(1), reason[matched.end() :]
    file = next((values.path for values in release.values if values.name == name), None)
    # A rendered template's lines are not the file's.
    line = None if name.endswith(".j2") else yaml_errors.line(said, file)
    what = f"helm cannot read the values: {sentence(yaml_errors.reason(said))}"
    return BadConfiguration(what, id="LN-6004", place=Location(name, line), remedy=yaml_errors.remedy(said))


def _set_flag(matched: re.Match[str], _reason: str, _release: Release, _environ: Mapping[str, str]) -> LinealError:
    what = f"helm cannot read a `--set`: {sentence(matched.group(1))}"
    return BadConfiguration(
        what, id="LN-6018", remedy="Write `--set key.path=value`; escape commas and dots with a backslash."
    )


def _template(_matched: re.Match[str], reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    at = _AT.search(reason)
    place = None if at is None else _in_commit(at, release)
    said = re.sub(r"^(execution error|parse error) at \([^)]*\): |^template: \S+: |^\S+/\S+:\d+:\d+ ", "", reason)
    remedy = "Correct the template, or give the value that it needs." if "executing" in said else "Correct the chart."
    if reason.startswith("execution error at"):
        remedy = "The chart itself asks for this: give the value."
        if at is not None and _asks_for_apis(at, release):
            remedy = "The chart asks for an API: name those of the cluster with `--api-versions`, or give the value."
    return DeployFailed(f"helm cannot render the chart: {sentence(said)}", id="LN-6017", place=place, remedy=remedy)


def _asks_for_apis(at: re.Match[str], release: Release) -> bool:
    """Whether the template looks at what the cluster can do, which `render` cannot know."""
    file = Path(release.chart.location, at.group("file").partition("/")[2])
    return file.is_file() and "APIVersions" in file.read_text(errors="replace")


def _in_commit(at: re.Match[str], release: Release) -> Location:
    """Helm's paths start with the chart's name; ours with its directory."""
    line = at.group("line")
    file = at.group("file")
    if release.chart.is_directory:
        file = f"{release.chart.name}/{file.partition('/')[2]}"
    return Location(file, None if line is None else int(line))


def _chart_file(matched: re.Match[str], reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    name, said = matched.group(1), reason[matched.end() :]
    line = yaml_errors.line(said, Path(release.chart.location, name) if release.chart.is_directory else None)
    what = f"helm cannot read the chart: {sentence(yaml_errors.reason(said))}"
    place = Location(f"{release.chart.name}/{name}", line)
    return DeployFailed(what, id="LN-6017", place=place, remedy=yaml_errors.remedy(said))


def _kube_version(matched: re.Match[str], _reason: str, release: Release, _environ: Mapping[str, str]) -> LinealError:
    place = Location(f"{release.chart.name}/Chart.yaml")
    remedy = "Give the cluster's version with `--kube-version` when rendering, or correct `kubeVersion`."
    return DeployFailed(sentence(f"The {matched.group(0)}"), id="LN-6017", place=place, remedy=remedy)


_KNOWN: tuple[tuple[str, _Explain], ...] = (
    (
        r'failed to (?:do request|perform "\w+" on source|authorize|fetch|download)|pull access denied|'
        r"status from \w+ request to |response status code \d{3}|^[\w.:\[\]-]+/\S+: not found$",
        _chart_registry,
    ),
    (r'context "([^"]*)" does not exist', _no_context),
    (r"kubernetes cluster unreachable: (.*)", _unreachable),
    (r"((?:the server has asked for the client to provide credentials|Unauthorized).*)", _unreachable),
    (r"because it is being terminated", _terminating),
    (r"is forbidden: exceeded quota|exceeded quota: ", _quota),
    (r"denied request: |admission webhook \S+ denied|violates PodSecurity", _refused),
    (r'forbidden: user "|attempting to grant|failed to query with labels: .* is forbidden', _forbidden),
    (r"is forbidden: ", _refused),
    (r'no matches for kind "([^"]+)" in version "([^"]+)"', _no_kind),
    (r"field is immutable|updates to statefulset spec for fields other than", _immutable),
    (r"another operation \(.*\) is in progress", _busy),
    (r"has no deployed releases", _never_deployed),
    (r"cannot load (\w+\.(?:schema\.json|yaml|lock)): ", _chart_file),
    (r"failed to parse (.+?): ", _values_file),
    (
        r"cannot unmarshal|error validating data|failed to create typed patch object|unknown field|"
        r"field not declared in schema|"
        r'\S+ "[^"]*" is invalid: ',
        _invalid,
    ),
    (TIMED_OUT, _not_ready),
    (r'(?:Get|Head|Post|Put|Patch|Delete) "https?://[^"]*": (.*)', _unreachable),
    (r"don't meet the specifications of the schema\(s\) in the following chart\(s\):(.*)", _schema),
    (r"found in Chart.yaml, but missing in charts/ directory: (.*)", _dependencies),
    (r"failed parsing --set data: (.*)", _set_flag),
    (r"chart requires kubeVersion: .*", _kube_version),
    (r"execution error at |parse error at |^template: |YAML parse error on |^\S+/templates/\S+:\d+:\d+ ", _template),
)
