"""A Dockerfile as a graph of stages, with every checksum, from the commit alone: no network, no engine."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NoReturn

from e2b_dockerfile_utils import DockerfileInstruction

from lineal.context.build_context import BuildContext
from lineal.dockerfile import platform
from lineal.dockerfile.build_args import unused
from lineal.dockerfile.checksum import Inputs, checksum
from lineal.dockerfile.instructions import FromInstruction, InstructionParser
from lineal.dockerfile.named_context import NamedContexts, dockerfile_of
from lineal.dockerfile.onbuild import arguments, trigger
from lineal.dockerfile.parser import one_line
from lineal.dockerfile.scope import PROXY_ARGS, Scope, Word
from lineal.dockerfile.stage import NamedContext, PlanRequest, Stage, unplanned
from lineal.dockerfile.syntax import read
from lineal.dockerfile.target import Target, TargetBuilder, TooDeep
from lineal.errors import BadConfiguration, Location, Problems
from lineal.text import closest

_Begun = tuple[Stage | None, Scope, tuple[str, ...]]
"""The stage that something begins on, its scope, and its ONBUILD triggers."""
# Keeps the recursion over targets far away from Python's limit.
_MAX_DEPTH = 100
_MOST = 10_000
"""Instructions of a Dockerfile."""
_TARGET_NAME = re.compile(r"^[a-z][a-z0-9-_.]*$")


def plan(image: PlanRequest) -> Stage:
    """The image's last stage; the rest hangs on it. Raises `BadConfiguration` with file and line."""
    return Planner(image).last_stage()


