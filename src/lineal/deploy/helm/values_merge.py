"""All values of a release in one: merged by helm itself, so that a bundle means what a deployment means."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.deploy.helm import errors
from lineal.deploy.release import Chart, Release
from lineal.errors import DeployFailed, Interrupted

if TYPE_CHECKING:
    from lineal.deploy.helm.client import Helm

_CHART = "apiVersion: v2\nname: values\nversion: 0.1.0\n"
# As base64, because what helm renders it also reads as YAML.
_TEMPLATE = "values: {{ toJson .Values | b64enc }}\n"


def merged(helm: Helm, release: Release, directory: Path) -> dict[str, Any]:
    """The chart's own values with those of the release on top. `directory` is private and not there yet.

    A chart of nothing but those values is rendered. Raises `DeployFailed`, `BadConfiguration`, `Interrupted`."""
    from lineal.deploy.helm.client import common_flags

    (directory / "templates").mkdir(parents=True)
    (directory / "Chart.yaml").write_text(_CHART)
    (directory / "templates" / "values.yaml").write_text(_TEMPLATE)
    own = Path(release.chart.location) / "values.yaml"
    if own.is_file():
        shutil.copyfile(own, directory / "values.yaml")
    asked = replace(release, chart=Chart(str(directory), release.chart.name))
    answer = helm.run(["template", *common_flags(asked)])
    if answer.signals:
        raise Interrupted(f"Merging the values was interrupted by {answer.signals[0].name}.")
    if answer.code != 0:
        raise errors.explain(answer.stderr, asked, helm.environ, "helm template")
    found = re.search(r"^values: (\S*)$", answer.stdout, re.MULTILINE)
    try:
        values = json.loads(base64.b64decode(found[1])) if found else None
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise DeployFailed("helm does not say what the values come to.", remedy="Run it again with `--debug`.")
    return values
