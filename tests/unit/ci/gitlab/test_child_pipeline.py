"""The child pipeline, read back as GitLab reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given

from lineal.ci.gitlab.child_pipeline import child, default_template, read_template
from lineal.errors import BadConfiguration
from lineal.report.model import Report
from lineal.report.stage_graph import stale
from tests.unit.ci.github.test_matrix import projects
from tests.unit.report.reports import image, report, shop, stage


def jobs(made: Report, template: dict[str, Any] | None = None, variables: dict[str, str] | None = None) -> Any:
    return yaml.safe_load(child(made, template or {"image": "lineal:1"}, variables or {}))


def test_each_stale_image_is_a_job_that_waits_for_the_stale_images_it_needs() -> None:
    always = {"extends": ".lineal-build", "rules": [{"when": "on_success"}]}
    assert jobs(shop("missing")) == {
        ".lineal-build": {"image": "lineal:1"},
        "build api": {**always, "needs": [], "script": ["lineal build api"]},
        "build web": {**always, "needs": ["build api"], "script": ["lineal build web"]},
    }


def test_a_pipeline_always_has_a_job() -> None:
    assert list(jobs(shop())) == [".lineal-build", "nothing to build"]


def test_settings_are_repeated_and_gitlab_replaces_nothing_in_them() -> None:
    (job,) = [
        job for name, job in jobs(shop("missing"), variables={"LINEAL_ENV": "a$b"}).items() if name == "build api"
    ]
    assert job["variables"] == {"LINEAL_ENV": "a$$b"}


def test_a_job_waits_for_no_job_that_another_waits_for() -> None:
    made = report(
        [image(name, f"{name}/1", None) for name in ("a", "b", "c")],
        [
            stage("a/1", "COPY x y", "missing"),
            stage("b/1", "COPY x y", "missing", "a/1"),
            stage("c/1", "COPY x y", "missing", "b/1", inputs=["a/1"]),
        ],
    )
    assert jobs(made)["build c"]["needs"] == ["build b"]


@given(projects())
def test_every_job_runs_after_all_that_it_needs(made: Report) -> None:
    found = jobs(made)
    del found[".lineal-build"]
    done: set[str] = set()
    for name, job in found.items():
        assert set(job["needs"]) <= done
        done.add(name)
    for name, needs in stale(made).items():
        before, queue = set(), list(found[f"build {name}"]["needs"])
        while queue:
            before.add(queue[-1])
            queue += found[queue.pop()]["needs"]
        assert before == {f"build {need}" for need in needs}


def test_more_needs_than_gitlab_takes_are_refused() -> None:
    bases = [stage(f"b{n}/1", "COPY x y", "missing") for n in range(51)]
    top = stage("top/1", "COPY x y", "missing", inputs=[f"b{n}/1" for n in range(51)])
    made = report([*(image(f"b{n}", f"b{n}/1", None) for n in range(51)), image("top", "top/1", None)], [*bases, top])
    with pytest.raises(BadConfiguration, match="needs 51 images that are not there; GitLab lets a job wait for 50"):
        jobs(made)


def test_a_template_is_what_every_job_has(tmp_path: Path) -> None:
    file = tmp_path / "job.yml"
    file.write_text("image: lineal:1\nservices: [docker:dind]\nvariables: {A: 1}\n")
    assert read_template(str(file)) == {"image": "lineal:1", "services": ["docker:dind"], "variables": {"A": 1}}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: [", "job.yml:1: This is not YAML. Correct the template."),
        ("- a", "job.yml: The template is not a mapping of a job's keys. Write `image: …`, `services: …` and so on."),
        ("", "job.yml: The template is not a mapping of a job's keys."),
        ("1: 2", "job.yml: The template is not a mapping of a job's keys."),
        (
            "script: [x]",
            "job.yml: script: The template has `script`, which the jobs have of their own or cannot have.",
        ),
        ("\x01", "job.yml: This is not YAML."),
        ("!!python/object/apply:os.system [x]", "job.yml:1: This is not YAML."),
    ],
)
def test_a_template_that_is_none_is_refused(tmp_path: Path, text: str, error: str) -> None:
    file = tmp_path / "job.yml"
    file.write_text(text)
    with pytest.raises(BadConfiguration) as refused:
        read_template(str(file))
    assert error in str(refused.value)


def test_a_template_that_is_not_there_is_named() -> None:
    with pytest.raises(
        BadConfiguration, match=r"The template /nowhere\.yml cannot be read: No such file or directory\."
    ):
        read_template("/nowhere.yml")


def test_without_a_template_the_jobs_run_in_the_image_of_the_one_that_plans() -> None:
    assert default_template("lineal:1")["image"] == {"name": "lineal:1", "entrypoint": [""]}
    assert default_template(None) == {"variables": {"GIT_DEPTH": "0"}}
