"""Instructions and stages of small Dockerfiles, for the tests of this folder."""

from __future__ import annotations

from types import NoneType
from typing import Any

import pytest

from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.instructions import FromInstruction, RunInstruction
from lineal.dockerfile.stage import Stage
from lineal.errors import BadConfiguration
from tests.unit.stages.workbench import Files, planned, stages

FILES: Files = {"a": "a", "b": "b", "dir/c": "c", "with space": "x", "EOF": "x"}


def step(text: str, head: str = "FROM base:1\n", **options: Any) -> Any:
    return planned(f"{head}{text}\n", FILES, **options).op


def run(text: str, **options: Any) -> RunInstruction:
    found = step(text, **options)
    assert isinstance(found, RunInstruction)
    return found


def copied(text: str, **options: Any) -> CopyInstruction:
    found = step(text, **options)
    assert isinstance(found, CopyInstruction)
    return found


def refusal(text: str, head: str = "FROM base:1\n") -> str:
    with pytest.raises(BadConfiguration) as refused:
        step(text, head)
    message = str(refused.value)
    assert message.startswith("Dockerfile:2: "), message
    return message


KINDS = {FromInstruction: "from", RunInstruction: "run", CopyInstruction: "copy", NoneType: "close"}


def kind(stage: Stage) -> str:
    return KINDS[type(stage.op)]


def kinds(last: Stage) -> list[str]:
    return [kind(stage) for stage in stages(last)]
