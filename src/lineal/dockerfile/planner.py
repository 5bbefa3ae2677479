"""A Dockerfile as a graph of stages, with every checksum, from the commit alone: no network, no engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from e2b_dockerfile_utils import DockerfileInstruction

from lineal.context.build_context import BuildContext
from lineal.dockerfile.base import Base, Bases
from lineal.dockerfile.build_args import BuildArgs
from lineal.dockerfile.instructions import InstructionParser, MetadataInstruction
from lineal.dockerfile.named_context import NamedContext, NamedContexts
from lineal.dockerfile.parser import one_line
from lineal.dockerfile.plan_request import PlanRequest
from lineal.dockerfile.scope import Scope
from lineal.dockerfile.stage import Stage, unplanned
from lineal.dockerfile.syntax import read
from lineal.dockerfile.target import Target, Targets
from lineal.dockerfile.target_builder import TargetBuilder, TooDeep
from lineal.errors import BadConfiguration, Location, Problems
from lineal.text import printable

# Keeps the recursion over targets far away from Python's limit.
_MAX_DEPTH = 100
_MOST = 10_000
"""Instructions of a Dockerfile."""


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
        self.args = BuildArgs(image, self.ast, self.parser)
        self.targets = Targets(image, self.parser)
        self.contexts = NamedContexts(image.contexts)
        self.bases = Bases(image, self.parser, self.ast.escape_token, plan)
        self.depth = 0
        self._split()
        self.args.check(self.problems)
        rests = bool(self.problems)
        for error in unread:
            self.problems.add(error)
        if rests:
            # Everything else would rest on what is wrong already.
            self.problems.end()
        self.parser.before_from = self.args.before_from.variables.keys()

    def _split(self) -> None:
        """The instructions by targets, and the ARGs before the first one."""
        for instruction in self.ast.instructions:
            with self.problems.collected():
                if instruction.name == "FROM":
                    self.targets.begin(instruction)
                elif self.targets:
                    self.targets.add(instruction)
                elif instruction.name == "ARG":
                    self.args.declare_before_from(instruction)
                else:
                    sentence = f"{instruction.name} stands before the first FROM."
                    self.parser.refuse(instruction, sentence, id="LN-2001")
        if not self.targets:
            self.problems.end()
            raise BadConfiguration("there is no FROM in it.", id="LN-2001", place=Location(self.image.file),
                                   remedy="A Dockerfile starts with FROM.")  # fmt: skip

    def last_stage(self) -> Stage:
        target = self.targets.wanted()
        stage, scope = self._plan_target(target)
        self.problems.end()
        for note in self.contexts.unused(self.image.file, self.image.text):
            self.image.notes.note(note)
        last = stage or self._nothing(target, scope)
        return self._labelled(last) if self.image.labels else last

    def _labelled(self, last: Stage) -> Stage:
        """The image with the labels of its entry in lineal.yaml: a closing stage on top of the target, from which
        other targets still copy without them."""
        words = tuple(word for pair in sorted(self.image.labels.items()) for word in pair)
        text = f"LABEL {' '.join(f'{key}={value}' for key, value in sorted(self.image.labels.items()))}"
        label = MetadataInstruction("LABEL", last.place, words, text=printable(text))
        return replace(
            last,
            op=None,
            image=self.image.name,
            text=label.text,
            parent=last,
            inputs={"close": True, "metadata": [label.canonical()]},
            metadata=(label,),
            sources={},
            contexts={},
            needs={},
            awaits=(),
        )

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
            several=len(image.platforms) > 1,
        )  # fmt: skip

    def stand_in(self, target: Target) -> Stage:
        return unplanned(self.image.name, self.parser.place(target.origin), target.name)

    # --- targets ------------------------------------------------------------------------------------------------

    def _plan_target(self, target: Target) -> tuple[Stage | None, Scope]:
        named = self.contexts.find(target.name)
        if target.scope is None and named is not None:
            # As in BuildKit, nothing else of the target counts, not even its other instructions.
            base = self._separately(target, partial(self._named_base, target, named))
            target.last, target.scope, target.platform = base.stage, base.scope, base.platform
        elif target.scope is None:
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise TooDeep(
                    f"More than {_MAX_DEPTH} targets build on each other here.",
                    id="LN-2008",
                    place=self.parser.place(target.origin),
                    remedy="Put some of them together, or split the Dockerfile into images.",
                )
            base = self._separately(target, partial(self._base, target))
            target.platform = base.platform
            builder = TargetBuilder(self, target, base)
            builder.begin(base.triggers)
            for instruction in target.instructions:
                builder.add(instruction)
            target.last, target.scope = builder.finish(), builder.scope
            self.depth -= 1
        return target.last, target.scope

    def _separately(self, target: Target, begin: Callable[[], Base]) -> Base:
        """What is wrong where a target begins is said together with the other problems of the Dockerfile."""
        try:
            return begin()
        except TooDeep:
            raise
        except BadConfiguration as error:
            self.problems.add(error)
            return Base(self.stand_in(target), Scope(escape=self.ast.escape_token), self.image.platform)

    def _named_base(self, target: Target, named: NamedContext) -> Base:
        return self.bases.of_context(target.origin, named, self._platform(target))

    def _platform(self, target: Target) -> str:
        return self.bases.platform(target.origin, self.args.before_from)

    def _base(self, target: Target) -> Base:
        """A FROM names scratch, an earlier target, a named context, another image of lineal.yaml, or an external
        image."""
        platform = self._platform(target)
        text = self.bases.reference(target.origin, self.args.before_from)
        if text == "scratch":
            return self.bases.scratch()
        earlier = self.targets.find(text, target.number) if not text.isdigit() else None
        if earlier is not None:
            stage, scope = self._plan_target(earlier)
            # As in BuildKit, it goes on for the platform of that target.
            return Base(stage, scope.inherited(self.ast.escape_token, args=True), earlier.platform, scope.onbuild)
        return self._outside(target.origin, text, target.name, platform)

    def _outside(self, instruction: DockerfileInstruction, name: str, target: str, platform: str) -> Base:
        """What a name means that no target has."""
        named = self.contexts.find(name)
        if named is not None:
            return self.bases.of_context(instruction, named, platform)
        return self.bases.of_image(instruction, name, target, platform)

    # --- what COPY, ADD and mounts take from ---------------------------------------------------------------------

    def source_tree(self, name: str, before: int) -> BuildContext | None:
        """The directory of the commit that `--from=NAME` means in the target of number `before`, if it means one."""
        target = self.targets.find(name)
        if target is not None and target.number >= before:
            return None
        named = self.contexts.find(name if target is None else target.name)
        return named.tree if named else None

    def source_stage(self, instruction: DockerfileInstruction, name: str, before: int) -> Stage | None:
        """The last stage with files of the target or image that `--from=NAME` of COPY or of a mount names; None for
        an empty target."""
        target = self.targets.find(name)
        if target is not None and instruction.name == "RUN" and name.isdigit():
            self.parser.refuse(instruction, f"RUN --mount cannot name a target by its number, from={name}.",
                               "Name it with `FROM … AS name`, and mount from that name.", id="LN-2003")  # fmt: skip
        # Of several with one name BuildKit means the last, wherever it stands.
        if name.isdigit() if target is None else target.number >= before:
            self.parser.refuse(instruction, f"--from={name} is not a target above this one.",
                               "Name an earlier `FROM … AS`, or another image.", id="LN-2005")  # fmt: skip
        # What no target has is for the image's own platform, as in BuildKit, whatever this target is for.
        found = self._outside(instruction, name, name, self.image.platform).stage if target is None else None
        stage = found if target is None else self._plan_target(target)[0]
        return stage.last_with_files() if stage else None
