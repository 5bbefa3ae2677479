"""The sources of one instruction that stand outside of its context: what its `--from=` names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from e2b_dockerfile_utils import DockerfileInstruction

from lineal.context.build_context import BuildContext
from lineal.context.tree import EmptyTree
from lineal.dockerfile.instructions import InstructionParser
from lineal.dockerfile.source_files import may_match
from lineal.dockerfile.stage import Stage


class Origins(Protocol):
    """The plan of the Dockerfile that the instruction stands in."""

    parser: InstructionParser

    def source_stage(self, instruction: DockerfileInstruction, name: str, before: int) -> Stage | None:
        """The stage that `--from=NAME` means in the target of number `before`; None for an empty target."""

    def source_tree(self, name: str, before: int) -> BuildContext | None:
        """The directory of the commit that `--from=NAME` means in the target of number `before`, if it means one."""


class Sources:
    """What an instruction of the target of number `before` names, by name: stages, and directories of the commit."""

    def __init__(self, origins: Origins, instruction: DockerfileInstruction, before: int) -> None:
        self._origins = origins
        self._instruction = instruction
        self._before = before
        self.stages: dict[str, Stage] = {}
        self.contexts: dict[str, BuildContext] = {}

    def tree(self, name: str | None) -> BuildContext | None:
        """The directory of the commit that the name means, if it means one."""
        tree = None if name is None else self._origins.source_tree(name, self._before)
        if name is not None and tree is not None:
            self.contexts[name] = tree
        return tree

    def stage(self, name: str, paths: Iterable[str]) -> str | None:
        """The files of another target or image for the checksum: its own, None for an empty target. Nothing can be
        named there but the root and what wildcards would match."""
        stage = self._origins.source_stage(self._instruction, name, self._before)
        if stage is None or stage.is_empty:
            for path in paths:
                if not may_match(EmptyTree(), path):
                    self._origins.parser.refuse(
                        self._instruction,
                        f"There is no {path!r} in the target {name!r}, which is empty.",
                        "Take its root `/`, or put the file there.",
                        id="LN-2006",
                    )
        if stage is None:
            return None
        self.stages[name] = stage
        return stage.checksum
