"""What a commit names of the machine that builds it: variables, files, SSH agents, who gets the registry's password.
Whoever runs Lineal gives it; the commit's own word counts within limits only."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lineal.errors import BadConfiguration
from lineal.session.session import Session
from lineal.session.settings import Settings
from tests import servers
from tests.conftest import Lineal

CI = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/main",
      "GITHUB_REPOSITORY": "acme/shop"}  # fmt: skip
STRANGER = {**CI, "GITHUB_EVENT_NAME": "issue_comment", "GITHUB_SHA": "1" * 40}
"""HEAD is another commit than the CI's, in a job that a comment started."""


class Said:
    """A progress that remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    warn = note

    def begin(self, stage: str) -> None: ...
    def output(self, stage: str, line: str) -> None: ...
    def end(self, stage: str, outcome: str, seconds: float, detail: str = "") -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """On a disk: the tests' own folders are in /dev/shm, and what is in /dev tells about the machine."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


@contextmanager
def session(
    repo: servers.Repository, environ: Mapping[str, str], said: Said | None = None, **flags: Any
) -> Iterator[Session]:
    environ = {**repo.environment(), "HOME": str(repo.path.parent / "home"), **environ}
    settings = Settings.of(environ=environ, **flags)
    with Session.open(settings, repo.path, said or Said()) as one:
        yield one


def write(repo: servers.Repository, secrets: str = "", agents: str = "", **files: str) -> None:
    named = f"secrets: [{secrets}], ssh: [{agents}]"
    repo.write(
        {"lineal.yaml": f"project: shop\nimages:\n  app: {{{named}}}\n", "Dockerfile": "FROM scratch\n", **files}
    )


def value(
    repo: servers.Repository, environ: Mapping[str, str], said: Said | None = None, **flags: Any
) -> bytes | None:
    with session(repo, environ, said, **flags) as one:
        return one.secrets.value("app", "k")


def refusal(repo: servers.Repository, environ: Mapping[str, str], **flags: Any) -> str:
    with pytest.raises(BadConfiguration) as refused:
        value(repo, environ, **flags)
    return str(refused.value)


# --- variables ------------------------------------------------------------------------------------------------------

LOGINS = [
    "LINEAL_ACTION_TOKEN", "LINEAL_REGISTRY_PASSWORD", "LINEAL_ACTION_SECRET_0", "INPUT_KUBECONFIG",
    "INPUT_REGISTRY-PASSWORD", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_TOKEN", "GH_TOKEN",
    "CI_JOB_TOKEN", "CI_REGISTRY_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET", "VAULT_TOKEN", "KUBECONFIG",
    "STAGING_KUBECONFIG", "SSH_AUTH_SOCK", "DOCKER_AUTH_CONFIG", "COSIGN_PASSWORD", "SOPS_AGE_KEY", "HELM_KUBETOKEN",
    "GIT_CONFIG_VALUE_0", "SYSTEM_ACCESSTOKEN", "github_token",
]  # fmt: skip


@pytest.mark.parametrize("where", [CI, STRANGER, {}], ids=["push", "stranger", "laptop"])
@pytest.mark.parametrize("name", [name for name in LOGINS if "-" not in name])
def test_a_variable_of_a_login_is_no_commit_s(repo: servers.Repository, where: dict[str, str], name: str) -> None:
    write(repo, f"{{id: k, env: {name}}}")
    said = refusal(repo, {**where, name: "hush"})
    assert said.startswith(
        f"lineal.yaml:3: images.app.secrets[0]: The secret 'k' would be {name}, one of the job's own "
    )
    assert f"Give it yourself with --secret id=k,env={name} (LINEAL_SECRET)." in said and "hush" not in said


