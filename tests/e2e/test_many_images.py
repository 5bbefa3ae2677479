"""Repositories of many images: twice the images are twice the work, of every function and of the store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import monorepo
from tests.e2e.parts import NOWHERE
from tests.servers import GIT_ISOLATION, Repository

FEW = 12
SMALL = 40
"""Lines of a function for each image that are not worth a look."""
OF_AN_IMAGE, OF_A_STAGE, HANDFUL = 2, 12, 4
"""Requests to the store, as docs/performance.md promises them: of a plan; of a stage that is made, of which two are
spared where the last look was moments ago; and of each run."""
AGAIN_AND_AGAIN = 3.3
"""With twice the images: what grows with their square needs four times the lines, and what begins beyond some number
of tags more than twice."""


class Monorepo:
    def __init__(self, folder: Path, services: int, store: str) -> None:
        self.folder, self.store, self.images = folder, store, services + 1
        folder.mkdir()
        self.repository: Repository = monorepo.create(folder / "repo", services)

    def run(self, *args: str) -> tuple[dict[str, int], dict[str, Any]]:
        """What the functions of the run did, in lines, and what the report counts."""
        (self.folder / "home").mkdir(exist_ok=True)
        lines, report, summary = (self.folder / name for name in ("lines.json", "report.json", "summary.md"))
        summary.write_text("")
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), **GIT_ISOLATION, **NOWHERE}
        env |= {"PYTHONPATH": str(Path(__file__).parents[2]), "GITHUB_STEP_SUMMARY": str(summary)}
        # What killed runs of other tests have left is not this one's work.
        env["TMPDIR"] = str(self.folder / "home")
        argv = [sys.executable, "-m", "tests.tools.lines", str(lines), *args]
        options = ["--repo", self.store, "--report", str(report)]
        done = subprocess.run(
            [*argv, *options], cwd=self.repository.path, env=env, capture_output=True, text=True, timeout=300
        )
        assert report.exists(), done.stderr
        return json.loads(lines.read_text()), json.loads(report.read_text())


def grown(few: Mapping[str, int], many: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """The functions whose lines grew faster than the images."""
    return {
        name: (few.get(name, 0), lines) for name, lines in many.items()
        if lines > AGAIN_AND_AGAIN * few.get(name, 0) and lines > SMALL * FEW
    }  # fmt: skip


def store_of(kind: str, name: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if kind == "layout":
        return f"layout:{tmp_path}/store-{name}"
    return f"{request.getfixturevalue('repository')}-{name}"


KINDS = ["layout", pytest.param("registry", marks=pytest.mark.registry)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_twice_the_images_are_planned_with_twice_the_work(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    few, many = (
        Monorepo(tmp_path / str(services), services, store_of(kind, str(services), tmp_path, request))
        for services in (FEW, 2 * FEW)
    )
    for args in (["plan"], ["build"], ["plan"]):
        (lines, report), (more_lines, more_report) = few.run(*args), many.run(*args)
        if args == ["plan"]:
            found = grown(lines, more_lines)
            assert not found, f"{args}: {found}"
        for repository, found_in in ((few, report), (many, more_report)):
            most = OF_AN_IMAGE * repository.images if args == ["plan"] else OF_A_STAGE * len(found_in["stages"])
            assert found_in["requests"] <= most + HANDFUL


@pytest.mark.long
def test_twice_the_images_are_built_with_twice_the_work(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """So many that what has a bound, such as the stages that are made ahead, has reached it."""
    few, many = (
        Monorepo(tmp_path / str(services), services, store_of("layout", str(services), tmp_path, request))
        for services in (120, 240)
    )
    (lines, _), (more_lines, _) = few.run("build"), many.run("build")
    found = grown(lines, more_lines)
    assert not found, found
