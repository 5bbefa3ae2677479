"""GitHub's runner, as far as a container action sees it (actions/runner's ContainerActionHandler): the mounts, the
environment, the files for outputs and summaries, a workspace of another user, and what it reads in logs."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests import servers

ROOT = Path(__file__).resolve().parents[2]
DOCKER = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"
PAYLOADS = ROOT / "tests/golden/github"
TOKEN = "ghs_" + "0123456789abcdefghij" * 2
_EXPRESSION = re.compile(r"\$\{\{\s*([a-z._]+)\s*\}\}")
_RUNNER_UID = 1001


def payload(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())
    return found


@dataclass(frozen=True)
class Step:
    """What a step left: its exit code, its log as printed, and what the runner made of its files."""

    code: int
    log: str
    outputs: dict[str, str]
    summary: str

    @property
    def visible(self) -> str:
        """The log without workflow commands that add masks: the runner does not show them."""
        return "".join(line for line in self.log.splitlines(True) if not line.startswith("::add-mask::"))

    @property
    def masks(self) -> list[str]:
        lines = (line for line in self.log.splitlines() if line.startswith("::add-mask::"))
        return [line.removeprefix("::add-mask::").replace("%25", "%") for line in lines]

    @property
    def images(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = json.loads(self.outputs["images"])
        return found


@dataclass
class Event:
    """A job's event: `ref`, the commit that GitHub names, and the payload."""

    name: str
    ref: str
    sha: str
    payload: dict[str, Any]
    more: dict[str, str] = field(default_factory=dict)
    """Variables that only this event has."""


