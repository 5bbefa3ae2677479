"""What a job of GitHub Actions gives Lineal beside its context, and what it gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal.ci.github.provider import GitHub
from lineal.ci.provider import run_name
from lineal.ci.results import ResultFiles
from lineal.errors import BadConfiguration, LinealError
from lineal.report.model import PlatformReport
from tests.unit.report.reports import shop

JOB = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "42"}


@pytest.mark.parametrize("server", [{}, {"GITHUB_SERVER_URL": "https://ghe.example.com"}])
def test_a_run_is_known_by_its_address(server: dict[str, str]) -> None:
    host = server.get("GITHUB_SERVER_URL", "https://github.com")
    assert run_name(JOB | server) == f"{host}/o/r/actions/runs/42"


def test_a_run_without_a_number_is_known_by_its_process() -> None:
    assert run_name({"GITHUB_ACTIONS": "true"}).startswith("process ")


def test_the_name_of_a_run_is_one_short_line() -> None:
    name = run_name(JOB | {"GITHUB_REPOSITORY": "o/r\n\x1b[2J" + "x" * 500})
    assert name.isprintable() and len(name) <= 200


def test_an_error_is_shown_beside_the_code() -> None:
    assert GitHub(JOB).annotation(LinealError("No.", id="LN-9001")) == "::error::No. [LN-9001]"


def test_outputs_that_cannot_be_written_leave_the_page(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    environ = JOB | {"GITHUB_OUTPUT": str(tmp_path), "GITHUB_STEP_SUMMARY": str(summary)}
    with pytest.raises(BadConfiguration, match="outputs cannot be written"):
        GitHub(environ).write_results(shop(), ResultFiles(pytest.fail))
    assert summary.read_text().startswith("### ")


def test_the_matrix_has_the_runners_that_the_run_was_told_of(tmp_path: Path) -> None:
    environ = JOB | {"GITHUB_OUTPUT": str(tmp_path / "outputs"), "LINEAL_RUNNER": "not for this"}
    files = ResultFiles(pytest.fail, runners={"linux/amd64": ("our-own",)})
    report = shop("missing", command="plan")
    for image in report.images:
        image.platforms = [PlatformReport(name="linux/amd64", checksum=image.checksum)]
    GitHub(environ).write_results(report, files)
    assert '"runner":"our-own"' in (tmp_path / "outputs").read_text()


def test_a_page_has_no_place_where_it_was_turned_off(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    GitHub(JOB | {"GITHUB_STEP_SUMMARY": str(summary)}).write_results(shop(), ResultFiles(pytest.fail, summary=False))
    assert not summary.exists()


def test_a_step_that_is_given_the_token_logs_in_to_the_registry_of_its_forge() -> None:
    here = {"GITHUB_ACTIONS": "true", "GITHUB_TOKEN": "ghs_1", "GITHUB_ACTOR": "ada"}
    ((host, login),) = GitHub(here).logins().items()
    assert (host, login.username, login.password) == ("ghcr.io", "ada", "ghs_1")
    (own,) = GitHub({**here, "GITHUB_SERVER_URL": "https://git.example.com"}).logins()
    assert own == "containers.git.example.com"
    assert not GitHub({**here, "GITHUB_ACTIONS": ""}).logins()
    assert not GitHub({**here, "GITHUB_SERVER_URL": "https://[x"}).logins()
    assert "ghs_1" not in repr(login)
