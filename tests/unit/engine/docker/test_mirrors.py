"""Mirrors that an engine is set up with, and engines that do not tell them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lineal.engine.docker import mirrors
from lineal.engine.docker.mirrors import registry_mirrors
from tests.registries.proxy import Answer, Request, serve

MIRROR = "https://mirror.example.com/"


def told(info: Any) -> list[str]:
    def answer(request: Request) -> Answer:
        said = {"ApiVersion": "1.43", "MinAPIVersion": "1.24"} if request.path.endswith("/version") else info
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(said).encode())

    with serve(answer) as host:
        return registry_mirrors({"DOCKER_HOST": f"tcp://{host}"})


def test_an_engine_tells_its_mirrors() -> None:
    assert told({"RegistryConfig": {"Mirrors": [MIRROR, "http://127.0.0.1:5000/"]}}) == [
        MIRROR, "http://127.0.0.1:5000/"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "info",
    [{}, [], {"RegistryConfig": None}, {"RegistryConfig": {"Mirrors": None}}, {"RegistryConfig": {"Mirrors": [7]}}],
)
def test_an_engine_without_mirrors(info: Any) -> None:
    assert told(info) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (json.dumps({"registry-mirrors": [MIRROR]}), [MIRROR]),
        (json.dumps({"registry-mirrors": MIRROR}), []),
        ("{", []),
        ("[]", []),
        (None, []),
    ],
)
def test_without_an_engine_its_configuration_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, found: list[str]
) -> None:
    file = tmp_path / "daemon.json"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(mirrors, "FILE", file)
    assert registry_mirrors({"DOCKER_HOST": f"unix://{tmp_path}/absent.sock"}) == found