class Planner:
    def __init__(self, image: PlanRequest) -> None:
        self.image = image
        self.parser = InstructionParser(image.file, image.notes)
        self.problems = Problems()
        self.ast, unread = read(image.text, image.file)
        if len(self.ast.instructions) > _MOST:
            raise BadConfiguration(
                f"there are more than {_MOST} instructions in it.",
                id="LN-2016",
                place=Location(image.file, self.ast.instructions[_MOST].start_line),
                remedy="Put several into one, or split it into images.",
            )
        self.needs = {stage.placeholder: stage for _, stage in image.needs.values()}
        self.build_args = {**image.args, **{arg: stage.placeholder for arg, (_, stage) in image.needs.items()}}
        self.globals = self._platform_scope()
        self.targets = self._split()
        self.depth = 0
        self.contexts = NamedContexts(image)
        self.of_files: dict[str, Stage] = {}
        """What named contexts hold that are directories or repositories."""
        self._check_args()
        rests = bool(self.problems)
        for error in unread:
            self.problems.add(error)
        if rests:
            # Everything else would rest on what is wrong already.
            self.problems.end()
        self.parser.before_from = self.globals.variables.keys()

    def last_stage(self) -> Stage:
        target = self._wanted()
        stage, scope = self._plan_target(target)
        self.problems.end()
        for note in self.contexts.unused():
            self.image.notes.note(note)
        return stage or self._nothing(target, scope)

    def _wanted(self) -> Target:
        wanted = self.image.target
        target = self.targets[-1] if wanted is None else self._find_target(wanted, len(self.targets))
        if target is None:
            near = closest(str(wanted), [target.name for target in self.targets])
            raise BadConfiguration(
                f"target {wanted!r} is not in {self.image.file}.",
                id="LN-2005",
                place=Location("lineal.yaml", key=f"images.{self.image.name}.target"),
                remedy=f"Did you mean {near!r}?" if near else "Name a `FROM … AS` of that file.",
            )
        return target

    def _nothing(self, target: Target, scope: Scope) -> Stage:
        """An image without layers, which docker makes of `FROM scratch` alone."""
        image = self.image
        return Stage(
            op=None,
            image=image.name,
            target=target.name,
            place=self.parser.place(target.origin),
            text=one_line(target.origin),
            parent=None,
            inputs={
                "close": True, "metadata": [], "platform": image.platform, "cache_version": image.cache_version
            },
            scope=scope,
            context=image.context,
            platform=image.platform,
        )  # fmt: skip

    def stand_in(self, target: Target) -> Stage:
        return unplanned(self.image.name, self.parser.place(target.origin), target.name)

    # --- targets ------------------------------------------------------------------------------------------------

    def _platform_scope(self) -> Scope:
        """The arguments that FROM can see from the start."""
        scope = Scope(escape=self.ast.escape_token, open=False)
        for name, value in platform.arguments(self.image.platform, self._stage_argument()).items():
            scope = scope.with_arg(name, self.build_args.get(name, value))
        return scope

    def _stage_argument(self) -> str:
        """TARGETSTAGE: the wanted target as lineal.yaml writes it, else the name of the last one."""
        last = [instruction for instruction in self.ast.instructions if instruction.name == "FROM"][-1:]
        name = last[0].args[2].lower() if last and len(last[0].args) == 3 else ""
        return self.image.target or name or "default"

    def _split(self) -> list[Target]:
        targets: list[Target] = []
        for instruction in self.ast.instructions:
            with self.problems.collected():
                if instruction.name == "FROM":
                    targets.append(Target("", len(targets), instruction, []))
                    targets[-1].name = self._target_name(instruction, targets[-1].number)
                elif targets:
                    targets[-1].instructions.append(instruction)
                elif instruction.name == "ARG":
                    self.globals = self.arg(instruction, self.globals, local=False)
                else:
                    sentence = f"{instruction.name} stands before the first FROM."
                    self.parser.refuse(instruction, sentence, id="LN-2001")
        if not targets:
            self.problems.end()
            raise BadConfiguration("there is no FROM in it.", id="LN-2001", place=Location(self.image.file),
                                   remedy="A Dockerfile starts with FROM.")  # fmt: skip
        return targets

    def _target_name(self, instruction: DockerfileInstruction, number: int) -> str:
        words = instruction.args
        if len(words) == 1:
            return str(number)
        if len(words) != 3 or words[1].lower() != "as":
            self.parser.refuse(instruction, "FROM takes one reference, and optionally AS and a name.", id="LN-2002")
        if not _TARGET_NAME.match(words[2].lower()):
            self.parser.refuse(instruction, f"{words[2]!r} is not a valid name for a target.", id="LN-2002")
        return words[2].lower()

    def _find_target(self, name: str, before: int) -> Target | None:
        """The target of a name, or of a number as in COPY --from=0. The last one of a name wins, as in BuildKit."""
        for target in reversed(self.targets[:before]):
            if target.name == name.lower():
                return target
        return self.targets[int(name)] if _is_number(name) and int(name) < before else None

    def _check_args(self) -> None:
        """Say which build arguments no ARG takes. Another image that none takes is a typing error."""
        declared = {
            argument.split("=", 1)[0] for instruction in self.ast.instructions if instruction.name == "ARG"
            for argument in instruction.args
        }  # fmt: skip
        own = tuple(trigger(instruction) for instruction in self.ast.instructions if instruction.name == "ONBUILD")
        declared |= arguments((*own, *(text for stage in self._others() for text in stage.scope.onbuild)))
        for note in unused(self.image, declared):
            self.image.notes.note(note)
        for name in sorted(PROXY_ARGS.intersection(self.image.args).difference(declared)):
            self.problems.add(BadConfiguration(
                f"{name} is the job's: a proxy is part of no checksum, so no commit says which one a RUN sees.",
                id="LN-2015",
                place=Location("lineal.yaml", key=f"images.{self.image.name}.args.{name}"),
                remedy=f"Set {name} in the environment of the job, or write `ARG {name}` in the Dockerfile: "
                "then it counts.",
            ))  # fmt: skip
        for name in self.image.needs:
            if name not in declared:
                near = closest(name, declared)
                self.problems.add(BadConfiguration(
                    f"{self.image.file} has no ARG {name}.",
                    id="LN-2007",
                    place=Location("lineal.yaml", key=f"images.{self.image.name}.needs.{name}"),
                    remedy=f"Did you mean {near}?" if near else f"Add `ARG {name}` there, or remove the argument.",
                ))  # fmt: skip

    def _plan_target(self, target: Target) -> tuple[Stage | None, Scope]:
        named = self.contexts.find(target.name)
        if target.scope is None and named is not None:
            # As in BuildKit, nothing of the target counts, not even its other instructions.
            target.last, target.scope, _ = self._separately(target, partial(self._of_named, target.origin, named))
        elif target.scope is None:
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise TooDeep(
                    f"More than {_MAX_DEPTH} targets build on each other here.",
                    id="LN-2008",
                    place=self.parser.place(target.origin),
                    remedy="Put some of them together, or split the Dockerfile into images.",
                )
            stage, scope, triggers = self._separately(target, partial(self._base, target))
            builder = TargetBuilder(self, target, stage, scope)
            builder.begin(triggers)
            for instruction in target.instructions:
                builder.add(instruction)
            target.last, target.scope = builder.finish(), builder.scope
            self.depth -= 1
        return target.last, target.scope

    def _separately(self, target: Target, begin: Callable[[], _Begun]) -> _Begun:
        """What is wrong where a target begins is said together with the other problems of the Dockerfile."""
        try:
            return begin()
        except TooDeep:
            raise
        except BadConfiguration as error:
            self.problems.add(error)
            return self.stand_in(target), Scope(escape=self.ast.escape_token), ()

    def _base(self, target: Target) -> _Begun:
        """The stage that a target begins on, its scope, and its ONBUILD triggers. A FROM names scratch (no stage), an
        earlier target, a named context, another image of lineal.yaml, or an external image."""
        instruction = target.origin
        flags = self.parser.flags(instruction, ("platform",))
        if "platform" in flags:
            wanted = self.parser.known(instruction, self.globals, flags["platform"], "--platform")
            if not wanted:
                self._refuse_empty(instruction, f"--platform={flags['platform']}", flags["platform"])
            if platform.normal(wanted) != platform.normal(self.image.platform):
                self.parser.refuse(
                    instruction,
                    f"--platform={wanted} is not the image's platform "
                    f"{self.image.platform}; several platforms are not supported yet.",
                    f"Give this target an image of its own with `platforms: [{platform.normal(wanted)}]`, "
                    "or write --platform=$TARGETPLATFORM.",
                    id="LN-2003",
                )
        text = self.parser.known(instruction, self.globals, instruction.args[0], "FROM")
        if not text:
            self._refuse_empty(instruction, f"The base {instruction.args[0]!r}", instruction.args[0])
        if platform.is_windows(text):
            sentence = f"{text!r} is an image of Windows, and Lineal builds images of Linux."
            remedy = "Build this one elsewhere, and leave it out of lineal.yaml."
            self.parser.refuse(instruction, sentence, remedy, id="LN-2003")
        if text == "scratch":
            return None, Scope.scratch(self.ast.escape_token), ()
        earlier = self._find_target(text, target.number) if not text.isdigit() else None
        if earlier is not None:
            stage, scope = self._plan_target(earlier)
            return stage, scope.inherited(self.ast.escape_token, args=True), scope.onbuild
        named = self.contexts.find(text)
        if named is not None:
            return self._of_named(instruction, named)
        other = self.other_image(text)
        self._refuse_undeclared(instruction, text, other)
        if other is not None:
            return other, other.scope.inherited(self.ast.escape_token, args=False), other.scope.onbuild
        # What an external image says cannot be known yet: its ONBUILDs are refused when it is taken over.
        stage = self.external(instruction, target.name, text)
        return stage, Scope(escape=self.ast.escape_token), ()

    def _refuse_empty(self, instruction: DockerfileInstruction, what: str, raw: str) -> NoReturn:
        names = ", ".join(f'{name}: "…"' for name in re.findall(r"\$\{?(\w+)", raw))
        remedy = "Give its ARG a default"
        remedy += f", or a value in lineal.yaml: `images: {{{self.image.name}: {{args: {{{names}}}}}}}`."
        self.parser.refuse(instruction, f"{what} is empty.", remedy, id="LN-2006")

    def _refuse_undeclared(self, instruction: DockerfileInstruction, name: str, other: Stage | None) -> None:
        """Refuse a name of lineal.yaml without `needs`: it would quietly mean a stranger's image of that name."""
        if other is None and name in self.image.siblings:
            remedy = f"Add `needs: {{BASE: {name}}}` to it, with `ARG BASE` and `FROM ${{BASE}}` here."
            self.parser.refuse(
                instruction, f"{name!r} is an image of lineal.yaml that this one lacks.", remedy, id="LN-2005"
            )

    def _others(self) -> list[Stage]:
        """The other images of lineal.yaml that this one is made from."""
        return [*self.needs.values(), *(one.stage for one in self.image.contexts.values() if one.stage is not None)]

    def other_image(self, text: str) -> Stage | None:
        """Another image of lineal.yaml, by its `needs` argument's value or by its name there."""
        if text in self.needs:
            return self.needs[text]
        return next((stage for name, stage in self.image.needs.values() if name == text), None)

    def external(self, instruction: DockerfileInstruction, target: str, reference: str) -> Stage:
        from lineal.oci.reference import parse_reference

        try:
            parse_reference(reference)
        except BadConfiguration as error:
            self.parser.refuse(instruction, error.message, error.remedy, id=error.id)
        return Stage(
            op=FromInstruction(reference, only_files=instruction.name != "FROM"),
            image=self.image.name,
            target=target,
            place=self.parser.place(instruction),
            text=one_line(instruction) if instruction.name == "FROM" else f"FROM {reference}",
            parent=None,
            inputs={"from": reference, "platform": self.image.platform, "cache_version": self.image.cache_version},
            scope=Scope(escape=self.ast.escape_token),
            platform=self.image.platform,
        )

    # --- named contexts -----------------------------------------------------------------------------------------

    def _of_named(self, instruction: DockerfileInstruction, named: NamedContext) -> _Begun:
        """What begins on a named context: like `FROM` of its image, or of one with nothing but its files."""
        if named.reference == "scratch":
            return None, Scope.scratch(self.ast.escape_token), ()
        if named.reference:
            external = self.external(instruction, named.name, named.reference)
            stage = replace(external, text=f"FROM {named.reference}", place=named.place)
            return stage, Scope(escape=self.ast.escape_token), ()
        if named.stage is None and named.name not in self.of_files:
            self.of_files[named.name] = self._of_files(named)
        stage = named.stage or self.of_files[named.name]
        return stage, stage.scope.inherited(self.ast.escape_token, args=False), stage.scope.onbuild

    def _of_files(self, named: NamedContext) -> Stage:
        file = named.place.file
        request = replace(
            self.image, file=file, text=dockerfile_of(named), context=named.tree or self.image.context, target=None,
            args={}, needs={}, contexts={},
        )  # fmt: skip
        try:
            return replace(plan(request), target=named.name, place=named.place)
        except BadConfiguration as error:
            for one in error.every():
                one.place = named.place
            raise

    def source_tree(self, name: str, before: int) -> BuildContext | None:
        """The directory of the commit that `--from=NAME` means in the target of number `before`, if it means one."""
        target = self._find_target(name, len(self.targets))
        if target is not None and target.number >= before:
            return None
        named = self.contexts.find(name if target is None else target.name)
        return named.tree if named else None

    def source_stage(self, instruction: DockerfileInstruction, name: str, before: int) -> Stage | None:
        """The last stage with files of the target or image that `--from=NAME` of COPY or of a mount names; None for
        an empty target."""
        target = self._find_target(name, len(self.targets))
        if target is not None and instruction.name == "RUN" and name.isdigit():
            self.parser.refuse(instruction, f"RUN --mount cannot name a target by its number, from={name}.",
                               "Name it with `FROM … AS name`, and mount from that name.", id="LN-2003")  # fmt: skip
        if target is None:
            if name.isdigit():
                self.parser.refuse(instruction, f"--from={name} is not a target above this one.",
                                   "Name an earlier `FROM … AS`, or another image.", id="LN-2005")  # fmt: skip
            named = self.contexts.find(name)
            if named is not None:
                stage, _, _ = self._of_named(instruction, named)
                return with_files(stage) if stage else None
            other = self.other_image(name)
            self._refuse_undeclared(instruction, name, other)
            return with_files(other) if other else self.external(instruction, name, name)
        if target.number >= before:
            # Of several with one name BuildKit means the last, wherever it stands.
            self.parser.refuse(instruction, f"--from={name} is not a target above this one.",
                               "Name an earlier `FROM … AS`, or another image.", id="LN-2005")  # fmt: skip
        stage, _ = self._plan_target(target)
        return with_files(stage) if stage else None

    def arg(self, instruction: DockerfileInstruction, scope: Scope, *, local: bool) -> Scope:
        """ARG: the value of lineal.yaml, else the default, else (in a target) what was set before the first FROM.
        Later ones of a line see the earlier ones; names are taken as they are written."""
        if not instruction.args:
            self.parser.refuse(instruction, "ARG needs a name.", id="LN-2002")
        for argument in instruction.args:
            name, separator, raw_default = argument.partition("=")
            if not name:
                self.parser.refuse(instruction, "ARG needs a name before each `=`.", id="LN-2002")
            value: Word | None = None
            if name in self.build_args:
                value = self.build_args[name]
            elif separator:
                value = self._default(instruction, scope, name, raw_default, local)
            elif local:
                value = self.globals.variables.get(name)
            try:
                scope = scope.with_arg(name, value)
            except ValueError as error:
                self.parser.refuse(instruction, f"ARG: {error}.", "Write its value out.", id="LN-2004")
        return scope

    def _default(self, instruction: DockerfileInstruction, scope: Scope, name: str, raw: str, local: bool) -> Word:
        """Without the warnings of targets before the first FROM."""
        if local:
            return self.parser.expand(instruction, scope, raw)
        return self.parser.known(instruction, scope, raw, f"The default of ARG {name}")


def _is_number(name: str) -> bool:
    """Whether a name stands for a target by its number: of digits as `int` takes them, and not thousands of these."""
    return name.isascii() and name.isdigit() and len(name) < 10


def with_files(stage: Stage) -> Stage:
    """The stage that a copy from this one depends on: closing metadata has no files, unless a WORKDIR makes some."""
    while stage.op is None and stage.parent and not stage.makes_directories:
        stage = stage.parent
    return stage


def files_digest(inputs: Inputs) -> Inputs:
    """The inputs for a record: long file lists are replaced by their count and their own checksum."""
    if not isinstance(inputs.get("files"), list):
        return inputs
    listed = [entry for source in inputs["files"] for root in source for entry in root[1]]
    return {**inputs, "files": {"count": len(listed), "checksum": checksum({"files": inputs["files"]})}}