@pytest.mark.parametrize("name", ["CI_JOB_TOKEN", "GITHUB_TOKEN", "NPM_TOKEN"])
@pytest.mark.parametrize("where", [CI, STRANGER, {}], ids=["push", "stranger", "laptop"])
def test_the_caller_gives_what_he_likes(repo: servers.Repository, where: dict[str, str], name: str) -> None:
    for named in ("{id: k, env: LINEAL_X}", "{id: k}", "{id: k, file: /proc/self/environ}", ""):
        write(repo, named)
        assert value(repo, {**where, name: "given"}, secret=(f"id=k,env={name}",)) == b"given"
        assert value(repo, {**where, name: "given", "LINEAL_SECRET": f"id=k,env={name}"}) == b"given"


def test_a_variable_of_the_project_s_own_job_is_a_convenience(repo: servers.Repository) -> None:
    write(repo, "{id: k, env: NPM_TOKEN}")
    assert value(repo, {**CI, "NPM_TOKEN": "t"}) == b"t"


def test_a_stranger_s_commit_gets_nothing_by_naming_it(repo: servers.Repository) -> None:
    said = Said()
    write(repo, "{id: k, env: NPM_TOKEN}")
    assert value(repo, {**STRANGER, "NPM_TOKEN": "hush"}, said) is None
    assert any(
        line.startswith("The secret 'k' is left out: this commit is not the project's own")
        and "--secret id=k,env=NPM_TOKEN (LINEAL_SECRET)" in line
        for line in said.lines
    )


def test_an_id_alone_is_for_the_caller_to_give(repo: servers.Repository) -> None:
    said = Said()
    write(repo, "{id: k}")
    assert value(repo, CI, said) is None
    assert (
        "The secret 'k' is left out: nobody gave it. Give it with --secret id=k,env=NAME (LINEAL_SECRET)."
        in said.lines
    )


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["/proc/self/environ", "/proc/1/environ", "/sys/kernel/notes", "/dev/stdin",
                                  "../../../../../../../../proc/self/environ", "/dev/fd/0", "away"])  # fmt: skip
@pytest.mark.parametrize("where", [CI, STRANGER, {}], ids=["push", "stranger", "laptop"])
def test_a_file_of_the_machine_is_no_commit_s(repo: servers.Repository, where: dict[str, str], file: str) -> None:
    (repo.path / "away").symlink_to("/proc/self/environ")
    write(repo, f"{{id: k, file: {file}}}")
    said = refusal(repo, where)
    assert "which tells about the machine and its processes: no commit gets it by naming it. Give it" in said


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("file", ["/etc/hostname", "~/.docker/config.json", "../outside"])
def test_in_a_ci_a_file_is_in_the_workspace(repo: servers.Repository, tmp_path: Path, file: str, link: bool) -> None:
    (tmp_path / "outside").write_text("hush")
    (tmp_path / "home/.docker").mkdir(parents=True)
    (tmp_path / "home/.docker/config.json").write_text("hush")
    if link:
        (repo.path / "link").symlink_to(file.replace("~", str(tmp_path / "home")))
        file = "link"
    write(repo, f"{{id: k, file: {file}}}")
    said = refusal(repo, CI)
    assert "which is outside of the workspace: no commit gets it by naming it. Give it yourself with --secret" in said


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (".git/config", "a part of git's own directory"),
        ("other/.git/config", "a part of git's own directory"),
        ("kube/config", "a file of the job's own logins"),
        ("docker/config.json", "a file of the job's own logins"),
        ("gha-creds.json", "a file of the job's own logins"),
        ("Dockerfile", "a file of the commit, and so no secret"),
    ],
)
def test_a_login_in_the_workspace_and_a_committed_file_are_no_secrets_of_a_commit(
    repo: servers.Repository, file: str, why: str
) -> None:
    write(repo, f"{{id: k, file: {file}}}")
    folder = repo.path
    environ = {"KUBECONFIG": f"/nowhere:{folder}/kube/config", "DOCKER_CONFIG": f"{folder}/docker",
               "GOOGLE_APPLICATION_CREDENTIALS": f"{folder}/gha-creds.json"}  # fmt: skip
    for path in ("other/.git/config", "kube/config", "docker/config.json", "gha-creds.json"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("hush")
    assert why in refusal(repo, {**CI, **environ})


def test_a_file_that_an_earlier_step_left_in_the_workspace_is_a_convenience(repo: servers.Repository) -> None:
    write(repo, "{id: k, file: npmrc}", **{".gitignore": "npmrc\n"})
    (repo.path / "npmrc").write_text("_authToken=t")
    assert value(repo, CI) == b"_authToken=t"
    assert value(repo, STRANGER) is None
    assert value(repo, STRANGER, secret=("id=k,src=npmrc",)) == b"_authToken=t"


# --- SSH agents -----------------------------------------------------------------------------------------------------


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "agent"))
        yield tmp_path / "agent"


