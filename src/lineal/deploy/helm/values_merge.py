"""One mapping of all values of a release. Helm itself merges them, so that a bundle means what a deployment means."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from lineal.deploy.helm.client import Helm, common_flags
from lineal.deploy.release import Chart, Release
from lineal.errors import DeployFailed

_CHART = "apiVersion: v2\nname: values\nversion: 0.1.0\n"
# In base64, because helm parses what it renders as YAML.
_TEMPLATE = "values: {{ toJson .Values | b64enc }}\n"


def merged(helm: Helm, release: Release, directory: Path) -> dict[str, Any]:
    """The chart's own values with those of the release on top. `directory` does not exist yet.

    Helm renders a chart that holds nothing but those values. Raises `DeployFailed`, `BadConfiguration` and
    `Interrupted`."""
    (directory / "templates").mkdir(parents=True)
    (directory / "Chart.yaml").write_text(_CHART)
    (directory / "templates" / "values.yaml").write_text(_TEMPLATE)
    own = Path(release.chart.location) / "values.yaml"
    if own.is_file():
        shutil.copyfile(own, directory / "values.yaml")
    asked = replace(release, chart=Chart(str(directory), release.chart.name))
    answer = helm.run(["template", *common_flags(asked)])
    printed = answer.or_raise("Merging the values", helm.explains(asked))
    found = re.search(r"^values: (\S*)$", printed, re.MULTILINE)
    try:
        values = json.loads(base64.b64decode(found[1])) if found else None
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise DeployFailed(
            "helm does not say what the values come to.", id="LN-6013", remedy="Run it again with `--debug`."
        )
    return values
