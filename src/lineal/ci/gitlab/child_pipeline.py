"""The images that need work as a child pipeline of GitLab: each image waits for those it needs or requires."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lineal.ci.jobs import JobSettings
from lineal.ci.runners import Runners, labels
from lineal.errors import BadConfiguration, Location
from lineal.report.model import Report
from lineal.report.platform_jobs import PlatformJob, has_several, platform_jobs
from lineal.report.stage_graph import stale

TEMPLATE = ".lineal-build"
_OURS = ("script", "extends", "needs", "stage", "rules", "only", "except", "trigger", "run")
"""Keys of a job that the generated jobs have themselves, or that would take jobs out of the pipeline."""
_SAAS = "gitlab.com"
_OF_GITLAB: Runners = {
    "linux/amd64": ("saas-linux-small-amd64",),
    "linux/386": ("saas-linux-small-amd64",),
    "linux/arm64": ("saas-linux-small-arm64",),
}
_OF_OTHERS: Runners = {"linux/amd64": ("amd64",), "linux/386": ("amd64",), "linux/arm64": ("arm64",)}
"""What a GitLab of one's own has is for its administrator to say; these are the usual names."""
_NEEDS = 50
"""GitLab takes no more `needs:` in a job."""


def child_pipeline(settings: JobSettings, image: str | None, host: str = "") -> Callable[[Report], str]:
    """Writes the pipeline of a report; `image` is that of the job that plans, `host` GitLab's own.

    Raises `BadConfiguration`."""
    if settings.has_vars:
        # It may be a secret, and the pipeline's file can be downloaded.
        what = "--var is not passed on to the jobs of --format gitlab."
        raise BadConfiguration(
            what, id="LN-1016", remedy="Set LINEAL_VAR in the template's variables, or in the project's."
        )
    template = read_template(settings.template) if settings.template else default_template(image)
    usual = _OF_GITLAB if host == _SAAS else _OF_OTHERS
    return lambda report: child(report, template, settings.variables, settings.runners, usual)


def child(
    report: Report, template: Mapping[str, Any], variables: Mapping[str, str], runners: Runners | None = None,
    usual: Runners | None = None,
) -> str:  # fmt: skip
    """The pipeline as YAML. `template` is what every job has, `variables` the settings that the jobs repeat.

    Where images are for several platforms, or `runners` names some, an image has a job for each of them, with the
    tags of its runner: of `runners`, else of `usual` ones."""
    import yaml

    found = stale(report)
    apart = platform_jobs(report, found) if runners or has_several(report) else {}
    titles = {name: [_title(name, job) for job in apart[name]] if apart else [_title(name)] for name in found}
    jobs: dict[str, Any] = {TEMPLATE: dict(template)}
    for name, needs in found.items():
        command = f"lineal build {shlex.quote(name)}"
        waits = _waits(name, needs, found, titles)
        for job in apart.get(name, ()):
            made = _job(f"{command} --platform {','.join(job.platforms)}", waits, variables)
            tags = list(labels(job.machine, runners or {}, usual or _OF_OTHERS))
            jobs[_title(name, job)] = {**made, "tags": tags}
        if not apart:
            jobs[_title(name)] = _job(command, waits, variables)
    if not found:
        # GitLab refuses a pipeline without jobs.
        jobs["nothing to build"] = _job("echo 'Every image is published.'", [], {})
    commit = report.context.commit if report.context is not None else ""
    head = f"# By `lineal plan --format gitlab`: a job for each image that commit {commit} lacks.\n"
    return head + str(yaml.safe_dump(jobs, sort_keys=False, allow_unicode=True, width=1000))


def read_template(path: str) -> dict[str, Any]:
    """The keys that every job of the child pipeline has. Raises `BadConfiguration`."""
    import yaml

    try:
        found = yaml.safe_load(Path(path).read_bytes())
    except OSError as error:
        what = f"The template {path} cannot be read: {error.strerror}."
        raise BadConfiguration(what, id="LN-1020", remedy="Correct --template.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        raise BadConfiguration(
            "This is not YAML.", id="LN-1020", place=Location(path, line), remedy="Correct the template."
        ) from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        what = "The template is not a mapping of a job's keys."
        raise BadConfiguration(
            what, id="LN-1020", place=Location(path), remedy="Write `image: …`, `services: …` and so on."
        )
    for key in found:
        if key in _OURS:
            what = f"The template has `{key}`, which the jobs have of their own or cannot have."
            raise BadConfiguration(what, id="LN-1020", place=Location(path, key=key), remedy="Remove it.")
    return found


def default_template(image: str | None) -> dict[str, Any]:
    """Without a template: the image of the job that plans, and the whole history."""
    template: dict[str, Any] = {} if not image else {"image": {"name": image, "entrypoint": [""]}}
    return template | {"variables": {"GIT_DEPTH": "0"}}


def _title(image: str, job: PlatformJob | None = None) -> str:
    return f"build {image} {','.join(job.platforms)}" if job is not None else f"build {image}"


def _job(command: str, needs: list[str], variables: Mapping[str, str]) -> dict[str, Any]:
    # Jobs without rules are left out of a child pipeline whose parent is a merge request's.
    job: dict[str, Any] = {"extends": TEMPLATE, "rules": [{"when": "on_success"}], "needs": needs}
    if variables:
        # GitLab would replace `$NAME` in a value.
        job["variables"] = {name: value.replace("$", "$$") for name, value in variables.items()}
    return job | {"script": [command]}


def _waits(name: str, needs: list[str], found: Mapping[str, list[str]], titles: Mapping[str, list[str]]) -> list[str]:
    """The jobs to wait for: not those that another of them waits for anyway."""
    direct = [need for need in needs if not any(need in found[other] for other in needs)]
    jobs = [title for need in direct for title in titles[need]]
    if len(jobs) > _NEEDS:
        what = f"The image {name} needs {len(jobs)} images that are not there; GitLab lets a job wait for {_NEEDS}."
        raise BadConfiguration(what, id="LN-1021", remedy="Build them in one job: `lineal build`.")
    return jobs