def forwarded(repo: servers.Repository, environ: Mapping[str, str], **flags: Any) -> Path | None:
    with session(repo, environ, **flags) as one:
        return one.agents.socket("app", "default")


def test_an_agent_is_given_by_the_caller_or_to_the_project_s_own_commit(
    repo: servers.Repository, agent: Path
) -> None:
    environ = {"SSH_AUTH_SOCK": str(agent)}
    write(repo, agents="{}")
    assert forwarded(repo, {**CI, **environ}) == agent
    assert forwarded(repo, {**STRANGER, **environ}) is None
    assert forwarded(repo, {**STRANGER, **environ}, ssh=("default",)) == agent
    assert forwarded(repo, environ, ssh=("default",)) == agent
    with pytest.raises(BadConfiguration, match="'default' is something of this machine, and nobody has let"):
        forwarded(repo, environ)


def test_a_socket_that_the_commit_names_is_in_the_workspace(repo: servers.Repository, agent: Path) -> None:
    for path in (str(agent), "/run/docker.sock", "/proc/self/fd/0"):
        write(repo, agents=f"{{socket: {path}}}")
        with pytest.raises(BadConfiguration, match=r"no commit gets it by naming it\. Give it yourself with --ssh"):
            forwarded(repo, CI)


# --- env_var in templates -------------------------------------------------------------------------------------------


def template(repo: servers.Repository, name: str, default: str = "") -> None:
    text = "{{ env_var('NAME'DEFAULT) | reverse }}".replace("NAME", name).replace("DEFAULT", default)
    repo.write({
        "lineal.yaml": f'project: s\nimages: {{app: {{args: {{T: "{text}"}}}}}}\n',
        "lineal-giterminism.yaml": f"config: {{environment: [{name}]}}\n",
        "Dockerfile": "FROM scratch\nARG T\n",
    })  # fmt: skip


def rendered(repo: servers.Repository, environ: Mapping[str, str], **flags: Any) -> str:
    with session(repo, environ, **flags) as one:
        return one.loaded.project.images["app"].args["T"]


@pytest.mark.parametrize("where", [CI, STRANGER, {}], ids=["push", "stranger", "laptop"])
@pytest.mark.parametrize("default", ["", ", 'x'"])
def test_a_template_reads_no_login(repo: servers.Repository, where: dict[str, str], default: str) -> None:
    template(repo, "LINEAL_ACTION_TOKEN", default)
    with pytest.raises(BadConfiguration) as refused:
        rendered(repo, {**where, "LINEAL_ACTION_TOKEN": "hush"})
    said = str(refused.value)
    assert 'env_var("LINEAL_ACTION_TOKEN") would be LINEAL_ACTION_TOKEN, one of the job\'s own settings' in said
    assert "Give it yourself with --var LINEAL_ACTION_TOKEN=VALUE (LINEAL_VAR)." in said and "hush" not in said


