"""Where the sockets of SSH agents are, and what is said when they are not there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.config.model import Image, Project, Ssh
from lineal.config.ssh_agents import SshAgents, parse_ssh
from lineal.config.validation import check
from lineal.errors import BadConfiguration

HERE = Path("/here")


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        yield tmp_path / "s"


@pytest.mark.parametrize(
    ("text", "agent"),
    [
        ("default", Ssh()), ("deploy", Ssh(id="deploy")), ("deploy=/a/s", Ssh(id="deploy", socket="/a/s")),
        ("default=a=b", Ssh(socket="/here/a=b")), ("default=~/s", Ssh(socket="~/s")),
    ],
)  # fmt: skip
def test_the_forms_of_docker_build(text: str, agent: Ssh) -> None:
    assert parse_ssh(text, HERE) == agent


@pytest.mark.parametrize("text", ["", "=x", "default=", "default=a,b"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(BadConfiguration, match="Write --ssh default, or --ssh ID=SOCKET"):
        parse_ssh(text, HERE)


def test_the_command_line_wins_and_what_is_not_configured_is_none(listening: Path, tmp_path: Path) -> None:
    def of(environ: dict[str, str], *given: Ssh, **images: Ssh) -> SshAgents:
        return SshAgents({name: [agent] for name, agent in images.items()}, given, environ, tmp_path)

    environ = {"SSH_AUTH_SOCK": str(listening), "HOME": str(tmp_path)}
    assert of(environ).socket("api", "default") is None
    assert of(environ, api=Ssh()).socket("web", "default") is None
    assert of(environ, api=Ssh()).socket("api", "default") == listening
    assert of(environ, Ssh()).socket("web", "default") == listening
    assert of({}, Ssh(socket="s"), api=Ssh(socket="nowhere")).socket("api", "default") == listening
    assert of(environ, Ssh(id="k", socket="~/s")).socket("api", "k") == listening


def test_what_is_no_agent_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----")

    def told(agent: Ssh) -> str:
        with pytest.raises(BadConfiguration) as refused:
            SshAgents({}, [agent], {}, tmp_path).socket("api", agent.id)
        return str(refused.value)

    assert "SSH_AUTH_SOCK, which is not set" in told(Ssh())
    assert "no socket. Name the socket of an agent; a key is added to one with `ssh-add`." in told(Ssh(socket="key"))
    assert "which is not there" in told(Ssh(socket="gone"))


def test_agents_of_an_image_have_names_of_their_own_and_a_path() -> None:
    for agents, says in (([Ssh(), Ssh(socket="a")], "given twice"), ([Ssh(socket=" ")], "path is empty")):
        (broken,) = check(Project(project="s", images={"a": Image(ssh=agents)}))
        assert says in str(broken)
    assert not list(check(Project(project="s", images={"a": Image(ssh=[Ssh(), Ssh(id="b", socket="/s")])})))
