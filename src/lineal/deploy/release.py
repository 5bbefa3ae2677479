"""A release: a chart, its values and its place in a cluster, the same for `render` and for `deploy`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from lineal.errors import BadConfiguration, Location
from lineal.text import quoted
from lineal.value import dataclass

_RELEASE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_OCI = re.compile(r"oci://[A-Za-z0-9.\-_:\[\]]+/[a-z0-9._/-]+(?::([A-Za-z0-9_.-]+))?(@sha256:[0-9a-f]{64})?")
PIN = (
    r"v?(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
"""The pattern of a whole version. Helm takes anything shorter as a range, in which each run may find another
chart."""
_PIN = re.compile(PIN, re.ASCII)
DEFAULT_TIMEOUT = 600.0
"""Seconds that helm waits unless the user gives `--timeout`."""
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def is_pin(version: str) -> bool:
    """Whether the version names one chart, the same today and tomorrow."""
    return _PIN.fullmatch(version) is not None


def not_pinned(written: str, version: str) -> BadConfiguration:
    """The error for a chart whose version is a range."""
    what = f"The chart {quoted(written)} has no whole version: {quoted(version)} may be another one tomorrow."
    return BadConfiguration(
        what, id="LN-6007", remedy="Write all of it, such as `1.2.3` or `1.2.3-rc.1`, in `deploy.chart`."
    )


@dataclass(frozen=True, slots=True)
class ValuesFile:
    """A file for helm, and the name by which the user knows it."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A directory with the files of the commit's chart, an archive, or `oci://host/name:version[@digest]`."""

    location: str
    """The absolute path of the directory or the archive, or the reference."""
    name: str
    """The path in the commit, or the reference, as the user wrote it."""
    root: str = ""
    """The absolute path of the directory that stands for the commit's: charts of the same commit lie there."""

    @classmethod
    def directory(cls, path: Path, name: str, root: Path | None = None) -> Chart:
        """The chart in the directory `path`, which has the files of the commit's `name`; helm may add dependencies.
        Those of the same commit (`file://`) lie inside `root`, by default inside the chart.

        Raises `BadConfiguration` when it is no chart, or has a link that leads out of it."""
        if not (path / "Chart.yaml").is_file():
            what = "There is no Chart.yaml in this directory of the commit, so it is no Helm chart."
            raise BadConfiguration(
                what,
                id="LN-6008",
                place=Location(name),
                remedy="Correct `deploy.chart`, commit the chart, or write `deploy.manifests` for plain manifests.",
            )
        own = path.resolve()
        for link in path.rglob("*"):
            if link.is_symlink() and not link.resolve().is_relative_to(own):
                place = Location(f"{name}/{link.relative_to(path).as_posix()}")
                what = "This symbolic link leads out of the chart, and helm would read what it finds there."
                raise BadConfiguration(what, id="LN-6008", place=place, remedy="Put the file itself into the chart.")
        return cls(str(own), name, str((root or path).resolve()))

    @classmethod
    def registry(cls, reference: str) -> Chart:
        """Raises `BadConfiguration` unless `reference` names a version or a digest: `latest` is not reproducible."""
        matched = _OCI.fullmatch(reference)
        if matched is None:
            what = f"{quoted(reference)} is not a chart in a registry."
            raise BadConfiguration(
                what, id="LN-6007", remedy="Write `oci://host/path/chart:1.2.3` in `deploy.chart`."
            )
        if not matched.group(1) and not matched.group(2):
            what = f"The chart {quoted(reference)} has no version, so every run might deploy another one."
            raise BadConfiguration(
                what, id="LN-6007", remedy=f"Write the version: `{reference}:1.2.3` in `deploy.chart`."
            )
        if not matched.group(2) and not is_pin(matched.group(1).replace("_", "+")):
            raise not_pinned(reference, matched.group(1))
        return cls(reference, reference)

    @property
    def is_directory(self) -> bool:
        return not self.location.startswith("oci://") and Path(self.location).is_dir()


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A chart with all that makes manifests of it, and where they go.

    Raises `BadConfiguration` for a name or namespace that Kubernetes would refuse."""

    name: str
    namespace: str
    chart: Chart
    values: tuple[ValuesFile, ...] = ()
    """In order, later ones win; `global.lineal` is the last."""
    sets: tuple[str, ...] = field(default=(), repr=False)
    """`--set` expressions, which win over every file. They may hold secrets."""
    kube_context: str | None = None
    kube_version: str | None = None
    """For `render`, which asks no cluster: the Kubernetes version that templates see."""
    images: Mapping[str, str] = field(default_factory=dict)
    """The images that the manifests should use, by name, as `repository:tag@digest`."""
    api_versions: tuple[str, ...] = ()
    """For `render`: the APIs that templates see beside those of every cluster."""
    hooks: bool = True
    """For `render`: whether hooks are manifests too."""
    skip_schema: bool = False
    """Whether the values need not fit the chart's schema."""
    take_ownership: bool = False
    """Whether objects that are in the cluster already become the release's, whoever made them."""
    timeout: float = DEFAULT_TIMEOUT
    """Seconds that one step, e.g. becoming ready, may take."""
    description: str = ""
    """A text for the release's history."""
    plain_http: bool = False
    """Whether the chart's registry speaks http only."""
    server_side: bool | None = False
    """Whether Helm 4 lets the API server apply objects, and takes over the fields that somebody else has; None: as it
    did for the revision that is gone back to."""

    def __post_init__(self) -> None:
        if len(self.name) > 53 or not _RELEASE.fullmatch(self.name):
            raise _bad_name("release", self.name, 53)
        if len(self.namespace) > 63 or not _NAMESPACE.fullmatch(self.namespace):
            raise _bad_name("namespace", self.namespace, 63)

    def __str__(self) -> str:
        return f"release {self.name} in namespace {self.namespace}"

    @property
    def context_flags(self) -> list[str]:
        return ["--kube-context", self.kube_context] if self.kube_context else []

    @property
    def place_flags(self) -> list[str]:
        """Namespace and context, for every helm command that asks the cluster about the release."""
        return ["--namespace", self.namespace, *self.context_flags]


def _bad_name(what: str, name: str, limit: int) -> BadConfiguration:
    rule = f"lower-case letters, digits and `-`, a letter or digit at both ends, at most {limit} characters"
    message = f"{quoted(name)} cannot be the name of a {what}: it takes {rule}."
    return BadConfiguration(
        message, id="LN-6006", remedy=f"Correct `deploy.{what}` in lineal.yaml, or give `--{what}`."
    )


def seconds(duration: str) -> float:
    """`10m`, `1h30m`, `1.5s` in seconds, as Go writes durations. Raises `BadConfiguration`."""
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)", duration)
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not total or "".join(number + unit for number, unit in parts) != duration:
        what = f"{quoted(duration)} is not a duration that can be waited for."
        raise BadConfiguration(what, id="LN-6005", remedy="Write it with a unit, such as `10m` or `1h30m`.")
    return total
