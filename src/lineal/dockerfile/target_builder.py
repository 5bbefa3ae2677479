"""The instructions of one target as stages: metadata gathers until a layer-producing instruction takes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from e2b_dockerfile_utils import DockerfileInstruction, DockerfileSyntaxError

from lineal.context.build_context import BuildContext
from lineal.dockerfile import metadata
from lineal.dockerfile import platform as platforms
from lineal.dockerfile.base import Base
from lineal.dockerfile.build_args import BuildArgs
from lineal.dockerfile.checksum import Inputs
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.instructions import METADATA, MetadataInstruction, RunInstruction
from lineal.dockerfile.lost_variables import LostVariables
from lineal.dockerfile.onbuild import instructions
from lineal.dockerfile.parser import one_line
from lineal.dockerfile.plan_request import PlanRequest
from lineal.dockerfile.run_mounts import RunMount, literal
from lineal.dockerfile.scope import Deferred, Word, canonical_word
from lineal.dockerfile.source_files import SourceFiles, may_match, mounted_files, source_files
from lineal.dockerfile.sources import Origins, Sources
from lineal.dockerfile.stage import Stage
from lineal.dockerfile.target import Target
from lineal.errors import BadConfiguration, Location, Problems


class Planning(Origins, Protocol):
    """The plan of the Dockerfile that a target stands in."""

    image: PlanRequest
    args: BuildArgs
    problems: Problems

    def stand_in(self, target: Target) -> Stage:
        """Any stage in place of one that cannot be planned, so that nothing follows from its absence."""


class TooDeep(BadConfiguration):
    """Targets build on each other without end: nothing else is looked for."""


class TargetBuilder:
    """Walks one target's instructions: metadata gathers until a layer-producing step makes a stage of it."""

    def __init__(self, planner: Planning, target: Target, base: Base) -> None:
        self.planner = planner
        self.parser = planner.parser
        self.image = planner.image
        self.target = target
        self.stage = base.stage
        self.scope = base.scope
        self.platform = base.platform
        self.pending: list[MetadataInstruction] = []
        self.first = True
        self.cmd_set = False
        self.awaits: set[str] = set()
        """The artifacts that the instruction needs and that are not there."""
        self.lost = LostVariables()

    def add(self, instruction: DockerfileInstruction) -> None:
        with self._separately(instruction):
            self._add(instruction)

    @contextmanager
    def _separately(self, instruction: DockerfileInstruction) -> Iterator[None]:
        """What is wrong in the block is said together with the other problems of the Dockerfile."""
        try:
            yield
        except TooDeep:
            raise
        except BadConfiguration as error:
            self._failed(instruction, error)

    def _add(self, instruction: DockerfileInstruction) -> None:
        name = instruction.name
        self.awaits = set()
        if self.lost.used_by(instruction):
            self.lost.add(instruction)
        if name == "ARG":
            self.scope = self.planner.args.declare(instruction, self.scope)
        elif name in METADATA:
            self._note_windows(instruction)
            self._metadata(instruction, self.parser.metadata(instruction, self.scope))
        elif name == "RUN":
            self._note_windows(instruction)
            self._run(instruction, self.parser.run(instruction, self.scope, self._in_context))
        elif name in ("COPY", "ADD"):
            origins = (flag.removeprefix("--from=") for flag in instruction.flags if flag.startswith("--from="))
            tree = self._sources(instruction).tree(next(origins, None))
            there = partial(self._in_context, context=tree)
            self._copy(instruction, self.parser.copy(instruction, self.scope, there, fixed=tree is not None))
        else:
            self.parser.refuse(instruction, f"{name} is not known.", id="LN-2001")

    def _note_windows(self, instruction: DockerfileInstruction) -> None:
        program = platforms.program_of_windows(" ".join(instruction.args[:1]))
        if program and instruction.name in ("RUN", "SHELL"):
            note = f"`{program}` is a program of Windows, and Lineal builds images of Linux."
            self.image.notes.warn(f"{self.parser.place(instruction)}: {note}")

    def _failed(self, instruction: DockerfileInstruction, error: BadConfiguration) -> None:
        """What follows from another failure is no problem of its own."""
        # The files that it reads said so, which do not know for whom they are read.
        error.place = error.place or self.parser.place(instruction)
        if not self.lost.used_by(instruction):
            self.planner.problems.add(error)
        self.lost.add(instruction)
        self.stage = self.stage or self.planner.stand_in(self.target)

    def begin(self, triggers: tuple[str, ...]) -> None:
        """Add the instructions that the base's ONBUILDs hold, and take the ONBUILDs out of the config."""
        if not triggers:
            return
        origin = self.target.origin
        self.pending.append(MetadataInstruction("ONBUILD", self.parser.place(origin), ()))
        with self._separately(origin):
            try:
                found = instructions(triggers, origin.start_line)
            except DockerfileSyntaxError as error:
                reason = str(error).split(": ", 1)[-1]
                self.parser.refuse(origin, f"An ONBUILD of the base cannot be read: {reason}.", id="LN-2013")
            for instruction in found:
                self.add(instruction)

    def finish(self) -> Stage | None:
        if self.pending:
            self._stage(None, self.pending[-1].place, self.pending[-1].text, {"close": True})
        return self.stage

    def _metadata(self, instruction: DockerfileInstruction, meta: MetadataInstruction) -> None:
        if meta.name == "ENTRYPOINT" and not self.cmd_set:
            meta = replace(meta, flags=(("reset-cmd", "true"),))
        self.cmd_set = self.cmd_set or meta.name == "CMD"
        if all(isinstance(word, str) for word in meta.words):
            # What can never be applied, such as a wrong port, is refused before anything is built.
            metadata.apply({}, meta, str)
        if meta.name == "ENV":
            meta = self._env(instruction, meta)
        self.pending.append(meta)
        self.scope = meta.scope_after(self.scope)

    def _env(self, instruction: DockerfileInstruction, meta: MetadataInstruction) -> MetadataInstruction:
        try:
            self.scope, unset = self.scope.before_env([str(word) for word in meta.words[0::2]])
        except ValueError as error:
            remedy = "Give the ARG a value that does not wait, or the ENV another name."
            self.parser.refuse(instruction, f"ENV: {error}.", remedy, id="LN-2004")
        return replace(meta, flags=(*meta.flags, *(("unset", name) for name in sorted(unset))))

    def _run(self, instruction: DockerfileInstruction, run: RunInstruction) -> None:
        sources = self._sources(instruction)
        files: dict[str, Any] = {}
        for number, mount in enumerate(run.mounts):
            if mount.has_files:
                with self._separately(instruction):
                    files[str(number)] = self._mounted(instruction, mount, sources)
        inputs = {**run.canonical(), "sees": self.scope.canonical_run(), "mounted": files}
        if self.image.run_options:
            inputs["run_options"] = self.image.run_options
        self._stage(run, run.place, one_line(instruction), inputs, sources)

    def _sources(self, instruction: DockerfileInstruction) -> Sources:
        return Sources(self.planner, instruction, self.target.number)

    def _mounted(self, instruction: DockerfileInstruction, mount: RunMount, sources: Sources) -> Any:
        tree = sources.tree(mount.source_stage)
        if mount.source_stage is not None and tree is None:
            return sources.stage(mount.source_stage, (mount.source,))
        if mount.source_stage is not None and mount.open:
            message = f"RUN --mount from {mount.source_stage!r}: only the base image may define a variable in it."
            remedy = "Write an `ENV` for it before its first use, or the path itself."
            self.parser.refuse(instruction, message, remedy, id="LN-2004")
        context = tree or self.image.context
        if literal(mount.source) == (mount.source or "/"):
            return self._awaiting(source_files(context, mount.source, "RUN --mount"))
        return self._awaiting(mounted_files(context, mount.source))

    def _awaiting(self, found: SourceFiles) -> list[list[Any]]:
        self.awaits.update(found.awaits)
        return found.roots

    def _copy(self, instruction: DockerfileInstruction, copy: CopyInstruction) -> None:
        sources = self._sources(instruction)
        files: Any = None
        tree = sources.tree(copy.source_stage)
        if copy.source_stage is not None and tree is None:
            files = sources.stage(copy.source_stage, copy.places())
        else:
            files = []
            for source in copy.sources:
                with self._separately(instruction):
                    files.append(self._copied(copy, source, tree or self.image.context))
        inputs = {**copy.canonical(), "files": files}
        if isinstance(copy.destination, Deferred) or not copy.destination.startswith("/"):
            inputs["workdir"] = self.scope.canonical_workdir()
        self._stage(copy, copy.place, one_line(instruction), inputs, sources)

    def _in_context(self, source: str, context: BuildContext | None = None) -> bool:
        """Whether a context, by default the image's, has something that a source means."""
        try:
            return may_match((context or self.image.context).names(), source)
        except BadConfiguration:
            return False

    def _copied(self, copy: CopyInstruction, source: Word, context: BuildContext) -> list[list[Any]]:
        """The files of a source for the checksum; none for a remote one, whose text and flags are inputs already."""
        remote = copy.remote(source)
        if isinstance(source, Deferred) or remote is not None:
            text = source.raw if isinstance(source, Deferred) else source
            checksum = dict(copy.flags).get("checksum")
            if not (remote.pinned if remote else isinstance(checksum, str) and checksum):
                self.image.remotes.check(text, remote)
            return []
        root, path_filter = copy.root(source)
        name = "ADD" if copy.add else "COPY"
        if not path_filter:
            return self._awaiting(source_files(context, source, name))
        return self._awaiting(source_files(context, root, name, path_filter, source))

    def _stage(
        self, op: RunInstruction | CopyInstruction | None, place: Location, text: str, inputs: Inputs,
        sources: Sources | None = None,
    ) -> None:  # fmt: skip
        inputs = {**inputs, "metadata": [meta.canonical() for meta in self.pending]}
        if self.stage is None:
            # A chain from scratch has no FROM stage to carry these.
            inputs |= {"platform": self.platform, "cache_version": self.image.cache_version}
        elif self.first and self.stage.image != self.image.name and self.image.cache_version:
            inputs["cache_version"] = self.image.cache_version
        self.stage = Stage(
            op=op,
            image=self.image.name,
            target=self.target.name,
            place=place,
            text=text,
            parent=self.stage,
            inputs=inputs,
            scope=self.scope,
            metadata=tuple(self.pending),
            sources=sources.stages if sources else {},
            context=self.image.context,
            contexts=sources.contexts if sources else {},
            needs=self._needs_used(inputs),
            platform=self.platform,
            several=len(self.image.platforms) > 1,
            awaits=tuple(sorted(self.awaits)),
        )
        self.awaits = set()
        self.pending = []
        self.first = False

    def _needs_used(self, inputs: Inputs) -> dict[str, Stage]:
        """The images whose references stand in the words of this stage. They must be published before it."""
        if not self.image.placeholders:
            return {}
        text = repr([inputs, [canonical_word(word) for word in self.scope.variables.values()]])
        return {name: stage for name, stage in self.image.placeholders.items() if name in text}
