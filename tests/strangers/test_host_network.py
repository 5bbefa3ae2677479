"""`RUN --network=host`, `--security=insecure`, `--device`: the commit asks, the caller gives, strangers have none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lineal.build.environment import BuildEnvironment
from lineal.engine import Device
from lineal.errors import BadConfiguration
from lineal.session.settings import Settings
from tests.unit.build.factory import Factory
from tests.unit.build.test_stage_builder import build, command

GIVEN = ("network.host", "security.insecure", "device")
FLAGS = {"--network=host": "network.host", "--security=insecure": "security.insecure", "--device": "device"}


def text(flag: str) -> str:
    return f"FROM base:base\nRUN {'--device=example.com/class=a,required' if flag == '--device' else flag} x\n"


def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, allowed: bool, may_write: bool) -> Factory:
    factory = Factory(tmp_path)
    usual = Factory.environment

    def environment(self: Factory) -> BuildEnvironment:
        return replace(usual(self), allowed=GIVEN if allowed else (), may_write=may_write)

    monkeypatch.setattr(Factory, "environment", environment)
    return factory


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize(
    ("allowed", "may_write", "said"),
    [
        (False, True, "which nobody allowed. Do without it, or pass --allow {} (LINEAL_ALLOW)."),
        (False, False, "is for the project's own commits, and this run is of somebody else's."),
        (True, False, "is for the project's own commits, and this run is of somebody else's."),
    ],
)
def test_it_is_refused_where_nobody_or_a_stranger_would_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str, allowed: bool, may_write: bool, said: str
) -> None:
    factory = made(tmp_path, monkeypatch, allowed=allowed, may_write=may_write)
    with pytest.raises(BadConfiguration) as refused:
        build(factory, text(flag))
    assert str(refused.value).startswith(f"Dockerfile:2: RUN {flag} ") and said.format(FLAGS[flag]) in str(
        refused.value
    )
    assert not factory.engine.commands


def test_it_works_where_the_caller_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factory = made(tmp_path, monkeypatch, allowed=True, may_write=True)
    assert command(factory, text("--network=host")).network == "host"
    assert command(factory, text("--security=insecure")).insecure
    assert command(factory, text("--device")).devices == (Device("example.com/class=a", required=True),)


def test_one_is_not_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.strangers.test_host_network.GIVEN", ("network.host", "device"))
    with pytest.raises(BadConfiguration, match=r"--allow security\.insecure"):
        build(made(tmp_path, monkeypatch, allowed=True, may_write=True), text("--security=insecure"))


def test_other_networks_need_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factory = made(tmp_path, monkeypatch, allowed=False, may_write=False)
    assert command(factory, "FROM base:base\nRUN --network=none x\n").network == "none"


def test_only_the_flag_and_the_variable_say_so() -> None:
    assert Settings.of(allow=("network.host",), environ={}).allowed.value == ("network.host",)
    assert Settings.of(environ={"LINEAL_ALLOW": "network.host\n"}).allowed.value == ("network.host",)
    for wrong in ("security", "network", "device=x", "*"):
        with pytest.raises(BadConfiguration, match="is nothing that Lineal can give to a commit") as refused:
            Settings.of(environ={"LINEAL_ALLOW": wrong})
        assert "one of network.host, security.insecure, device, publish, or leave it out" in str(refused.value)
