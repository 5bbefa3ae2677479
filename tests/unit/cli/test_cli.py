"""The command line as a process: its help, its streams, its exit codes, its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lineal import __version__
from lineal.cli.commands import cli
from tests import servers
from tests.conftest import Lineal

COMMANDS = [
    "plan",
    "build",
    "render",
    "deploy",
    "converge",
    "bundle",
    "dismiss",
    "rollback",
    "drift",
    "verify",
    "cleanup",
    "config",
    "init",
    "schema",
    "completion",
    "doctor",
]


@pytest.fixture
def project(repo: servers.Repository, lineal: Lineal, tmp_path: Path) -> Lineal:
    """A repository with one image that needs no engine, and a store."""
    repo.write(
        {"Dockerfile": "FROM scratch\nCOPY app /\n", "app": "1", "lineal.yaml": "project: shop\nimages: {app: {}}\n"}
    )
    lineal.env["LINEAL_REPO"] = f"layout:{tmp_path}/store"
    return lineal


def started(project: Lineal, *args: str, **streams: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *args], cwd=project.cwd, env=project.environment(), text=True, **streams)  # type: ignore[call-overload,no-any-return]


def broken_run(error: str) -> list[str]:
    """Python's arguments for a `lineal schema` in which something of ours goes wrong."""
    script = "import sys; from lineal import cli; from lineal.config import schema\n"
    script += f"def fail(): raise {error}\nschema.schema = fail\nsys.argv = ['lineal', *sys.argv[1:]]; cli.main()"
    return ["-c", script]


# --- help -----------------------------------------------------------------------------------------------------------


def test_the_commands_are_those_of_the_design(lineal: Lineal) -> None:
    assert sorted(cli.commands) == sorted(COMMANDS)
    shown = lineal("--help")
    assert shown.code == 0 and shown.stderr == ""
    assert all(f"  {command} " in shown.stdout for command in COMMANDS)
    assert "130 interrupted" in " ".join(shown.stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help_with_an_example(lineal: Lineal, command: str, flag: str) -> None:
    shown = lineal(command, flag)
    assert (shown.code, shown.stderr) == (0, "")
    assert f"Usage: lineal {command}" in shown.stdout
    assert "Example" in shown.stdout.partition(f"lineal {command}")[2]


def test_every_setting_of_the_help_is_a_variable_that_counts(lineal: Lineal) -> None:
    from dataclasses import fields

    from lineal.session.options import Options

    commands = [*COMMANDS, "bundle publish", "bundle apply", "bundle copy"]
    helps = " ".join(lineal(*command.split(), "--help").stdout for command in commands)
    variables = [word.strip("[]") for word in helps.split() if word.startswith("[LINEAL_")]
    named = {variable.removeprefix("LINEAL_").lower() for variable in variables}
    to_git = {"to_git", "to_git_branch", "to_git_path", "values_only"}
    of_render = {*to_git, "no_hooks", "with_namespace", "kustomization"}
    of_one_command = {"debug", "output", "format", "exit_code", *of_render}
    assert named - of_one_command == {field.name for field in fields(Options)} - {"environ", "kube_contexts", "image"}


def test_the_version(lineal: Lineal) -> None:
    shown = lineal("--version")
    assert (shown.code, shown.stdout, shown.stderr) == (0, f"lineal {__version__}\n", "")


# --- wrong usage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["nonsense"], "nonsense"),
        (["plan", "--nonsense"], "--nonsense"),
        (["--nonsense"], "--nonsense"),
        (["plan", "--format", "xml"], "xml"),
        (["build", "--jobs", "0"], "--jobs"),
        (["build", "--jobs", "many"], "many"),
        (["build", "--repo"], "--repo"),
        (["config", "extra"], "extra"),
        (["build", "--secret", "nonsense"], "--secret"),
        (["build", "--var", "nonsense"], "--var"),
        (["plan", "nonsense"], "nonsense"),
        ([], "Usage: lineal"),
    ],
)
def test_wrong_usage_is_3_and_said_on_stderr(project: Lineal, args: list[str], word: str) -> None:
    if "--var" in args or "--secret" in args:
        (project.cwd / "app").write_text("1")
    done = project(*args)
    assert (done.code, done.stdout) == (3, "")
    assert word in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LINEAL_JOBS", "x"), ("LINEAL_DEV", "perhaps"), ("LINEAL_REPO", "HTTP://bad repo"), ("LINEAL_LOCK", "x")],
)
def test_a_wrong_variable_is_3_too(project: Lineal, variable: str, value: str) -> None:
    done = project("build", env={variable: value})
    assert (done.code, done.stdout) == (3, ""), done.stderr
    assert variable in done.stderr


