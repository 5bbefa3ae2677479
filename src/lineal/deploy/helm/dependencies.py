"""The dependencies of a chart of the commit: vendored in `charts/`, or fetched as its Chart.lock says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lineal.deploy.helm import errors
from lineal.deploy.helm.client import Answer, Helm
from lineal.deploy.release import Chart, Release, is_pin
from lineal.errors import BadConfiguration, DeployFailed, LinealError, Location, Unreachable
from lineal.text import printable, quoted

_LOCAL = "file://"
_NETWORK = ("dial tcp", "no cached repository", "failed to do request", "failed to perform", "i/o timeout", "TLS")


def complete(helm: Helm, release: Release, output: Callable[[str], None]) -> None:
    """Run `helm dependency build` in the chart's directory when `charts/` lacks a dependency.

    Without a Chart.lock only charts of the commit itself are taken: a range of versions may mean another chart
    tomorrow. Raises `BadConfiguration`, `DeployFailed`, `Unreachable`, `Interrupted`."""
    _complete(helm, release.chart, ["--plain-http"] if release.plain_http else [], output, ())


def _complete(
    helm: Helm, chart: Chart, flags: Sequence[str], output: Callable[[str], None], inside: tuple[str, ...]
) -> None:
    """`inside`: the charts of the commit that need this one."""
    if not chart.is_directory:
        return
    directory = Path(chart.location)
    missing = [wanted for wanted in _wanted(chart) if not _vendored(directory, wanted["name"])]
    if not missing:
        return
    place = Location(f"{chart.name}/Chart.yaml")
    locked = (directory / "Chart.lock").is_file()
    for wanted in missing:
        _check(chart, wanted, place, locked)
        local = local_path(wanted)
        if local is not None and chart.location not in inside:
            # Helm packs a chart of the same commit as it is, without what this one needs in turn.
            other = Path(chart.location, local).resolve()
            named = other.relative_to(chart.root).as_posix()
            _complete(helm, Chart(str(other), named, chart.root), flags, output, (*inside, chart.location))
    if locked:
        _check_lock(chart, {wanted["name"] for wanted in missing})
    answer = helm.run(["dependency", "build", *flags, "--", chart.location], output=output)
    answer.or_raise("Fetching the chart's dependencies", lambda failed: _failure(failed, chart, place))


def _failure(answer: Answer, chart: Chart, place: Location) -> LinealError:
    reason = errors.reason_of(answer.stderr).replace(chart.location, chart.name)
    what = f"helm could not fetch the chart's dependencies: {errors.sentence(reason)}"
    if any(word in line for line in answer.stderr for word in _NETWORK):
        return Unreachable(
            what, id="LN-6014", place=place, remedy="Check the repository's address, or commit charts/."
        )
    return DeployFailed(what, id="LN-6015", place=place, remedy="Run `helm dependency update` and commit Chart.lock.")


def _check_lock(chart: Chart, names: set[str]) -> None:
    """Helm takes a range of versions in Chart.lock as in Chart.yaml. Here each version must be whole."""
    for wanted in _wanted(chart, "Chart.lock"):
        remote = wanted["repository"] and not wanted["repository"].startswith(_LOCAL)
        if remote and wanted["name"] in names and not is_pin(wanted["version"]):
            what = (
                f"The dependency {quoted(wanted['name'])} has no whole version here: {quoted(wanted['version'])} may "
                "be another one tomorrow."
            )
            remedy = "Write all of it in Chart.yaml and run `helm dependency update`, or commit charts/."
            raise BadConfiguration(what, id="LN-6016", place=Location(f"{chart.name}/Chart.lock"), remedy=remedy)


def _wanted(chart: Chart, file: str = "Chart.yaml") -> list[dict[str, str]]:
    """`name`, `version`, `repository` of each dependency; anything malformed is left for helm to name."""
    return [
        {key: str(entry.get(key) or "") for key in ("name", "version", "repository")}
        for entry in _entries(Path(chart.location) / file)
    ]


def _entries(file: Path) -> list[dict[str, Any]]:
    return entries_of(file.read_bytes()) if file.is_file() else []


def entries_of(data: bytes) -> list[dict[str, Any]]:
    """The entries under `dependencies` of a Chart.yaml that have a name; none when it cannot be read."""
    import yaml

    try:
        content: Any = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    listed = content.get("dependencies") if isinstance(content, dict) else None
    entries = listed if isinstance(listed, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and entry.get("name")]


def hosts(chart: Chart) -> set[str]:
    """The hosts of the OCI registries that a chart's dependencies come from."""
    addresses = [wanted["repository"] for wanted in _wanted(chart)]
    return {text.removeprefix("oci://").partition("/")[0] for text in addresses if text.startswith("oci://")}


def children(chart: Path) -> set[str]:
    """The names under which the values of a chart hold those of its subcharts."""
    import yaml

    entries = [entry for file in ("Chart.yaml", "requirements.yaml") for entry in _entries(chart / file)]
    found = {str(entry.get("alias") or entry["name"]) for entry in entries}
    inside = sorted((chart / "charts").iterdir()) if (chart / "charts").is_dir() else []
    known = {str(entry["name"]) for entry in entries}
    for path in inside:
        name = re.sub(r"-v?\d[^/]*\.tgz$", "", path.name)
        if (path / "Chart.yaml").is_file():
            with suppress(yaml.YAMLError, ValueError, RecursionError, KeyError, TypeError):
                name = str(yaml.safe_load((path / "Chart.yaml").read_bytes())["name"])
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


def _check(chart: Chart, wanted: dict[str, str], place: Location, locked: bool) -> None:
    name, local = wanted["name"], local_path(wanted)
    if local is not None:
        if not Path(chart.location, local).resolve().is_relative_to(chart.root or chart.location):
            what = f"The dependency {quoted(name)} lies outside the commit ({printable(wanted['repository'])})."
            raise BadConfiguration(what, id="LN-6016", place=place, remedy="Commit it beside the chart.")
    elif not locked:
        what = f"The dependency {quoted(name)} is not in charts/, and there is no Chart.lock that says which it is."
        remedy = "Run `helm dependency update` and commit Chart.lock (or charts/)."
        raise BadConfiguration(what, id="LN-6016", place=place, remedy=remedy)
