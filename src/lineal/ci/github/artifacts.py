"""The finished images of a run, declared to GitHub's runner: an `actions/attest` after it finds them as subjects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lineal.ci.results import ResultFiles
from lineal.report.model import Report

_MOST = 500
"""Artifacts that the runner takes of one job."""


def declare(report: Report, environ: Mapping[str, str], files: ResultFiles) -> None:
    """A line for each finished image, in the file that `GITHUB_ARTIFACTS` names."""
    finished = {f"oci://{image.repository}@{image.digest}" for image in report.images if image.media_type}
    if report.command not in ("build", "converge") or report.error is not None or not finished:
        return
    if len(finished) > _MOST:
        files.warn(f"GitHub takes {_MOST} artifacts of a job: the finished images are not declared to it.")
        return
    try:
        with Path(environ["GITHUB_ARTIFACTS"]).open("a") as file:
            file.write("".join(f"{line}\n" for line in sorted(finished)))
    except OSError as error:
        files.warn(f"The finished images cannot be declared in {environ['GITHUB_ARTIFACTS']}: {error.strerror}.")