@pytest.mark.parametrize(
    ("args", "variable"),
    [
        *((command, {"LINEAL_REPO": "https://bot:s3cret@registry.example.com/x"})
          for command in (["config"], ["plan"], ["build"], ["cleanup"])),
        (["config", "--repo", "bot:s3cret@registry.example.com/x"], {}),
        (["config", "--repo", "https://bot:s3cret/s3cret@registry.example.com/x"], {}),
        (["config", "--repo", "https://bot:s3cret@s3cret@registry.example.com/x"], {}),
        (["config", "--lock", "https://bot:s3cret@etcd:2379"], {}),
        (["config", "--lock", "etcd:https://bot:s3cret@etcd:2379"], {}),
        (["config"], {"LINEAL_LOCK": "etcd:https://bot:s3cret@etcd:2379"}),
        (["config"], {"LINEAL_VAR": "a=1\ns3cret"}),
    ],
)  # fmt: skip
def test_a_secret_at_a_wrong_place_is_refused_without_showing_it(
    project: Lineal, args: list[str], variable: dict[str, str], tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    done = project(*args, env={**variable, "GITHUB_STEP_SUMMARY": str(page)})
    assert (done.code, done.stdout) == (3, "")
    assert "s3cret" not in done.stderr + (page.read_text() if page.exists() else "")


# --- streams --------------------------------------------------------------------------------------------------------


def test_stdout_has_the_result_alone(project: Lineal) -> None:
    plan = project("plan", "--format", "json")
    assert json.loads(plan.stdout)["command"] == "plan" and "commit" in plan.stderr
    assert json.loads(project("plan", "--format", "matrix").stdout) == {"include": [{"image": "app"}]}
    built = project("build")
    assert built.code == 0 and built.stdout.startswith("app layout:") and built.stdout.count("\n") == 1
    assert project("build", "app").stdout == built.stdout.removeprefix("app ")
    assert json.loads(project("plan", "--format", "matrix").stdout) == {"include": []}
    assert "app" in project("plan").stdout
    assert json.loads(project("schema").stdout)["$defs"]
    assert "project: shop" in project("config").stdout


def test_exit_code_tells_of_work(project: Lineal) -> None:
    assert project("plan").code == 0
    assert project("plan", "--exit-code").code == 2
    assert project("build").code == 0
    assert project("plan", "--exit-code").code == 0


def test_plan_writes_nothing(project: Lineal, tmp_path: Path) -> None:
    assert project("plan").code == 0
    assert not list((tmp_path / "store").rglob("blobs/sha256/*"))


def test_a_report_is_written_where_it_was_asked_for(project: Lineal, tmp_path: Path) -> None:
    assert project("build", "--report", str(tmp_path / "report.json")).code == 0
    assert json.loads((tmp_path / "report.json").read_text())["images"][0]["name"] == "app"
    done = project("build", "--report", str(tmp_path / "none/report.json"))
    assert done.code == 3
    assert f"Error: There is no directory for the report {tmp_path}/none/report.json." in done.stderr


def test_a_report_that_cannot_be_written_does_not_hide_why_the_run_failed(project: Lineal, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    done = project("build", "--report", str(tmp_path / "taken"), "--repo", "127.0.0.1:1/no/registry")
    assert done.code == 5
    assert "127.0.0.1:1 cannot be reached" in done.stderr.splitlines()[-1]


def test_a_reader_that_has_seen_enough_is_no_failure(project: Lineal) -> None:
    for args in (["schema"], ["plan", "--format", "json"]):
        reading, writing = os.pipe()
        os.close(reading)
        process = started(project, "-m", "lineal", *args, stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0
        assert "Broken" not in errors and "Exception" not in errors and "Error" not in errors


def test_a_pipe_that_breaks_elsewhere_is_a_failure(project: Lineal) -> None:
    process = started(project, *broken_run("BrokenPipeError(32, 'Broken pipe')"), "schema", stdout=-1, stderr=-1)
    output, errors = process.communicate(timeout=300)
    assert (process.returncode, output) == (5, "")
    assert errors == (
        "Error: A program or a server that Lineal was talking to ended in the middle. "
        "Run it again; what was published before stays. [LN-9004]\n"
    )


def test_a_full_disk_behind_stdout_is_told(project: Lineal) -> None:
    with Path("/dev/full").open("w") as full:
        process = started(project, "-m", "lineal", "schema", stdout=full.fileno(), stderr=subprocess.PIPE)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 5
    assert errors.count("\n") == 1 and "No space left on device" in errors


def test_a_full_disk_behind_the_log_changes_nothing(project: Lineal, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with Path("/dev/full").open("w") as full:
        process = started(project, "-m", "lineal", "build", "--report", str(report), stdout=-1, stderr=full.fileno())
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and output.startswith("app layout:")
    assert json.loads(report.read_text())["images"][0]["name"] == "app"


def test_names_of_any_bytes_can_be_printed(project: Lineal, repo: servers.Repository) -> None:
    repo.write({os.fsdecode(b"latin-\xe9"): "1", "Dockerfile": "FROM scratch\nCOPY . /\n"})
    repo.put({os.fsdecode(b"latin-\xe9"): "2"})
    process = project.start("build", env={"PYTHONIOENCODING": "ascii"})
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 4 and "latin-\\udce9 (modified)" in errors


# --- ends -----------------------------------------------------------------------------------------------------------


def test_what_nobody_expected_is_one_sentence_and_a_traceback_only_with_debug(project: Lineal) -> None:
    python = broken_run("RuntimeError('two\\nlines')")

    def run(*args: str, **more: str) -> tuple[int, str]:
        project.env.update(more)
        process = started(project, *python, *args, stdout=-1, stderr=-1)
        _, errors = process.communicate(timeout=300)
        return process.returncode, errors

    code, errors = run("schema")
    assert code == 1
    assert errors == (
        "Error: Something unexpected happened: RuntimeError: two lines. "
        "Run it again with --debug and report what it shows. [LN-9001]\n"
    )
    for code, errors in (run("--debug", "schema"), run("schema", LINEAL_DEBUG="1")):
        assert code == 1 and "Traceback" in errors and "RuntimeError: two" in errors
    assert "Traceback" not in run("schema", LINEAL_DEBUG="0")[1]


def test_debug_may_stand_before_and_behind_the_command(project: Lineal) -> None:
    for args in (["--debug", "plan", "nonsense"], ["plan", "--debug", "nonsense"]):
        done = project(*args)
        assert done.code == 3 and "Traceback" in done.stderr and "Error: There is no image 'nonsense'" in done.stderr
    assert "Traceback" not in project("plan", "nonsense").stderr


@pytest.fixture
def hanging(project: Lineal, tmp_path: Path) -> subprocess.Popen[str]:
    """A run with a git that does not end, in the middle of making a commit of the working tree in the run's private
    directory."""
    (tmp_path / "tmp").mkdir()
    project.env["TMPDIR"] = str(tmp_path / "tmp")
    slow = tmp_path / "bin/git"
    slow.parent.mkdir()
    git = shutil.which("git", path=os.environ["PATH"])
    slow.write_text(
        f'#!/bin/sh\n[ "$1" != rev-parse ] || exec {git} "$@"\n'
        "echo >&2; echo started >>$TMPDIR/../started; exec sleep 60\n"
    )
    slow.chmod(0o755)
    project.env["PATH"] = f"{slow.parent}:{os.environ['PATH']}"
    process = started(project, "-m", "lineal", "build", "--dev", stdout=-1, stderr=-1)
    while not (tmp_path / "started").exists():
        assert process.poll() is None
    assert list((tmp_path / "tmp").iterdir())
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_with_130_and_leaves_no_files(
    hanging: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    process = hanging
    process.send_signal(number)
    output, errors = process.communicate(timeout=300)
    assert (process.returncode, output) == (130, "")
    assert (
        errors.endswith("Error: Interrupted; what was published before stays. [LN-9002]\n")
        and "Traceback" not in errors
    )
    assert list((tmp_path / "tmp").iterdir()) == []


_SIGNAL_IN_A_DESTRUCTOR = """
import os, signal, sys, time
from lineal import cli
from lineal.config import schema
class Lost:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)
def fail():
    Lost()
    time.sleep(20)
    print("it went on", file=sys.stderr)
schema.schema = fail
sys.argv = ["lineal", "schema"]
cli.main()
"""


def test_a_signal_that_python_drops_comes_again(project: Lineal) -> None:
    process = started(project, "-c", _SIGNAL_IN_A_DESTRUCTOR, stdout=-1, stderr=-1)
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (
        130, "\nError: Interrupted; what was published before stays. [LN-9002]\n"
    )  # fmt: skip


def test_what_a_killed_run_leaves_goes_with_the_next(
    hanging: subprocess.Popen[str], project: Lineal, tmp_path: Path
) -> None:
    hanging.kill()
    hanging.wait()
    assert [*(tmp_path / "tmp").iterdir()]
    assert project("plan", env={"PATH": os.environ["PATH"]}).code == 0
    assert [*(tmp_path / "tmp").iterdir()] == []


def test_a_finished_run_leaves_no_files(project: Lineal, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    for args in (["build"], ["build", "--dev"], ["build", "nonsense"], ["plan"]):
        project(*args, env={"TMPDIR": str(tmp_path / "tmp")})
        assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("engine", ["auto", "buildkit:tcp://buildkit.example.com:1234", "buildkitd"])
def test_a_fully_cached_run_loads_nothing_that_only_building_needs(project: Lineal, engine: str) -> None:
    assert project("build").code == 0
    project.env["LINEAL_ENGINE"] = engine
    script = "import sys; sys.argv = ['lineal', 'build']\nfrom lineal.cli import _End, _run\n"
    script += "from contextlib import nullcontext\n_run(end := _End(), nullcontext())\n"
    script += "print(*sorted(sys.modules)); sys.exit(end.code)"
    process = started(project, "-c", script, stdout=-1, stderr=-1)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    loaded = set(output.splitlines()[-1].split())
    heavy = {"docker", "jinja2", "rich", "requests", "urllib3", "isal", "filelock", "tarfile", "secrets", "asyncio",
             "csv", "h2", "hpack", "google.protobuf", "lineal.engine.buildkit.protocol",
             "concurrent.futures"}  # fmt: skip
    assert loaded & heavy == set()
    ours = {
        "lineal.build.stage_builder",
        "lineal.engine.docker.engine",
        "lineal.engine.buildkit.engine",
        "lineal.git.working_tree",
        "lineal.git.history_fetch",
        "lineal.git.log_walk",
        "lineal.git.remote",
        "lineal.process",
        "lineal.deploy.helm.client",
        "lineal.store.registry.uploads",
        "lineal.clouds.program",
        "lineal.clouds.sigv4",
        "lineal.ci.jobs",
        "lineal.trust.identity",
        "lineal.trust.memory",
    }
    assert loaded & ours == set()