@dataclass
class Runner:
    """One job on a runner: `work` holds its directories, the workspace among them."""

    work: Path
    image: str
    server: str = "https://github.com"
    env: dict[str, str] = field(default_factory=dict)
    """The job's own `env`."""
    mounts_temp: bool = True
    """Runners before 2.329 mount only parts of RUNNER_TEMP."""
    folder: str = ""
    """Of the action in its repository, such as `build`."""

    def __post_init__(self) -> None:
        self.workspace = self.work / "_work/Hello-World/Hello-World"
        self.temp = self.work / "_temp"
        for name in ("_github_home", "_github_workflow", "_runner_file_commands"):
            (self.temp / name).mkdir(parents=True)
        self.workspace.mkdir(parents=True)

    def checkout(self, bare: Path, url: str, event: Event, depth: int = 1) -> None:
        """As actions/checkout does it; the workspace belongs to the runner's user afterwards."""
        repository = servers.Repository(self.workspace)
        repository.git("init", "--quiet", "--initial-branch=main")
        repository.git("remote", "add", "origin", bare.as_uri())
        local = event.ref.replace("refs/heads/", "refs/remotes/origin/").replace("refs/pull/", "refs/remotes/pull/")
        if depth:
            repository.git("fetch", "--quiet", "--no-tags", f"--depth={depth}", "origin", f"+{event.sha}:{local}")
        else:
            every = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
            pull = [f"+{event.sha}:{local}"] if event.ref.startswith("refs/pull/") else []
            repository.git("fetch", "--quiet", "--no-tags", "origin", *every, *pull)
        branch = event.ref.removeprefix("refs/heads/")
        where = ["-B", branch] if event.ref.startswith("refs/heads/") else ["--detach"]
        repository.git("checkout", "--quiet", "--force", *where, local)
        repository.git("remote", "set-url", "origin", url)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{_RUNNER_UID}:{_RUNNER_UID}", str(self.work)], check=True)

    def run(self, event: Event, inputs: Mapping[str, str] | None = None) -> Step:
        """`uses: ./` with these inputs (`with:`)."""
        files = {name: self.file(name) for name in ("output", "step_summary", "env", "path", "state")}
        command, environ = self.command(event, inputs or {}, files)
        done = subprocess.run(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
        )
        summary = files["step_summary"].read_text()
        return Step(done.returncode, done.stdout, dict(file_command(files["output"].read_text())), summary)

    def command(
        self, event: Event, inputs: Mapping[str, str], files: Mapping[str, Path]
    ) -> tuple[list[str], dict[str, str]]:
        """What the runner starts, and the environment it starts it in: no value is an argument but that of `args`."""
        (self.temp / "_github_workflow/event.json").write_text(json.dumps(event.payload))
        environ = self._environment(event, files) | self.env | self._inputs(event, inputs)
        environ = {name: self._translated(value) for name, value in environ.items()}
        command = [DOCKER, "run", "--rm", "--name", f"lineal-runner-{secrets.token_hex(6)}",
                   "--workdir", "/github/workspace", *(word for name in environ for word in ("-e", name)),
                   *(word for mount in self._mounts() for word in ("-v", mount)), self.image,
                   # The one input that it knows itself.
                   *shlex.split(inputs.get("args", ""))]  # fmt: skip
        plain = {name: os.environ[name] for name in ("PATH", "DOCKER_HOST") if name in os.environ}
        return command, environ | plain

    def on_host(self, path: str) -> Path:
        """A path that an output names: it has to mean something to the next step."""
        assert not path.startswith("/github/"), path
        return Path(path)

    def file(self, name: str) -> Path:
        path = self.temp / "_runner_file_commands" / f"{name}_{secrets.token_hex(8)}"
        path.touch()
        return path

    def _mounts(self) -> Iterator[str]:
        yield "/var/run/docker.sock:/var/run/docker.sock"
        if self.mounts_temp:
            yield f"{self.temp}:/github/runner_temp"
        for host, inside in self._translations():
            if inside != "/github/runner_temp":
                yield f"{host}:{inside}"

    def _translations(self) -> list[tuple[str, str]]:
        found = [
            (f"{self.temp}/_github_home", "/github/home"),
            (f"{self.temp}/_github_workflow", "/github/workflow"),
            (f"{self.temp}/_runner_file_commands", "/github/file_commands"),
            (str(self.workspace), "/github/workspace"),
        ]
        return [*found, (str(self.temp), "/github/runner_temp")] if self.mounts_temp else found

    def _translated(self, value: str) -> str:
        """As the runner does it to the value of every variable, inputs too: by its beginning."""
        for host, inside in self._translations():
            if value == host or value.startswith(host + "/"):
                return inside + value[len(host) :]
        return value

    def _environment(self, event: Event, files: Mapping[str, Path]) -> dict[str, str]:
        repository = str(event.payload.get("repository", {}).get("full_name", "Codertocat/Hello-World"))
        is_tag = event.ref.startswith("refs/tags/")
        return {
            "CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_ACTION": "__example_lineal", "GITHUB_JOB": "images",
            "GITHUB_EVENT_NAME": event.name, "GITHUB_SHA": event.sha, "GITHUB_REF": event.ref,
            "GITHUB_REF_NAME": event.ref.split("/", 2)[2], "GITHUB_REF_TYPE": "tag" if is_tag else "branch",
            "GITHUB_REPOSITORY": repository, "GITHUB_REPOSITORY_OWNER": repository.split("/")[0],
            "GITHUB_SERVER_URL": self.server, "GITHUB_API_URL": f"{self.server}/api", "GITHUB_RUN_ID": "7",
            "GITHUB_RUN_NUMBER": "3", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_ACTOR": "Codertocat",
            "GITHUB_WORKFLOW": "images", "GITHUB_EVENT_PATH": f"{self.temp}/_github_workflow/event.json",
            "GITHUB_WORKSPACE": str(self.workspace), "GITHUB_OUTPUT": str(files["output"]),
            "GITHUB_STEP_SUMMARY": str(files["step_summary"]), "GITHUB_ENV": str(files["env"]),
            "GITHUB_PATH": str(files["path"]), "GITHUB_STATE": str(files["state"]), "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64", "RUNNER_TEMP": str(self.temp), "HOME": f"{self.temp}/_github_home",
            "ACTIONS_RUNTIME_TOKEN": "runtime-token", **event.more,
        }  # fmt: skip

    def _inputs(self, event: Event, given: Mapping[str, str]) -> dict[str, str]:
        """`INPUT_*` of every input of the action: what the workflow gives, else the default, else nothing."""
        known: dict[str, dict[str, str]] = action(self.folder)["inputs"]
        assert set(given) <= set(known), "the runner warns of unknown inputs"
        context = {
            "github.token": TOKEN,
            "github.workspace": str(self.workspace),
            "runner.temp": str(self.temp),
        }
        found = {}
        for name, about in known.items():
            default = _EXPRESSION.sub(lambda match: context[match[1]], str(about.get("default", "")))
            found["INPUT_" + name.upper().replace(" ", "_")] = given.get(name, default)
        return found


def action(folder: str = "") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / folder / "action.yml").read_text())
    return found


def file_command(text: str) -> Iterator[tuple[str, str]]:
    """Names and values in a file such as GITHUB_OUTPUT, read as the runner reads it."""
    lines = iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        equals, heredoc = line.find("="), line.find("<<")
        if heredoc >= 0 and (equals < 0 or heredoc < equals):
            name, delimiter = line[:heredoc], line[heredoc + 2 :]
            value = []
            for inner in lines:
                if inner == delimiter:
                    break
                value.append(inner)
            else:
                raise AssertionError(f"Matching delimiter not found '{delimiter}'")
            yield name, "\n".join(value)
        else:
            assert equals > 0, f"Invalid format '{line}'"
            yield line[:equals], line[equals + 1 :]
