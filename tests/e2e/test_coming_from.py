"""docs/coming-from.md: what `lineal init` reads in a file of theirs is the same images as ours has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE

PAGE = (Path(__file__).parents[2] / "docs/coming-from.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
FILES = {
    "api/Dockerfile": "FROM scratch AS runtime\nARG PYTHON\nENV PYTHON=$PYTHON\nCOPY app /\n"
    "FROM runtime AS tests\nCOPY app /tests\n",
    "api/app": "1",
}
WEB = {"web/Dockerfile": "FROM scratch\nCOPY --from=api /app /app\n"}


def written(section: str, whose: str) -> tuple[str, str]:
    """The name and the text of a file in a section of the page."""
    found = re.search(rf"^{whose}, `([^`]+)`:\n\n```\w+\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)
    assert found
    return found[1], found[2]


def images(lineal: Lineal) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """The checksums of each image's last stage, and where the images are published."""
    plan = lineal("plan", "--format", "json")
    assert plan.code == 0, plan.stderr
    shown = yaml.safe_load(lineal("config").stdout)["images"]
    published = {
        name: {key: (one.get("publish") or {}).get(key) for key in ("to", "tags")} for name, one in shown.items()
    }
    return {one["name"]: one["checksum"] for one in json.loads(plan.stdout)["images"]}, published


@pytest.mark.parametrize("section", list(SECTIONS))
def test_theirs_and_ours_are_the_same_images(
    section: str, repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> None:
    lineal.env |= {"LINEAL_REPO": f"layout:{tmp_path}/store", **NOWHERE}
    name, theirs = written(section, "Theirs")
    more = WEB if "web" in theirs else {}
    repo.write({**FILES, **more, name: theirs})
    assert lineal("init").code == 0
    repo.git("add", "lineal.yaml")
    repo.commit()
    found = images(lineal)
    name, ours = written(section, "Ours")
    repo.write({name: ours})
    assert found == images(lineal)
    assert len(found[0]) == len(yaml.safe_load(ours)["images"])
