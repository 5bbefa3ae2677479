from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from lineal.ci.context import Context
from lineal.ci.provider import describe, job_writers, provider_of, run_name
from tests.unit.ci.forge import Forge


def test_the_lines_name_each_value_and_its_source(forge: Forge, github: Callable[..., dict[str, str]]) -> None:
    environ = github("pull_request", forge.merge, "refs/pull/2/merge", pull_request__head__sha=forge.changes)
    lines = describe(provider_of(environ).context(forge.clone("refs/pull/2/merge")))
    assert lines[0].endswith("  GITHUB_EVENT_NAME") and "GitHub, pull_request #2" in lines[0]
    rows = {line.split()[0]: line for line in lines}
    assert forge.merge in rows["commit"] and "git HEAD" in rows["commit"]
    assert f"{forge.main[:12]} {forge.changes[:12]}" in rows["parents"]
    assert "changes" in rows["branch"] and "payload pull_request.head.ref" in rows["branch"]
    assert "ghcr.io/codertocat/hello-world" in rows["registry"] and "GITHUB_REPOSITORY" in rows["registry"]
    starts = {line.index(source) for line, source in [(rows["commit"], "git HEAD"), (rows["branch"], "payload")]}
    assert len(starts) == 1, "the sources stand below each other"


def test_a_fork_and_notes_are_shown() -> None:
    context = Context(
        "github",
        "pull_request",
        "a" * 40,
        fork=True,
        may_write=False,
        sources={"may_write": "x"},
        notes=("Careful.",),
    )
    lines = describe(context)
    assert "from a fork" in lines[0]
    assert any(line.split()[:2] == ["publish", "no"] for line in lines)
    assert lines[-1].split() == ["note", "Careful."]


def test_a_plain_clone_is_a_few_lines(forge: Forge) -> None:
    lines = describe(provider_of({}).context(forge.clone("changes", "changes")))
    assert [line.split()[0] for line in lines] == ["run", "commit", "branch"]


def test_characters_that_turn_text_around_are_shown_as_escapes() -> None:
    lines = describe(Context("local", "none", "a" * 40, branch="x\u202egnp.exe", sources={"branch": "git"}))
    assert "x\\u202egnp.exe" in lines[2] and all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"GITHUB_ACTIONS": "true"}, "github"),
        ({"GITLAB_CI": "true"}, "gitlab"),
        ({"CI": "true", "GITHUB_ACTIONS": "false", "GITLAB_CI": ""}, "local"),
    ],
)
def test_the_environment_says_which_ci_it_is(environ: dict[str, str], name: str) -> None:
    assert provider_of(environ).name == name


def test_a_run_on_a_machine_is_known_by_its_process() -> None:
    assert run_name({}) == f"process {os.getpid()} on {socket.gethostname()}"


def test_each_format_of_jobs_belongs_to_one_provider() -> None:
    assert list(job_writers({})) == ["matrix", "gitlab"]


def test_finding_the_provider_loads_no_part_of_it() -> None:
    program = (
        "import sys\n"
        "from lineal.ci.provider import provider_of\n"
        "provider_of({'GITHUB_ACTIONS': 'true'})\n"
        "sys.exit(any(name in sys.modules for name in ('lineal.ci.github.context', 'lineal.report.model', 'yaml')))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
