"""The build arguments of an image: what each ARG of its Dockerfile gets, and which arguments no ARG takes."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from e2b_dockerfile_utils import DockerfileAst, DockerfileInstruction

from lineal.config.run_options import EPOCH
from lineal.dockerfile import platform
from lineal.dockerfile.onbuild import arguments, trigger
from lineal.dockerfile.parser import Parser
from lineal.dockerfile.plan_request import PlanRequest
from lineal.dockerfile.scope import PROXY_ARGS, Scope, Word
from lineal.errors import BadConfiguration, Location, Problems
from lineal.regex import regex
from lineal.text import closest

_EPOCH = "SOURCE_DATE_EPOCH"
_OF_BUILDKIT = regex(rf"BUILDKIT_\w+|DOCKER_BUILDKIT|{_EPOCH}")


class BuildArgs:
    """Those of one Dockerfile. `before_from` is the scope of its FROMs, which other instructions do not see."""

    def __init__(self, image: PlanRequest, ast: DockerfileAst, parser: Parser) -> None:
        self._image = image
        self._ast = ast
        self._parser = parser
        self._given = {
            **_of_epoch(image),
            **image.args,
            **{arg: stage.placeholder for arg, (_, stage) in image.needs.items()},
        }
        self.before_from = self._of_platform()

    def _of_platform(self) -> Scope:
        """The arguments that FROM can see from the start."""
        scope = Scope(escape=self._ast.escape_token, open=False)
        image = self._image
        for name, value in platform.arguments(image.platform, image.build_platform, self._target_stage()).items():
            scope = scope.with_arg(name, self._given.get(name, value))
        return scope

    def _target_stage(self) -> str:
        """TARGETSTAGE: the wanted target as lineal.yaml writes it, else the name of the last one."""
        last = [instruction for instruction in self._ast.instructions if instruction.name == "FROM"][-1:]
        name = last[0].args[2].lower() if last and len(last[0].args) == 3 else ""
        return self._image.target or name or "default"

    def declare_before_from(self, instruction: DockerfileInstruction) -> None:
        self.before_from = self._declare(instruction, self.before_from, local=False)

    def declare(self, instruction: DockerfileInstruction, scope: Scope) -> Scope:
        """The scope after an ARG of a target."""
        return self._declare(instruction, scope, local=True)

    def _declare(self, instruction: DockerfileInstruction, scope: Scope, *, local: bool) -> Scope:
        """ARG: the value of lineal.yaml, else the default, else (in a target) what was set before the first FROM.
        Later ones of a line see the earlier ones; names are taken as they are written."""
        if not instruction.args:
            self._parser.refuse(instruction, "ARG needs a name.", id="LN-2002")
        for argument in instruction.args:
            name, separator, raw_default = argument.partition("=")
            if not name:
                self._parser.refuse(instruction, "ARG needs a name before each `=`.", id="LN-2002")
            value: Word | None = None
            if name in self._given:
                value = self._given[name]
            elif separator:
                value = self._default(instruction, scope, name, raw_default, local)
            elif local:
                value = self.before_from.variables.get(name)
            try:
                scope = scope.with_arg(name, value)
            except ValueError as error:
                self._parser.refuse(instruction, f"ARG: {error}.", "Write its value out.", id="LN-2004")
        return scope

    def _default(self, instruction: DockerfileInstruction, scope: Scope, name: str, raw: str, local: bool) -> Word:
        """Without the warnings of targets before the first FROM."""
        if local:
            return self._parser.expand(instruction, scope, raw)
        return self._parser.known(instruction, scope, raw, f"The default of ARG {name}")

    def check(self, problems: Problems) -> None:
        """Note the arguments that no ARG takes, which change nothing. A proxy and another image that none takes are
        problems: the one is the job's, the other a typing error."""
        declared = self._declared()
        for note in _unused(self._image, declared):
            self._image.notes.note(note)
        for name in sorted(PROXY_ARGS.intersection(self._image.args).difference(declared)):
            problems.add(BadConfiguration(
                f"{name} is the job's: a proxy is part of no checksum, so no commit says which one a RUN sees.",
                id="LN-2015",
                place=Location("lineal.yaml", key=f"images.{self._image.name}.args.{name}"),
                remedy=f"Set {name} in the environment of the job, or write `ARG {name}` in the Dockerfile: "
                "then it counts.",
            ))  # fmt: skip
        for name in self._image.needs:
            if name not in declared:
                near = closest(name, declared)
                problems.add(BadConfiguration(
                    f"{self._image.file} has no ARG {name}.",
                    id="LN-2007",
                    place=Location("lineal.yaml", key=f"images.{self._image.name}.needs.{name}"),
                    remedy=f"Did you mean {near}?" if near else f"Add `ARG {name}` there, or remove the argument.",
                ))  # fmt: skip

    def _declared(self) -> set[str]:
        """The names of all ARGs, those behind an ONBUILD of the Dockerfile or of its bases too."""
        found = self._ast.instructions
        declared = {argument.split("=", 1)[0] for one in found if one.name == "ARG" for argument in one.args}
        own = (trigger(one) for one in found if one.name == "ONBUILD")
        return declared | arguments((*own, *(text for stage in self._image.images() for text in stage.scope.onbuild)))


def _of_epoch(image: PlanRequest) -> dict[str, str]:
    """The argument by which programs learn it, as with BuildKit."""
    return {_EPOCH: str(image.run_options[EPOCH])} if EPOCH in image.run_options else {}


def _unused(image: PlanRequest, declared: Collection[str]) -> Iterator[str]:
    """A sentence about those of lineal.yaml, and one about those that are for BuildKit itself."""
    known = {*declared, *PROXY_ARGS, *platform.arguments(image.platform, image.platform, "")}
    names = [name for name in image.args if name not in known]
    own = [name for name in names if _OF_BUILDKIT.fullmatch(name)]
    others = [name for name in names if name not in own]
    key = f"lineal.yaml: images.{image.name}.args"
    if others:
        near = {name: closest(name, declared) for name in others}
        meant = [f"{found} for {name}" for name, found in near.items() if found]
        hint = f" Did you mean {', '.join(meant)}?" if meant else ""
        yield f"{key}: {image.file} has no ARG for {', '.join(others)}, so nothing takes them.{hint}"
    if own:
        hint = f" Write {EPOCH} beside `args` for the times of files." if _EPOCH in own else ""
        yield f"{key}: {', '.join(own)} would be for BuildKit itself; Lineal has no use for them.{hint}"
