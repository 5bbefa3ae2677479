"""`act` runs a workflow of examples/ci whole and as it is written: its jobs, `if`s, matrices and outputs.

What stands in: `your_org/lineal@v1` and the actions below it are those of this tree, with the images that are built
from it, and actions/checkout is act's own, a copy of the repository as it is. The registry, the engine, Helm and the
containers are real. Unlike GitHub's runner, act gives all containers the workspace under its own path and shares no
other directory between jobs and actions."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests import servers
from tests.e2e.parts import docker

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples/ci"
LINEAL = "your_org/lineal@v1"
_LEFT = ("failed to remove container: ", "Error while stop job container: ")
_IN_USE = re.compile(r"remove ([\w.-]+): volume is in use - \[([0-9a-f]+)\]")
OFFLINE = ("--pull=false", "--action-offline-mode", "--no-cache-server", "--rm")


@dataclass
class Run:
    """A run of a workflow: whether it succeeded, and all that its jobs said."""

    code: int
    lines: list[dict[str, Any]]

    @property
    def jobs(self) -> dict[str, str]:
        """Job -> how it ended; a job of a matrix as `build (shop)`. Those that did not run are not there."""
        return {name(line): line["jobResult"] for line in self.lines if "jobResult" in line}

    def said(self, job: str = "", step: str = "") -> str:
        """What the steps of a job printed, or of all jobs."""
        chosen = [line for line in self.lines if job in ("", name(line)) and step in line.get("step", "")]
        return "\n".join(str(line["msg"]).rstrip("\n") for line in chosen)


def name(line: Mapping[str, Any]) -> str:
    values = " ".join(str(value) for value in (line.get("matrix") or {}).values())
    return f"{line.get('jobID', '')} ({values})" if values else str(line.get("jobID", ""))


@dataclass
class Act:
    """A repository on GitHub, its secrets and variables; `image` is that of the action and of the runners,
    `build_image` the one without Helm."""

    repo: servers.Repository
    store: str
    image: str
    build_image: str
    scratch: Path
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    actions: dict[str, Path] = field(default_factory=dict)
    """Other people's actions that stand in, `owner/name@ref` -> directory."""
    options: list[str] = field(default_factory=list)
    setup: dict[str, str] = field(default_factory=dict)
    """What the release writes into setup/action.yml: the variables that say where the command line is."""

    def install(self, workflow: str, replace: Mapping[str, str] | None = None) -> None:
        """Commits a workflow of the examples, with what the test has to replace in it."""
        text = (EXAMPLES / workflow).read_text()
        for old, new in (replace or {}).items():
            assert old in text, f"{workflow} has no {old}"
            text = text.replace(old, new)
        self.repo.write({f".github/workflows/{workflow}": text}, f"Add {workflow}")

    def run(self, event: str = "push", payload: Mapping[str, Any] | None = None) -> Run:
        self.scratch.mkdir(exist_ok=True)
        (self.scratch / "event.json").write_text(json.dumps({"ref": "refs/heads/main", **(payload or {})}))
        (self.scratch / "secrets.yml").write_text(yaml.safe_dump({"GITHUB_TOKEN": "ghs_of_act", **self.secrets}))
        (self.scratch / "vars.yml").write_text(yaml.safe_dump(self.variables))
        actions = {LINEAL: self.action(), **self.actions}
        files = {"--eventpath": "event.json", "--secret-file": "secrets.yml", "--var-file": "vars.yml"}
        done = subprocess.run(
            [str(Path(sys.executable).parent / "act"), event, "--json", *OFFLINE, "--network", "host",
             "--container-daemon-socket", os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"),
             "--platform", f"ubuntu-latest={self.image}", "--action-cache-path", str(self.scratch / "actions"),
             # In place of ghcr.io.
             "--env", f"LINEAL_REPO={self.store}",
             *(word for option, file in files.items() for word in (option, str(self.scratch / file))),
             *(word for key, path in actions.items() for word in ("--local-repository", f"{key}={path}")),
             *self.options],
            cwd=self.repo.path, env=self.environment(), capture_output=True, text=True, timeout=900,
        )  # fmt: skip
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert lines or not done.returncode, done.stdout + done.stderr
        run = Run(done.returncode, lines)
        return Run(0, lines) if run.code and self._tidied(run) else run

    def succeed(self, event: str = "push", payload: Mapping[str, Any] | None = None) -> Run:
        run = self.run(event, payload)
        assert run.code == 0, run.said()
        return run

    def _tidied(self, run: Run) -> bool:
        """Whether all that went wrong is that act, after a job's last step, removed a volume while the engine (20.10)
        still removed a container that had used it. Here it is removed again, or the next run could not begin."""
        wrong = [str(line["msg"]) for line in run.lines if line.get("level") in ("error", "fatal")]
        left = [found for text in wrong if (found := _IN_USE.search(text))]
        if not left or any(not text.startswith(_LEFT) for text in wrong) or set(run.jobs.values()) != {"success"}:
            return False
        # Seen where the test misses a job: act begins none after that.
        print("The engine still held a volume when its job had ended:", *wrong)
        for volume, container in (found.groups() for found in left):
            docker("rm", "--force", "--volumes", container, check=False)
            end = time.monotonic() + 300
            while (removed := docker("volume", "rm", volume, check=False)).returncode:
                if "no such volume" in removed.stderr.lower():
                    break
                assert "volume is in use" in removed.stderr and time.monotonic() < end, removed.stderr
                time.sleep(0.2)
        return True

    def action(self) -> Path:
        """The actions as a release has them: with the published images."""
        folder = self.scratch / "lineal"
        (folder / "build").mkdir(parents=True, exist_ok=True)
        for path, image in (("action.yml", self.image), ("build/action.yml", self.build_image)):
            action = yaml.safe_load((ROOT / path).read_text())
            action["runs"]["image"] = f"docker://{image}"
            (folder / path).write_text(yaml.safe_dump(action))
        other = (ROOT / "build-push/action.yml").read_text()
        (folder / "build-push").mkdir(exist_ok=True)
        (folder / "build-push/action.yml").write_text(re.sub(r"docker://\S+", f"docker://{self.build_image}", other))
        shutil.copytree(ROOT / "setup", folder / "setup", dirs_exist_ok=True)
        setup = yaml.safe_load((ROOT / "setup/action.yml").read_text())
        setup["runs"]["steps"][0]["env"] |= self.setup
        (folder / "setup/action.yml").write_text(yaml.safe_dump(setup))
        return folder

    def environment(self) -> dict[str, str]:
        # act looks for its settings at home, and for git in PATH.
        home = self.scratch / "home"
        home.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "DOCKER_HOST") if name in os.environ}
        return {**kept, "HOME": str(home), **servers.GIT_ISOLATION}


def shop(repo: servers.Repository) -> None:
    """examples/shop, committed on main, in a form that is built in a second: no RUN in its base. Its chart is a
    ConfigMap, for a cluster in memory that knows nothing else."""
    shutil.copytree(ROOT / "examples/shop", repo.path, dirs_exist_ok=True)
    shutil.rmtree(repo.path / "deploy/chart/templates")
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\n"
    manifest = f"{head}data: {{image: {{{{ .Values.image | quote }}}}}}\n"
    base = "FROM scratch\nCOPY vendor/ /opt/lib/\n"
    repo.write({"deploy/chart/templates/image.yaml": manifest, "docker/base.Dockerfile": base}, "Open the shop")
