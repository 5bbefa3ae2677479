"""The dependencies of a chart of the commit: vendored in `charts/`, or fetched as its lock file says.

Charts of Helm 2 (`apiVersion: v1`) declare them in requirements.yaml and lock them in requirements.lock. Helm reads
these of any chart, and they win over Chart.yaml and Chart.lock."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lineal.deploy.helm import errors
from lineal.deploy.helm.chart_metadata import rewritten
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
    _complete(helm, release.chart, ["--plain-http"] if release.plain_http else [], output, ())


def _complete(
    helm: Helm, chart: Chart, flags: Sequence[str], output: Callable[[str], None], inside: tuple[str, ...]
) -> None:
    """`inside`: the charts of the commit that need this one."""
    if not chart.is_directory:
        return
    directory = Path(chart.location)
    declared, lock = _last(directory, _DECLARED), _last(directory, _LOCKED)
    if all(_vendored(directory, wanted["name"]) for wanted in _wanted(directory / declared)):
        return
    place = Location(f"{chart.name}/{declared}")
    # Helm must read the files that name places as Lineal does. Afterwards they are again what was committed.
    written = {path: path.read_bytes() for path in map(directory.joinpath, (*_DECLARED, *_LOCKED)) if path.is_file()}
    read = {file: rewritten(directory / file, Location(f"{chart.name}/{file}")) for file in (*_DECLARED, *_LOCKED)}
    locked = (directory / lock).is_file()
    for file, entries in read.items():
        for wanted in entries:
            _check_inside(chart, wanted, Location(f"{chart.name}/{file}"))
    missing = [wanted for wanted in read[declared] if not _vendored(directory, wanted["name"])]
    for wanted in missing:
        local = local_path(wanted)
        if local is None and not locked:
            raise _not_locked(wanted["name"], lock_of(chart), place)
        if local is not None and chart.location not in inside:
            # Helm packs a chart of the same commit as it is, without what this one needs in turn.
            other = Path(chart.location, local).resolve()
            named = other.relative_to(chart.root).as_posix()
            _complete(helm, Chart(str(other), named, chart.root), flags, output, (*inside, chart.location))
    if locked:
        _check_lock(chart, lock, [wanted for wanted in read[lock] if not _vendored(directory, wanted["name"])])
    answer = helm.run(["dependency", "build", *flags, "--", chart.location], output=output)
    for path, content in written.items():
        path.write_bytes(content)
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
    about = _read((Path(chart.location) / "Chart.yaml").read_bytes())
    return _LOCKED[about.get("apiVersion") in (None, "", "v1")]


def _check_lock(chart: Chart, lock: str, entries: Sequence[Mapping[str, str]]) -> None:
    """Helm takes a range of versions in a lock file as in Chart.yaml. Here each version must be whole."""
    for wanted in entries:
        remote = wanted["repository"] and local_path(wanted) is None
        if remote and not is_pin(wanted["version"]):
            what = (
                f"The dependency {quoted(wanted['name'])} has no whole version here: {quoted(wanted['version'])} may "
                "be another one tomorrow."
            )
            remedy = "Write all of it where it is declared and run `helm dependency update`, or commit charts/."
            raise BadConfiguration(what, id="LN-6016", place=Location(f"{chart.name}/{lock}"), remedy=remedy)


def _read(data: bytes) -> dict[str, Any]:
    """A YAML file of the chart, empty when it is none; anything malformed is left for helm to name."""
    import yaml

    try:
        content: Any = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def entries_of(data: bytes) -> list[dict[str, Any]]:
    """The dependencies with a name that a Chart.yaml, or a file in its place, has."""
    listed = _read(data).get("dependencies")
    entries = listed if isinstance(listed, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and entry.get("name")]


def _entries(file: Path) -> list[dict[str, Any]]:
    return entries_of(file.read_bytes()) if file.is_file() else []


def _wanted(file: Path) -> list[dict[str, str]]:
    """`name`, `version`, `repository` of each dependency."""
    return [{key: str(entry.get(key) or "") for key in ("name", "version", "repository")} for entry in _entries(file)]


def hosts(chart: Chart) -> set[str]:
    """The hosts of the OCI registries that a chart's dependencies come from."""
    directory = Path(chart.location)
    addresses = [wanted["repository"] for wanted in _wanted(directory / _last(directory, _DECLARED))]
    return {text.removeprefix("oci://").partition("/")[0] for text in addresses if text.startswith("oci://")}


def children(chart: Path) -> set[str]:
    """The names under which the values of a chart hold those of its subcharts."""
    entries = [entry for file in _DECLARED for entry in _entries(chart / file)]
    found = {str(entry.get("alias") or entry["name"]) for entry in entries}
    inside = sorted((chart / "charts").iterdir()) if (chart / "charts").is_dir() else []
    known = {str(entry["name"]) for entry in entries}
    for path in inside:
        name = re.sub(r"-v?\d[^/]*\.tgz$", "", path.name)
        if (path / "Chart.yaml").is_file():
            name = str(_read((path / "Chart.yaml").read_bytes()).get("name", name))
        found |= {name} - known
    return found


def _vendored(directory: Path, name: str) -> bool:
    """Whether `charts/` has a directory or an archive of that chart; helm itself checks the version."""
    charts = directory / "charts"
    if not charts.is_dir():
        return False
    found = (entry.name for entry in charts.iterdir())
    return any(entry == name or (entry.startswith(f"{name}-") and entry.endswith(".tgz")) for entry in found)


def local_path(wanted: Mapping[str, Any]) -> str | None:
    """The path of a dependency in the same commit, from the chart's directory; None for one from elsewhere."""
    repository = str(wanted.get("repository") or "")
    return repository.removeprefix(_LOCAL) if repository.startswith(_LOCAL) else None


def _check_inside(chart: Chart, wanted: Mapping[str, str], place: Location) -> None:
    """Raises for a chart that the dependency takes from this machine and not from the commit."""
    local = local_path(wanted)
    if local is not None and not Path(chart.location, local).resolve().is_relative_to(chart.root or chart.location):
        what = f"The dependency {quoted(wanted['name'])} lies outside the commit ({printable(wanted['repository'])})."
        raise BadConfiguration(what, id="LN-6016", place=place, remedy="Commit it beside the chart.")


def _not_locked(name: str, lacking: str, place: Location) -> BadConfiguration:
    what = f"The dependency {quoted(name)} is not in charts/, and there is no {lacking} that says which it is."
    remedy = f"Run `helm dependency update` and commit {lacking} (or charts/)."
    return BadConfiguration(what, id="LN-6016", place=place, remedy=remedy)
