"""A command whose streams are closed, or whose locale knows no letters, works as any other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lineal.ci import validation
from lineal.errors import BadConfiguration
from tests.conftest import Lineal
from tests.servers import Repository


@pytest.fixture
def project(repo: Repository, lineal: Lineal, tmp_path: Path) -> Lineal:
    files = {"Dockerfile": "FROM scratch\nCOPY . /\n", "ü": "1", "sub/€": "2"}
    repo.write({"lineal.yaml": "project: p\nimages: {p: {}}\n", **files})
    lineal.env["LINEAL_REPO"] = f"layout:{tmp_path}/store"
    return lineal


def shell(project: Lineal, words: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """`lineal` in a process of its own, in a shell that puts its streams where `words` say."""
    script = f'exec "$0" -m lineal {words}'
    env = {**project.environment(), **variables}
    return subprocess.run(["sh", "-c", script, sys.executable], cwd=project.cwd, env=env, capture_output=True)


def test_a_pattern_of_docker_s_is_no_warning_of_python_s(project: Lineal, repo: Repository) -> None:
    repo.write({".dockerignore": "[[a]b\n", "[b": "1", "c": "1"})
    ended = shell(project, "plan")
    assert ended.returncode == 0 and b"Warning" not in ended.stderr, ended.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_failure(project: Lineal, tmp_path: Path, closed: str) -> None:
    report = tmp_path / "report.json"
    ended = shell(project, f"build --report {report} {closed}")
    assert ended.returncode == 0 and b"Error" not in ended.stderr and b"Traceback" not in ended.stderr
    assert json.loads(report.read_text())["images"][0]["digest"]
    assert ended.stdout.startswith(b"p layout:") == (">&-" not in closed.replace("2>&-", ""))


def test_an_error_without_streams_keeps_its_code(project: Lineal) -> None:
    assert shell(project, "build nobody >&- 2>&-").returncode == 3
    assert shell(project, "--help >&- 2>&-").returncode == 0


def test_a_reader_of_the_log_that_is_gone_changes_nothing(project: Lineal) -> None:
    ended = shell(project, "build 2>&1 >/dev/null | true; exit 0")
    assert ended.returncode == 0 and ended.stderr == b""


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONUTF8": "0", "LC_ALL": "POSIX", "LANG": "C"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    ],
)
def test_names_of_files_need_no_locale(project: Lineal, variables: dict[str, str]) -> None:
    ended = shell(project, "build", **variables)
    assert ended.returncode == 0, ended.stderr
    Path(project.cwd, "ü").write_text("changed")
    ended = shell(project, "plan", **variables)
    said = ended.stderr.decode()
    assert ended.returncode == 4 and ("ü (modified)" in said or "\\xfc (modified)" in said)


@pytest.mark.parametrize(("name", "shown"), [("f\udcfcr", "f\ufffdr"), ("\udce9", "\ufffd")])
def test_a_branch_name_that_is_not_utf_8_is_taken(name: str, shown: str) -> None:
    assert validation.ref_name(name, "CI_COMMIT_BRANCH") == shown


def test_a_branch_name_that_no_bytes_can_be_is_refused_with_the_reason() -> None:
    with pytest.raises(BadConfiguration, match=r"ref has the name .*, whose bytes are not UTF-8.*in UTF-8"):
        validation.ref_name("f\ud800", "ref")
