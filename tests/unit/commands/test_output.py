"""The files that a run leaves for its CI: the job summary, variables for later jobs, a child pipeline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests import servers
from tests.conftest import Lineal

FILES = {
    "Dockerfile": "FROM scratch\nCOPY app /\n",
    "top.Dockerfile": "ARG BASE\nFROM ${BASE}\nCOPY app /top\n",
    "app": "1",
    "lineal.yaml": "project: shop\nimages:\n  app: {}\n  top: {dockerfile: top.Dockerfile, needs: {BASE: app}}\n",
}


@pytest.fixture
def summary(tmp_path: Path) -> Path:
    path = tmp_path / "summary.md"
    path.touch()
    return path


@pytest.fixture
def project(repo: servers.Repository, lineal: Lineal, summary: Path, tmp_path: Path) -> Lineal:
    """Two images that need no engine, a store, and the summary of a step."""
    repo.write(FILES)
    lineal.env |= {"LINEAL_REPO": f"layout:{tmp_path}/store", "GITHUB_STEP_SUMMARY": str(summary)}
    return lineal


# --- the job summary --------------------------------------------------------------------------------------------


def test_every_command_that_works_adds_its_page(project: Lineal, summary: Path) -> None:
    summary.write_text("# mine\n")
    assert project("plan").code == 0
    assert project("build").code == 0
    assert project("build").code == 0
    text = summary.read_text()
    assert text.startswith("# mine\n")
    headings = [line for line in text.splitlines() if line.startswith("### ")]
    assert headings == [
        "### 📋 <code>app</code> and <code>top</code> would be built.",
        "### ✅ Built <code>app</code> and <code>top</code>.",
        "### ✅ Nothing to build: both images were there already.",
    ]
    assert "<code>COPY app /top</code>" in text and "```mermaid" in text


def test_a_page_begins_on_a_line_of_its_own(project: Lineal, summary: Path) -> None:
    summary.write_text("no newline at the end")
    assert project("plan").code == 0
    assert summary.read_text().startswith("no newline at the end\n\n### ")


@pytest.mark.parametrize("word", ["false", "0", "no", "FALSE"])
def test_the_page_can_be_turned_off(project: Lineal, summary: Path, word: str) -> None:
    assert project("plan", env={"LINEAL_SUMMARY": word}).code == 0
    assert summary.read_text() == ""


def test_a_word_that_is_neither_true_nor_false_is_refused(project: Lineal) -> None:
    failed = project("plan", env={"LINEAL_SUMMARY": "off please"})
    assert failed.code == 3
    assert "LINEAL_SUMMARY is neither true nor false. Set it to false, or remove it." in failed.stderr


def test_settings_that_make_no_sense_have_a_page_where_the_command_has_one(project: Lineal, summary: Path) -> None:
    project.env["LINEAL_JOBS"] = "0"
    assert project("config").code == 3
    assert project("cleanup").code == 3
    assert project("plan", env={"LINEAL_SUMMARY": "false"}).code == 3
    assert summary.read_text() == ""
    assert project("plan").code == 3
    assert "<code>lineal plan</code> failed." in summary.read_text()


def test_a_run_that_fails_before_it_knows_its_images_has_a_page(
    project: Lineal, repo: servers.Repository, summary: Path
) -> None:
    repo.write({"lineal.yaml": "project: shop\nimages: {app: {contxt: .}}\n"})
    for command in ("plan", "build", "render", "deploy", "converge"):
        assert project(command).code == 3
    text = summary.read_text()
    assert text.count("failed.\n\n> <code>lineal.yaml&#58;2</code>: ") == 5 and "contxt" in text
    assert project("config").code == 3 and summary.read_text() == text


def test_a_run_that_fails_later_says_so_once(project: Lineal, summary: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    project("build")
    (summary.parent / "store" / "index.json").unlink()
    summary.write_text("")
    blobs = summary.parent / "store" / "blobs" / "sha256"
    for blob in blobs.iterdir():
        blob.unlink()
    blobs.rmdir()
    blobs.write_text("in the way")
    failed = project("build", "--report", str(report))
    assert failed.code == 5
    assert summary.read_text().count("### ❌") == 1
    sentence = failed.stderr.splitlines()[-1].removeprefix("Error: ")
    assert json.loads(report.read_text())["error"]["message"] in sentence


def test_a_summary_that_cannot_be_written_fails_nothing(project: Lineal, tmp_path: Path) -> None:
    done = project("plan", env={"GITHUB_STEP_SUMMARY": str(tmp_path)})
    assert done.code == 0
    assert "warning: The job summary cannot be written: Is a directory." in done.stderr


def test_a_summary_that_is_full_stays_as_it_is(project: Lineal, summary: Path) -> None:
    summary.write_bytes(b"x" * 999_000)
    assert project("plan").code == 0
    assert summary.stat().st_size == 999_000


# --- the report -------------------------------------------------------------------------------------------------


def test_the_report_says_what_is_made_from_what(project: Lineal, tmp_path: Path) -> None:
    found = json.loads(project("plan", "--format", "json").stdout)
    app, top = (image["checksum"] for image in found["images"])
    stages = {stage["checksum"]: stage for stage in found["stages"]}
    chain = [top]
    while stages[chain[-1]]["parent"]:
        chain.append(stages[chain[-1]]["parent"])
    assert app in chain and stages[app]["instruction"] == "COPY app /"
    assert found["error"] is None


def test_json_on_stdout_is_no_command_to_the_runner(project: Lineal, repo: servers.Repository) -> None:
    repo.write({"Dockerfile": 'FROM scratch\nCOPY ["app", "/##[add-mask]a"]\n'})
    shown = project("plan", "--format", "json").stdout
    assert "##[" not in shown
    assert any("##[add-mask]a" in stage["instruction"] for stage in json.loads(shown)["stages"])


# --- variables --------------------------------------------------------------------------------------------------


def test_variables_for_later_jobs(project: Lineal, tmp_path: Path) -> None:
    file, report = tmp_path / "lineal.env", tmp_path / "report.json"
    assert project("build", "app", "--dotenv", str(file), "--report", str(report)).code == 0
    (image,) = json.loads(report.read_text())["images"]
    assert file.read_text().splitlines() == [
        "LINEAL_BUILT=true",
        f"LINEAL_IMAGE={image['image']}",
        f"LINEAL_DIGEST={image['digest']}",
        f"LINEAL_IMAGE_APP={image['image']}",
    ]
    assert project("build", env={"LINEAL_DOTENV": str(file)}).code == 0
    assert [line.partition("=")[0] for line in file.read_text().splitlines()] == [
        "LINEAL_BUILT",
        "LINEAL_IMAGE_APP",
        "LINEAL_IMAGE_TOP",
    ]


def test_images_that_share_a_variable_are_named(project: Lineal, repo: servers.Repository, tmp_path: Path) -> None:
    repo.write(
        {"lineal.yaml": "project: shop\nimages: {a-b: {dockerfile: Dockerfile}, a.b: {dockerfile: Dockerfile}}\n"}
    )
    done = project("build", "--dotenv", str(tmp_path / "lineal.env"))
    assert done.code == 0
    assert "warning: --dotenv has no variable for a-b, a.b: GitLab takes 20 variables and 5 KB" in done.stderr
    assert (tmp_path / "lineal.env").read_text() == "LINEAL_BUILT=true\n"


def test_a_file_without_a_directory_is_refused_before_anything_is_built(project: Lineal, tmp_path: Path) -> None:
    failed = project("build", "--dotenv", str(tmp_path / "no" / "lineal.env"))
    assert failed.code == 3 and "Make it, or correct --dotenv." in failed.stderr
    assert not (tmp_path / "store").exists()


# --- a child pipeline -------------------------------------------------------------------------------------------


def test_a_plan_for_gitlab_is_a_pipeline(project: Lineal, tmp_path: Path) -> None:
    template = tmp_path / "job.yml"
    template.write_text("image: lineal:1\ntags: [docker]\n")
    found = yaml.safe_load(project("plan", "--format", "gitlab", "--template", str(template), "--env", "eu").stdout)
    assert found[".lineal-build"] == {"image": "lineal:1", "tags": ["docker"]}
    assert found["build top"]["needs"] == ["build app"] and found["build top"]["script"] == ["lineal build top"]
    assert found["build app"]["variables"] == {"LINEAL_ENV": "eu"}
    project("build")
    assert "nothing to build" in yaml.safe_load(project("plan", "--format", "gitlab").stdout)


def test_what_could_be_secret_is_not_written_into_a_pipeline(project: Lineal) -> None:
    failed = project("plan", "--format", "gitlab", "--var", "token=hunter2")
    assert failed.code == 3 and failed.stdout == "" and "hunter2" not in failed.stderr
    assert "Set LINEAL_VAR in the template's variables, or in the project's." in failed.stderr


def test_a_template_without_a_child_pipeline_is_refused(project: Lineal) -> None:
    failed = project("plan", "--template", "job.yml")
    assert failed.code == 3 and "--template is for --format gitlab." in failed.stderr