def test_a_template_of_a_stranger_reads_only_what_the_caller_gives(repo: servers.Repository) -> None:
    template(repo, "TEAM")
    environ = {"TEAM": "hush"}
    assert rendered(repo, {**CI, **environ}) == "hsuh"
    with pytest.raises(BadConfiguration, match=r"is not for this commit.*--var TEAM=VALUE"):
        rendered(repo, {**STRANGER, **environ})
    for where in (CI, STRANGER, {}):
        assert rendered(repo, {**where, **environ}, var=("TEAM=red",)) == "der"
    template(repo, "TEAM", ", 'abc'")
    assert rendered(repo, {**STRANGER, **environ}) == "cba"
    assert rendered(repo, {}) == "cba"
    with pytest.raises(BadConfiguration, match=r"nobody has let this repository have it\. Run it in a terminal"):
        rendered(repo, environ)


# --- the question on a laptop ---------------------------------------------------------------------------------------

ASK = """
import os, sys
from lineal.session.session import Session
from lineal.session.settings import Settings
from lineal.errors import LinealError
try:
    with Session.open(Settings.of()) as session:
        session.given.ask(session.loaded, ["app"])
        print("value", (session.secrets.value("app", "k") or b"none").decode())
except LinealError as error:
    print(error)
"""


def on_a_terminal(repo: servers.Repository, environ: Mapping[str, str], answer: str) -> str:
    """What the terminal shows of a run, with this answer to whatever is asked."""
    leader, follower = pty.openpty()
    env = {**repo.environment(), "HOME": str(repo.path.parent / "home"), "PATH": os.environ["PATH"], **environ}
    process = subprocess.Popen(
        [sys.executable, "-c", ASK], cwd=repo.path, env=env, stdin=follower, stdout=follower, stderr=follower,
        start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    os.write(leader, (answer + "\n").encode())
    shown = bytearray()
    with os.fdopen(leader, "rb", buffering=0) as terminal:
        while True:
            try:
                part = terminal.read(4096)
            except OSError:
                break
            if not part:
                break
            shown += part
    process.wait(300)
    return shown.decode()


def test_a_repository_is_asked_for_once_for_each_list(repo: servers.Repository, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.npmrc").write_text("from-home")
    write(repo, "{id: k, file: ~/.npmrc}, {id: t, env: TOKEN}", "{}")
    no = on_a_terminal(repo, {}, "")
    assert f"- secret k: {tmp_path}/home/.npmrc" in no and "- secret t: the variable `TOKEN`" in no
    assert "- ssh default: your SSH agent" in no and "Let this repository have it? [y/N]" in no
    assert "nobody has let this repository have it" in no and "from-home" not in no
    assert "value from-home" in on_a_terminal(repo, {}, "y")
    again = on_a_terminal(repo, {}, "")
    assert "value from-home" in again and "[y/N]" not in again
    assert value(repo, {}) == b"from-home", "the answer is kept, so no terminal is needed"
    write(repo, "{id: k, file: ~/.npmrc}, {id: t, env: OTHER}", "{}")
    assert "[y/N]" in on_a_terminal(repo, {}, ""), "another list is another question"
    clone = repo.clone(tmp_path / "elsewhere")
    assert "nobody has let this repository have it" in refusal(clone, {"HOME": str(tmp_path / "home")})


def test_the_list_names_what_a_link_leads_to(repo: servers.Repository, tmp_path: Path) -> None:
    (tmp_path / "home/.ssh").mkdir(parents=True)
    (tmp_path / "home/.ssh/id").write_text("key")
    (repo.path / "npmrc").symlink_to(tmp_path / "home/.ssh/id")
    write(repo, "{id: k, file: npmrc}")
    assert f"- secret k: {tmp_path}/home/.ssh/id" in on_a_terminal(repo, {}, "y")
    (repo.path / "npmrc").unlink()
    (repo.path / "npmrc").symlink_to("/etc/hostname")
    assert "nobody has let" in refusal(repo, {}), "it leads elsewhere now, which nobody allowed"


def test_nothing_is_asked_where_the_caller_gives_it_all(repo: servers.Repository) -> None:
    write(repo, "{id: k, env: TOKEN}")
    shown = on_a_terminal(repo, {"TOKEN": "t", "LINEAL_SECRET": "id=k,env=TOKEN"}, "")
    assert "value t" in shown and "[y/N]" not in shown


# --- another repository ---------------------------------------------------------------------------------------------


def test_what_a_job_builds_of_another_repository_gets_nothing_that_it_names(
    repo: servers.Repository, agent: Path
) -> None:
    write(repo, "{id: k, env: NPM_TOKEN}", "{}")
    with (repo.path / "lineal.yaml").open("a") as file:
        file.write("lock: etcd:https://etcd.example.com:2379\n")
    repo.git("add", "--all")
    repo.commit()
    repo.git("remote", "add", "origin", "https://github.com/stranger/shop.git")
    environ = {**CI, "GITHUB_EVENT_NAME": "schedule", "GITHUB_SHA": "1" * 40, "NPM_TOKEN": "hush",
               "SSH_AUTH_SOCK": str(agent), "LINEAL_ETCD_USERNAME": "u", "LINEAL_ETCD_PASSWORD": "hush"}  # fmt: skip
    with session(repo, environ) as one:
        assert one.context.may_write and not one.context.trusted
        assert (one.secrets.value("app", "k"), one.agents.socket("app", "default")) == (None, None)
        assert not [name for name in one._lock_environ if name.startswith("LINEAL_ETCD_")]
    with session(repo, environ, lock="etcd:https://etcd.example.com:2379") as one:
        assert one._lock_environ["LINEAL_ETCD_PASSWORD"] == "hush", "the caller says where it goes"


def test_the_caller_vouches_for_a_commit_that_nobody_knows_and_for_no_fork_s(repo: servers.Repository) -> None:
    write(repo, "{id: k, env: NPM_TOKEN}")
    environ = {**STRANGER, "NPM_TOKEN": "t", "LINEAL_ALLOW": "publish"}
    with session(repo, environ) as one:
        assert one.context.may_write and one.secrets.value("app", "k") == b"t"
    repo.git("update-ref", "refs/pull/7/head", "HEAD")
    repo.git("switch", "--quiet", "--detach")
    repo.git("branch", "--quiet", "--delete", "--force", "main")
    repo.git("remote", "add", "origin", str(repo.path))
    with session(repo, environ) as one:
        assert (one.context.may_write, one.context.fork, one.secrets.value("app", "k")) == (False, True, None)


# --- the registry's password ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["issue_comment", "workflow_dispatch", "workflow_run"])
def test_a_stranger_s_commit_does_not_say_who_gets_the_password(
    repo: servers.Repository, lineal: Lineal, event: str
) -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as evil:
        threading.Thread(target=listen, args=(evil, asked), daemon=True).start()
        store = f"127.0.0.1:{evil.getsockname()[1]}/x"
        repo.write(
            {"lineal.yaml": f"project: p\nrepo: {store}\nimages: {{app: {{}}}}\n", "Dockerfile": "FROM scratch\n"}
        )
        login = {"LINEAL_REGISTRY_USERNAME": "ci", "LINEAL_REGISTRY_PASSWORD": "hush"}
        done = lineal("plan", env={**CI, **login, "GITHUB_EVENT_NAME": event, "GITHUB_SHA": "1" * 40})
    assert asked and not any(b"authorization" in one.lower() for one in asked)
    assert f"{store} comes from the commit (lineal.yaml:2), which is not this project's own" in done.stderr
    assert "Give the store with `--repo` if it should." in done.stderr


def listen(server: socket.socket, asked: list[bytes]) -> None:
    """A registry that wants to know who is there."""
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            asked.append(connection.recv(65536))
            connection.sendall(
                b'HTTP/1.1 401 x\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n'
                b"Connection: close\r\n\r\n"
            )
