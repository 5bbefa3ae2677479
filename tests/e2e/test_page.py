"""What a hostile or failing build leaves on GitHub: the log as the runner reads it, the page as people see it."""

from __future__ import annotations

import base64

import pytest

from tests.e2e.parts import Project
from tests.unit.ci.github.runner import github_commands
from tests.unit.ci.github.summary.test_page import seen

pytestmark = [pytest.mark.engine]

GITHUB = {
    "CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "workflow_dispatch", "GITHUB_REF": "refs/heads/main",
    "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch", "GITHUB_REPOSITORY": "acme/shop",
    "GITHUB_SERVER_URL": "https://github.com",
}  # fmt: skip
SPITE = r"""::error file=x::y
::stop-commands::mine
::mine::
##[add-mask]a
word ##[set-output name=digest]evil
<img src=x onerror=y> @octocat http://evil.example
````
</details># not a heading
| a | b |
"""


def test_a_hostile_build_that_fails_commands_nobody(layout: Project, base_image: str, mark: str) -> None:
    """On both streams of the command, in its instruction, and in what the run prints on both of its own."""
    text = base64.b64encode(SPITE.encode()).decode()
    run = f"RUN echo {text} | base64 -d; echo {text} | base64 -d >&2; : '##[add-mask]x </code>|<b>'; exit 3"
    commit = layout.repo.write(
        {
            "lineal.yaml": "project: shop\nimages: {app: {}}\n",
            "Dockerfile": f"FROM {base_image}\nCOPY mark /\n{run}\n",
            "mark": mark,
        }
    )
    page = layout.scratch / "page.md"
    failed = layout.build(code=1, env=GITHUB | {"GITHUB_STEP_SUMMARY": str(page), "GITHUB_SHA": commit})

    commands = github_commands(failed.stderr + failed.stdout)
    names = [name for name, _ in commands]
    assert set(names) <= {"group", "endgroup", "stop-commands", "resume", "error"}
    (error,) = [data for name, data in commands if name == "error"]
    assert "::error file=Dockerfile,line=3::" in failed.stderr and "ended with status 3" in error

    found = seen(page.read_text())
    assert found.heading.startswith("❌ RUN echo") and found.tags.count("h3") == 1
    shown = found.blocks[0].splitlines()
    assert sorted(shown[-18:]) == sorted(SPITE.splitlines() * 2)
    assert not {"img", "a", "b"} & set(found.tags)
    (stage,) = [one for one in failed.report["stages"] if one["outcome"] == "failed"]
    assert stage["output"] == shown


def test_warnings_and_errors_name_files_from_the_repository_s_root(layout: Project, base_image: str) -> None:
    commit = layout.repo.write(
        {
            "lineal.yaml": "project: shop\nimages: {app: {context: app}}\n",
            "app/Dockerfile": f"FROM {base_image}\nRNU x\n",
        }
    )
    failed = layout.build(code=3, cwd=layout.repo.path / "app", env=GITHUB | {"GITHUB_SHA": commit})
    assert "::error file=app/Dockerfile,line=2::" in failed.stderr
