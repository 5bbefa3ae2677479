"""One mapping of all values of a release, so that a bundle means what a deployment means.

Helm reads the files, and they are merged here by Helm's rules: Helm 4 itself leaves out every null, also those that
take a default of a subchart away."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from lineal.deploy.helm.client import Helm, common_flags
from lineal.deploy.helm.dependencies import children
from lineal.deploy.release import Chart, Release, ValuesFile
from lineal.errors import DeployFailed

_CHART = "apiVersion: v2\nname: values\nversion: 0.1.0\n"
# In base64, because helm parses what it renders as YAML.
_VALUES = "values: {{ toJson .Values | b64enc }}\n"
_FILES = (
    '{{ range $path, $_ := .Files.Glob "files/*" }}'
    "{{ $path }}: {{ $.Files.Get $path | fromYaml | toJson | b64enc }}\n{{ end }}"
)
_NULL = "\ue000null\ue000"
"""Stands for a null while helm sets single values: Helm 4 would leave it out."""
_SET_NULL = re.compile(r"((?:^|(?<!\\),)(?:[^=,\\]|\\.)*=)null(?=,|$)")


class Merged(NamedTuple):
    values: dict[str, Any]
    given: dict[str, Any]
    """What the release says alone, without the chart's own values."""


def merged(helm: Helm, release: Release, directory: Path) -> Merged:
    """The chart's own values with those of the release on top. `directory` does not exist yet.

    A null that takes a value of the chart away takes its key along; one that is for a subchart stays, since the
    subchart's defaults are not here. Raises `DeployFailed`, `BadConfiguration` and `Interrupted`."""
    chart = Path(release.chart.location)
    own, files = _read(helm, release, directory / "read")
    given: dict[str, Any] = {}
    for file in files:
        given = over(given, file)
    if release.sets:
        given = _with_sets(helm, release, given, directory / "set")
    return Merged(_onto(own, given, children(chart)), given)


def parsed(helm: Helm, data: bytes, directory: Path) -> dict[str, Any]:
    """A chart's values.yaml as helm reads it. `directory` does not exist yet. Raises as `merged`."""
    (directory / "chart").mkdir(parents=True)
    (directory / "chart" / "values.yaml").write_bytes(data)
    chart = Chart(str(directory / "chart"), "the chart")
    return _read(helm, Release(name="values", namespace="values", chart=chart), directory / "read")[0]


def _read(helm: Helm, release: Release, directory: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The chart's own values, and those of each file of the release."""
    own = Path(release.chart.location) / "values.yaml"
    texts = [*([own] if own.is_file() else []), *(file.path for file in release.values)]
    (directory / "files").mkdir(parents=True)
    for number, path in enumerate(texts):
        shutil.copyfile(path, directory / "files" / f"{number:03}.yaml")
    if own.is_file():
        shutil.copyfile(own, directory / "values.yaml")
    found = _rendered(helm, replace(release, values=(), sets=()), directory, _VALUES + _FILES)
    read = [found[path] for path in sorted(found) if path != "values"]
    if any("Error" in one for one in read):
        # Of a file that it cannot read, `fromYaml` makes this key.
        _rendered(helm, replace(release, sets=()), directory, _VALUES)
    # Helm's own reading keeps large numbers exact, that of a template keeps nulls.
    return (_with_nulls(found["values"], read.pop(0)) if own.is_file() else {}), read


def _rendered(helm: Helm, release: Release, directory: Path, template: str) -> dict[str, Any]:
    """What a template says of a chart in `directory`, which holds nothing but values: mappings by name."""
    (directory / "templates").mkdir(parents=True, exist_ok=True)
    (directory / "Chart.yaml").write_text(_CHART)
    (directory / "templates" / "values.yaml").write_text(template)
    asked = replace(release, chart=Chart(str(directory), release.chart.name))
    answer = helm.run(["template", *common_flags(asked)])
    printed = answer.or_raise("Merging the values", helm.explains(asked))
    try:
        found = {
            name: json.loads(base64.b64decode(text)) or {}
            for name, text in re.findall(r"^(values|files/\S+): (\S*)$", printed, re.MULTILINE)
        }
    except ValueError:
        found = {}
    if "values" not in found or not all(isinstance(one, dict) for one in found.values()):
        raise DeployFailed(
            "helm does not say what the values come to.", id="LN-6013", remedy="Run it again with `--debug`."
        )
    return found


def _with_sets(helm: Helm, release: Release, given: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The values of the files with the single ones of `--set` on top."""
    directory.mkdir(parents=True)
    file = directory / "given.json"
    file.write_text(json.dumps(_replaced(given, None, _NULL), ensure_ascii=False), encoding="utf-8")
    sets = tuple(_SET_NULL.sub(lambda found: found[1] + _NULL, expression) for expression in release.sets)
    asked = replace(release, values=(ValuesFile(file, "the values"),), sets=sets)
    found = _rendered(helm, asked, directory / "chart", _VALUES)["values"]
    return dict(_replaced(found, _NULL, None))


def _replaced(value: Any, old: object, new: object) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(part, old, new) for key, part in value.items()}
    if isinstance(value, list):
        return [_replaced(part, old, new) for part in value]
    return new if value == old and type(value) is type(old) else value


def _with_nulls(exact: Any, whole: Any) -> Any:
    """`exact` with the nulls of `whole`, which is the same but for these and for large numbers."""
    if isinstance(whole, dict) and isinstance(exact, dict):
        return {key: None if part is None else _with_nulls(exact.get(key, part), part) for key, part in whole.items()}
    if isinstance(whole, list) and isinstance(exact, list) and len(whole) == len(exact):
        return [_with_nulls(one, other) for one, other in zip(exact, whole, strict=True)]
    return exact


def over(under: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two files, the later one wins; mappings in both are merged, and a null is a value."""
    made = dict(under)
    for key, value in above.items():
        before = made.get(key)
        made[key] = over(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return made


def _onto(own: Mapping[str, Any], given: Mapping[str, Any], subcharts: Collection[str]) -> dict[str, Any]:
    """The values of a release on the chart's own."""
    made = {key: value for key, value in given.items() if value is not None or key not in own}
    for key, value in own.items():
        above = given.get(key)
        if key not in given:
            made[key] = value
        elif isinstance(above, dict) and isinstance(value, dict):
            made[key] = over(value, above) if key in subcharts else _without_nulls(value, above)
    return made


def _without_nulls(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Two mappings below the top level: a null takes the key away, whether or not the chart has it."""
    made = {key: value for key, value in given.items() if value is not None}
    for key, value in own.items():
        above = given.get(key)
        if key not in given:
            made[key] = value
        elif isinstance(above, dict) and isinstance(value, dict):
            made[key] = _without_nulls(value, above)
    return made
