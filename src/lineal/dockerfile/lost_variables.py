"""The variables of a target whose value is not known because their instruction is wrong."""

from __future__ import annotations

import re

from e2b_dockerfile_utils import DockerfileInstruction


class LostVariables:
    """What follows from the absence of one is no problem of its own."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def used_by(self, instruction: DockerfileInstruction) -> bool:
        return any(re.search(rf"\$\{{?{re.escape(name)}\b", instruction.original) for name in self._names)

    def add(self, instruction: DockerfileInstruction) -> None:
        """Those that the instruction would have set."""
        if instruction.name == "ARG":
            self._names.update(argument.partition("=")[0] for argument in instruction.args)
        elif instruction.name == "ENV":
            self._names.update(instruction.args[0::3])
