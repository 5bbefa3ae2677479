"""The dependencies of a chart of the commit: vendored in `charts/`, or fetched as its lock file says.

Charts of Helm 2 (`apiVersion: v1`) declare them in requirements.yaml and lock them in requirements.lock. Helm reads
these of any chart, and they win over Chart.yaml and Chart.lock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lineal.deploy.helm import errors
from lineal.deploy.helm.client import Answer, Helm
from lineal.deploy.release import Chart, Release, is_pin
from lineal.errors import BadConfiguration, DeployFailed, LinealError, Location, Unreachable
from lineal.text import printable, quoted

_LOCAL = "file://"
_DECLARED = ("Chart.yaml", "requirements.yaml")
_LOCKED = ("Chart.lock", "requirements.lock")
_NETWORK = ("dial tcp", "no cached repository", "failed to do request", "failed to perform", "i/o timeout", "TLS")


def complete(helm: Helm, release: Release, output: Callable[[str], None]) -> None:
    """Run `helm dependency build` in the chart's directory when `charts/` lacks a dependency.

    Without a lock file only charts of the commit itself are taken: a range of versions may mean another chart
    tomorrow. Raises `BadConfiguration`, `DeployFailed`, `Unreachable`, `Interrupted`."""
    chart = release.chart
    if not chart.is_directory:
        return
    directory = Path(chart.location)
    declared, lock = _last(directory, _DECLARED), _last(directory, _LOCKED)
    missing = [wanted for wanted in _wanted(directory / declared) if not _vendored(directory, wanted["name"])]
    if not missing:
        return
    place = Location(f"{chart.name}/{declared}")
    locked = (directory / lock).is_file()
    for wanted in missing:
        _check(directory, wanted, place, None if locked else lock_of(chart))
    if locked:
        _check_lock(chart, lock, {wanted["name"] for wanted in missing})
    flags = ["--plain-http"] if release.plain_http else []
    answer = helm.run(["dependency", "build", *flags, "--", chart.location], output=output)
    answer.or_raise("Fetching the chart's dependencies", lambda failed: _failure(failed, chart, place))


def _failure(answer: Answer, chart: Chart, place: Location) -> LinealError:
    reason = errors.reason_of(answer.stderr).replace(chart.location, chart.name)
    what = f"helm could not fetch the chart's dependencies: {errors.sentence(reason)}"
    if any(word in line for line in answer.stderr for word in _NETWORK):
        return Unreachable(
            what, id="LN-6014", place=place, remedy="Check the repository's address, or commit charts/."
        )
    remedy = f"Run `helm dependency update` and commit {lock_of(chart)}."
    return DeployFailed(what, id="LN-6015", place=place, remedy=remedy)


def _last(directory: Path, files: tuple[str, str]) -> str:
    """The file that counts: the last one that is there."""
    return next((file for file in reversed(files) if (directory / file).is_file()), files[0])


def lock_of(chart: Chart) -> str:
    """The lock file that `helm dependency update` writes for a chart in a directory."""
    return _LOCKED[_read(Path(chart.location) / "Chart.yaml").get("apiVersion") in (None, "", "v1")]


def _check_lock(chart: Chart, lock: str, names: set[str]) -> None:
    """Helm takes a range of versions in a lock file as in Chart.yaml. Here each version must be whole."""
    for wanted in _wanted(Path(chart.location) / lock):
        remote = wanted["repository"] and not wanted["repository"].startswith(_LOCAL)
        if remote and wanted["name"] in names and not is_pin(wanted["version"]):
            what = (
                f"The dependency {quoted(wanted['name'])} has no whole version here: {quoted(wanted['version'])} may "
                "be another one tomorrow."
            )
            remedy = "Write all of it where it is declared and run `helm dependency update`, or commit charts/."
            raise BadConfiguration(what, id="LN-6016", place=Location(f"{chart.name}/{lock}"), remedy=remedy)


def _read(file: Path) -> dict[str, Any]:
    """A YAML file of the chart, empty when it is none; anything malformed is left for helm to name."""
    import yaml

    try:
        content: Any = yaml.safe_load(file.read_bytes())
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _wanted(file: Path) -> list[dict[str, str]]:
    """`name`, `version`, `repository` of each dependency."""
    listed = _read(file).get("dependencies")
    entries = listed if isinstance(listed, list) else []
    return [
        {key: str(entry.get(key) or "") for key in ("name", "version", "repository")}
        for entry in entries
        if isinstance(entry, dict) and entry.get("name")
    ]


def hosts(chart: Chart) -> set[str]:
    """The hosts of the OCI registries that a chart's dependencies come from."""
    directory = Path(chart.location)
    addresses = [wanted["repository"] for wanted in _wanted(directory / _last(directory, _DECLARED))]
    return {text.removeprefix("oci://").partition("/")[0] for text in addresses if text.startswith("oci://")}


def _vendored(directory: Path, name: str) -> bool:
    """Whether `charts/` has a directory or an archive of that chart; helm itself checks the version."""
    charts = directory / "charts"
    if not charts.is_dir():
        return False
    found = (entry.name for entry in charts.iterdir())
    return any(entry == name or (entry.startswith(f"{name}-") and entry.endswith(".tgz")) for entry in found)


def _check(directory: Path, wanted: dict[str, str], place: Location, lacking: str | None) -> None:
    """Raises unless the commit says which chart it is. `lacking`: the lock file that the chart lacks, if any."""
    name, repository = wanted["name"], wanted["repository"]
    if repository.startswith(_LOCAL):
        root = directory.resolve()
        if not (root / repository.removeprefix(_LOCAL)).resolve().is_relative_to(root):
            what = f"The dependency {quoted(name)} lies outside the chart ({printable(repository)})."
            raise BadConfiguration(
                what, id="LN-6016", place=place, remedy="Move it into the chart's charts/ directory."
            )
    elif lacking:
        what = f"The dependency {quoted(name)} is not in charts/, and there is no {lacking} that says which it is."
        remedy = f"Run `helm dependency update` and commit {lacking} (or charts/)."
        raise BadConfiguration(what, id="LN-6016", place=place, remedy=remedy)
