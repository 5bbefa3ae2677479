"""docs/performance.md: the requests that it tells are those that a registry gets, and those that the report has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Ran
from tests.e2e.test_requests import Counting
from tests.registries.proxy import proxy

pytestmark = pytest.mark.registry

PAGE = (Path(__file__).parents[2] / "docs/performance.md").read_text()


def told() -> dict[str, int]:
    """The most requests of each case."""
    return {case: int(most) for case, most in re.findall(r"^\| ([^|]+) \| (\d+) \| ", PAGE, re.M)}


def test_a_run_costs_what_the_page_says(
    repo: servers.Repository, lineal: Lineal, repository: str, tmp_path: Path
) -> None:
    lineal.env.update(NOWHERE)
    upstream, _, path = repository.partition("/")
    counting, found = Counting(), dict[str, int]()
    with proxy(upstream, counting) as counted:
        project = Project(repo, lineal, f"{counted.host}/{path}", tmp_path)
        (dockerfile,) = re.findall(r"^```dockerfile\n(.*?)^```$", PAGE, re.M | re.S)
        project.write(dockerfile, {"packages.txt": "one\n", **{f"src/{n}": f"{n}\n" for n in range(30)}})

        def run(case: str, made: int, command: str = "build") -> Ran:
            ran = project.run(command)
            found[case] = counting.take().total()
            assert ran.report["requests"] == found[case]
            assert len(ran.made) == made
            return ran

        run("`lineal plan`, nothing there", 0, "plan")
        first = run("first build", 3)
        assert first.report["bytes_sent"] > sum(stage["bytes_pushed"] for stage in first.stages) > 0
        again = run("nothing changed", 0)
        assert again.report["bytes_sent"] == 0 and again.report["bytes_read"] < 5000
        project.repo.write({"src/7": "changed"})
        run("one file of `src` changed", 2)
        run("the same commit on another runner", 0)
    assert found.keys() == told().keys()
    too_many = {case: (number, told()[case]) for case, number in found.items() if number > told()[case]}
    assert not too_many
    assert found["nothing changed"] == told()["nothing changed"] == 2
