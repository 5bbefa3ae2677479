"""The targets of a Dockerfile, its `FROM … AS name` blocks, and the names and numbers that find them."""

from __future__ import annotations

from dataclasses import field

from e2b_dockerfile_utils import DockerfileInstruction

from lineal.dockerfile.parser import Parser
from lineal.dockerfile.plan_request import PlanRequest
from lineal.dockerfile.scope import Scope
from lineal.dockerfile.stage import Stage
from lineal.errors import BadConfiguration, Location
from lineal.regex import regex
from lineal.text import closest
from lineal.value import dataclass

_NAME = regex(r"^[a-z][a-z0-9-_.]*$")


@dataclass
class Target:
    """A `FROM ... AS name` block. Docker calls it a stage; here a stage is one layer-producing step of it."""

    name: str
    number: int
    origin: DockerfileInstruction
    instructions: list[DockerfileInstruction] = field(default_factory=list)
    last: Stage | None = None
    platform: str = ""
    """Known once it is planned."""
    scope: Scope | None = None


class Targets:
    """Those of one Dockerfile, in its order. Raises `BadConfiguration` with file and line."""

    def __init__(self, image: PlanRequest, parser: Parser) -> None:
        self._image = image
        self._parser = parser
        self._all: list[Target] = []

    def __bool__(self) -> bool:
        return bool(self._all)

    def begin(self, instruction: DockerfileInstruction) -> None:
        """The target of a FROM. It is there even where its name is refused, for the instructions below it."""
        target = Target("", len(self._all), instruction)
        self._all.append(target)
        target.name = self._name(target)

    def add(self, instruction: DockerfileInstruction) -> None:
        """An instruction of the target that was begun last."""
        self._all[-1].instructions.append(instruction)

    def _name(self, target: Target) -> str:
        words = target.origin.args
        if len(words) == 1:
            return str(target.number)
        if len(words) != 3 or words[1].lower() != "as":
            self._parser.refuse(
                target.origin, "FROM takes one reference, and optionally AS and a name.", id="LN-2002"
            )
        if not _NAME.match(words[2].lower()):
            self._parser.refuse(target.origin, f"{words[2]!r} is not a valid name for a target.", id="LN-2002")
        return words[2].lower()

    def find(self, name: str, before: int | None = None) -> Target | None:
        """The target of a name, or of a number as in COPY --from=0, among those before a number. The last one of a
        name wins, as in BuildKit."""
        targets = self._all[:before]
        for target in reversed(targets):
            if target.name == name.lower():
                return target
        return targets[int(name)] if _is_number(name) and int(name) < len(targets) else None

    def wanted(self) -> Target:
        """The one that lineal.yaml names, by default the last one."""
        wanted = self._image.target
        target = self._all[-1] if wanted is None else self.find(wanted)
        if target is None:
            near = closest(str(wanted), [target.name for target in self._all])
            raise BadConfiguration(
                f"target {wanted!r} is not in {self._image.file}.",
                id="LN-2005",
                place=Location("lineal.yaml", key=f"images.{self._image.name}.target"),
                remedy=f"Did you mean {near!r}?" if near else "Name a `FROM … AS` of that file.",
            )
        return target


def _is_number(name: str) -> bool:
    """Whether a name stands for a target by its number: of digits as `int` takes them, and not thousands of these."""
    return name.isascii() and name.isdigit() and len(name) < 10
