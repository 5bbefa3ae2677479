"""Finds the template, and the line in it, of an object that the cluster refuses, from the words of the API server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lineal.deploy.release import Release
from lineal.errors import Location

_OBJECTS = (
    re.compile(r"cannot be changed, \S+ of (?P<kind>\w+) (?P<name>\S+?):"),
    re.compile(r"of (?P<kind>\w+) (?P<name>\S+) is longer than the 63 characters"),
    re.compile(r'(?P<kind>[A-Z]\w+)(?:\.[\w.]+)? "(?P<name>[^"]+)" is invalid'),
    re.compile(r"object \S*?/?(?P<name>[^/\s]+) \S+, Kind=(?P<kind>\w+)"),
    re.compile(r'"(?P<name>[^"]+)" with kind (?P<kind>\w+)'),
    re.compile(r'(?P<kind>\w+)\.[\w.]+ "(?P<name>[^"]+)" is forbidden'),
    re.compile(r"cannot be handled as an? (?P<kind>\w+)"),
    re.compile(r"knows no (?P<kind>\w+) of"),
)
_FIELDS = (
    re.compile(r"cannot be changed, [^ ]*?(\w+)(?:\[\d+\])? of "),
    re.compile(r"struct field [\w.]*?(\w+) of type"),
    re.compile(r"[.\]](\w+): (?:expected|field not declared)"),
    re.compile(
        r"\b(?:spec|metadata|data)[\w.\[\]\"=]*?(\w+)(?:\[\d+\])?: (?:Invalid|Required|Unsupported|Duplicate|Too)"
    ),
    re.compile(r'unknown field "[^"]*?(\w+)"'),
)
_SOURCE = re.compile(r"^# Source: [^/\n]+/(\S+)$", re.MULTILINE)
_KIND = re.compile(r"^kind:\s*[\"']?(\w+)", re.MULTILINE)
_NAME = re.compile(r"^(?:metadata:\s*\{.*?\bname:|  name:)\s*[\"']?([^\s\"',}]+)", re.MULTILINE)


def find(said: str, release: Release, manifest: str) -> Location | None:
    """The place in the chart that the message `said` is about. `manifest` is the rendered one, empty when nothing
    could be rendered. None when no template of the chart fits, or more than one."""
    found = next((matched for pattern in _OBJECTS if (matched := pattern.search(said))), None)
    if found is None or not release.chart.is_directory:
        return None
    kind, name = found["kind"], found.groupdict().get("name")
    chart = Path(release.chart.location)
    files = _rendered(kind, name, manifest) if manifest else _written(kind, chart)
    if len(files) != 1:
        return None
    file = files.pop()
    if not (chart / file).is_file():
        return None
    field = next((matched[1] for pattern in _FIELDS if (matched := pattern.search(said))), None)
    return Location(f"{release.chart.name}/{file}", _line((chart / file).read_text(errors="replace"), field, kind))


def _rendered(kind: str, name: str | None, manifest: str) -> set[str]:
    """The templates whose objects have this kind (`Deployment` or `deployments`) and name."""
    return {
        source[1]
        for document in re.split(r"^---$", manifest, flags=re.MULTILINE)
        if (source := _SOURCE.search(document))
        and (of := _KIND.search(document))
        and of[1].lower() in (kind.lower(), kind.lower().removesuffix("s"))
        and (name is None or (named := _NAME.search(document)) is None or named[1] == name)
    }


def _written(kind: str, chart: Path) -> set[str]:
    """The templates that name this kind in their text, when nothing could be rendered."""
    wanted = re.compile(rf"^kind:\s*[\"']?{re.escape(kind)}\b", re.MULTILINE)
    return {
        file.relative_to(chart).as_posix()
        for file in _templates(chart)
        if wanted.search(file.read_text(errors="replace"))
    }


def _templates(chart: Path) -> Iterator[Path]:
    for folder in (chart / "templates", *chart.glob("charts/*/templates")):
        yield from (file for file in sorted(folder.rglob("*.y*ml")) if file.is_file())


def _line(text: str, field: str | None, kind: str) -> int | None:
    """The line of the field when the template has it once, else the line of the kind when that stands there once."""
    of_kind = rf"^kind:\s*[\"']?{re.escape(kind.removesuffix('s'))}\b"
    for pattern in [rf"^[\s-]*{re.escape(field)}\s*:", of_kind] if field else [of_kind]:
        matches = re.compile(pattern, re.IGNORECASE).match
        lines = [number for number, line in enumerate(text.splitlines(), 1) if matches(line)]
        if len(lines) == 1:
            return lines[0]
    return None
