"""A report as the outputs of a step of GitHub Actions, for the steps and jobs after it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from lineal.ci.build_metadata import metadata
from lineal.ci.github.matrix import matrix
from lineal.ci.results import ResultFiles
from lineal.ci.runners import Runners
from lineal.errors import BadConfiguration
from lineal.report.model import ImageReport, Report
from lineal.report.tags import references

_MOST = 1_000_000
"""Bytes, in UTF-16 as GitHub counts, that all outputs of a job may have together."""


def write_outputs(report: Report, environ: Mapping[str, str], files: ResultFiles) -> None:
    """The outputs of a step, the action's or any other that runs Lineal. Raises `BadConfiguration`."""
    path = environ.get("GITHUB_OUTPUT")
    if not path:
        return
    found = outputs(report, host_path(files.report, environ) if files.report else "", files.runners)
    for name in too_much(found):
        files.warn(f"The output {name} is left out: GitHub takes 1 MB. Take it from --report.")
        del found[name]
    try:
        with Path(path).open("ab") as file:
            file.write(encode(found))
    except OSError as error:
        # The steps after this one would go on without what they need.
        sentence = f"The step's outputs cannot be written to {path}: {error.strerror}."
        raise BadConfiguration(sentence, id="LN-1017", remedy="Leave GITHUB_OUTPUT as the runner set it.") from None


def outputs(report: Report, path: str = "", runners: Runners | None = None) -> dict[str, str]:
    """`path` is the report's own, where the next step runs. Nothing is said of images that are not published."""
    published = [image for image in report.images if image.digest is not None]
    found = {}
    if report.context is not None:
        found["built"] = "true" if any(image.built for image in report.images) else "false"
        found["matrix"] = matrix(report, runners).strip()
    if report.context is not None or report.bundle is not None:
        found["images"] = json.dumps({image.name: _image(image) for image in published}, separators=(",", ":"))
    if path:
        found["report"] = path
    if report.handover is not None and report.handover.commit:
        found["commit"] = report.handover.commit
    if len(report.images) == 1 and published:
        # Without the digest: what attestations and scanners call a subject's name.
        found["image"], found["digest"] = published[0].repository or "", published[0].digest or ""
        if published[0].config:
            found["imageid"] = published[0].config
    finished = [image for image in published if image.config]
    if finished:
        found["metadata"] = metadata(finished, whole=len(report.images) == 1)
        # A line for each, as docker/metadata-action has them.
        found["tags"] = "\n".join(tag for image in finished for tag in references(image))
    return found


def _image(image: ImageReport) -> dict[str, object]:
    found: dict[str, object] = {
        name: getattr(image, name) for name in ("ref", "image", "repository", "tag", "digest")
    }
    if len(image.platforms) > 1:
        found["platforms"] = {part.name: part.digest for part in image.platforms}
    return found


def too_much(found: Mapping[str, str]) -> list[str]:
    """The names of what has to be left out, so that the rest arrives: GitHub fails a job that says too much."""
    left_out: list[str] = []
    size = sum(_size(name, value) for name, value in found.items())
    for name in sorted(found, key=lambda name: -len(found[name])):
        if size <= _MOST:
            break
        left_out.append(name)
        size -= _size(name, found[name])
    return left_out


def _size(name: str, value: str) -> int:
    return len(f"{name}{value}".encode("utf-16-le"))


def encode(found: Mapping[str, str]) -> bytes:
    """The lines of a GITHUB_OUTPUT file. The delimiters cannot be guessed, so no value can end early and name
    outputs of its own."""
    parts = []
    for name, value in found.items():
        delimiter = f"lineal_{secrets.token_hex(16)}"
        parts.append(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")
    return "".join(parts).encode()


def host_path(path: str, environ: Mapping[str, str]) -> str:
    """A path on the runner, of one in the action's container, where some of its directories have other names; the
    path itself where nothing is known to be mounted."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 (a symbolic link may mean something else on the runner)
    temp = environ.get("LINEAL_ACTION_TEMP")
    mounts = [
        (environ.get("GITHUB_WORKSPACE"), environ.get("LINEAL_ACTION_WORKSPACE")),
        (environ.get("RUNNER_TEMP"), temp),
        (environ.get("HOME"), temp and f"{temp}/_github_home"),
    ]
    for inside, outside in mounts:
        if inside and outside and absolute.is_relative_to(inside):
            return str(Path(outside) / absolute.relative_to(inside))
    return str(absolute)
