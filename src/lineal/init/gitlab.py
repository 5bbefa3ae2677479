"""Builds of GitLab's pipelines: jobs whose scripts call docker, buildx, buildah or kaniko."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from lineal.init.build import UNKNOWN, Build, inside

_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
_HOME = {"CI_PROJECT_DIR": ".", "CI_REGISTRY_IMAGE": "", "PWD": "."}
_CALL = re.compile(
    r"(?:docker(?: image)?|docker buildx|buildx|podman|buildah|nerdctl)\s+(?:build|bud)\b|(?:\S*/)?executor\b"
)
_FLAGS = {"-f": "file", "--file": "file", "--dockerfile": "file", "--target": "target", "-c": "context",
          "--context": "context", "-t": "tag", "--tag": "tag", "--destination": "tag", "-d": "tag",
          "--build-arg": "arg", "--platform": "platform", "--custom-platform": "platform"}  # fmt: skip
_SWITCHES = {"--push", "--pull", "--no-cache", "--load", "-q", "--quiet", "--rm", "--force-rm", "--cache", "--squash"}
_SCRIPTS = ("before_script", "script", "after_script")


def is_pipeline(path: str) -> bool:
    return re.fullmatch(r"(\.gitlab-ci|\.gitlab/.*)\.ya?ml", path) is not None


def builds(path: str, document: Any) -> Iterator[Build]:
    """The builds of the jobs' scripts; a variable of the pipeline has its value where the file says it."""
    jobs = document if isinstance(document, dict) else {}
    known = _variables(jobs)
    for name, job in jobs.items():
        if isinstance(job, dict):
            own = {**known, **_variables(job)}
            for line in _commands(job):
                yield from _build(path, str(name), _known(line, own))


def _variables(part: Mapping[str, Any]) -> dict[str, str]:
    found = part.get("variables")
    pairs = found.items() if isinstance(found, dict) else ()
    return {str(key): str(value) for key, value in pairs if isinstance(value, str | int)}


def _commands(job: Mapping[str, Any]) -> Iterator[str]:
    for key in _SCRIPTS:
        script = job.get(key)
        for text in script if isinstance(script, list) else [script]:
            if isinstance(text, str):
                yield from re.sub(r"\\\n", " ", text).splitlines()


def _known(line: str, variables: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] in _HOME:
            return _HOME[found[1]]
        text = variables.get(found[1], UNKNOWN)
        return UNKNOWN if "$" in text else text

    return _VARIABLE.sub(value, line)


def _build(path: str, job: str, line: str) -> Iterator[Build]:
    call = _CALL.search(line)
    if call is None:
        return
    try:
        words = shlex.split(line[call.end() :], comments=True)
    except ValueError:
        return
    given: dict[str, list[str]] = {}
    at = 0
    while at < len(words) and words[at] not in ("&&", "||", "|", ";"):
        flag, equals, value = words[at].partition("=")
        at += 1
        if not flag.startswith("-"):
            given.setdefault("path", []).append(words[at - 1])
        elif flag in _FLAGS or (not equals and flag not in _SWITCHES):
            if not equals and at < len(words):
                value, at = words[at], at + 1
            given.setdefault(_FLAGS.get(flag, flag), []).append(value)
    kaniko = call[0].endswith("executor")
    context = inside("", (given.get("context") or given.get("path") or ["."])[-1].removeprefix("dir://") or ".")
    file = (given.get("file") or [""])[-1]
    dockerfile = None if context is None else inside(context if kaniko else "", file) if file else None
    if context is not None and not file:
        dockerfile = inside(context, "Dockerfile")
    if context is not None and dockerfile is not None:
        pairs = (one.partition("=") for one in given.get("arg", ()))
        args = {key: value for key, equals, value in pairs if equals}
        target = (given.get("target") or [""])[-1] or None
        yield Build(dockerfile, context, target, args, path, name=job, platforms=tuple(given.get("platform", ())))
