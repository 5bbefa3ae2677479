"""The bases of targets: what FROM and `--from=` name that is no target of the Dockerfile."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, NoReturn

from e2b_dockerfile_utils import DockerfileInstruction

from lineal.dockerfile import platform
from lineal.dockerfile.instructions import FromInstruction
from lineal.dockerfile.named_context import NamedContext, dockerfile_of
from lineal.dockerfile.parser import Parser, one_line
from lineal.dockerfile.plan_request import PlanRequest
from lineal.dockerfile.scope import Scope
from lineal.dockerfile.stage import Stage
from lineal.errors import BadConfiguration


class Base(NamedTuple):
    """What a target begins on."""

    stage: Stage | None
    """None for `scratch`, and for a target that is as empty."""
    scope: Scope
    platform: str
    """The one that the target is for."""
    triggers: tuple[str, ...] = ()
    """Its ONBUILDs. Those of an external image cannot be known yet: they are refused when it is taken over."""


class Bases:
    """Those of one Dockerfile. Raises `BadConfiguration` with file and line."""

    def __init__(self, image: PlanRequest, parser: Parser, escape: str, plan: Callable[[PlanRequest], Stage]) -> None:
        self._image = image
        self._parser = parser
        self._escape = escape
        self._plan = plan
        self._of_files: dict[tuple[str, str], Stage] = {}
        """What named contexts hold that are directories or repositories, by name and platform."""

    def reference(self, instruction: DockerfileInstruction, scope: Scope) -> str:
        """What a FROM names, with the arguments before it."""
        text = self._parser.known(instruction, scope, instruction.args[0], "FROM")
        if not text:
            self._refuse_empty(instruction, f"The base {instruction.args[0]!r}", instruction.args[0])
        if platform.is_windows(text):
            sentence = f"{text!r} is an image of Windows, and Lineal builds images of Linux."
            remedy = "Build this one elsewhere, and leave it out of lineal.yaml."
            self._parser.refuse(instruction, sentence, remedy, id="LN-2003")
        return text

    def platform(self, instruction: DockerfileInstruction, scope: Scope) -> str:
        """The platform that a FROM asks for, by default the image's."""
        flags = self._parser.flags(instruction, ("platform",))
        if "platform" not in flags:
            return self._image.platform
        raw = flags["platform"]
        wanted = self._parser.known(instruction, scope, raw, "--platform")
        if not wanted:
            self._refuse_empty(instruction, f"--platform={raw}", raw)
        meant = platform.normal(wanted)
        if not platform.is_linux(meant):
            sentence = f"--platform={wanted} is no platform that Lineal builds for."
            self._parser.refuse(instruction, sentence, "Write it as linux/ARCHITECTURE.", id="LN-2003")
        own = (self._image.platform, *self._image.platforms)
        return next((one for one in own if platform.normal(one) == meant), meant)

    def _refuse_empty(self, instruction: DockerfileInstruction, what: str, raw: str) -> NoReturn:
        names = ", ".join(f'{name}: "…"' for name in re.findall(r"\$\{?(\w+)", raw))
        remedy = "Give its ARG a default"
        remedy += f", or a value in lineal.yaml: `images: {{{self._image.name}: {{args: {{{names}}}}}}}`."
        self._parser.refuse(instruction, f"{what} is empty.", remedy, id="LN-2006")

    def scratch(self) -> Base:
        """Always for the image's own platform, as in BuildKit."""
        return Base(None, Scope.scratch(self._escape), self._image.platform)

    def of_image(self, instruction: DockerfileInstruction, name: str, target: str, platform: str) -> Base:
        """Another image of lineal.yaml, by the value of its `needs` argument or by its name, else an external one."""
        other = self._image.placeholders.get(name)
        other = other or next((stage for need, stage in self._image.needs.values() if need == name), None)
        if other is not None:
            return self._of_other(instruction, other, platform)
        if name in self._image.siblings:
            # It would quietly mean a stranger's image of that name.
            remedy = f"Add `needs: {{BASE: {name}}}` to it, with `ARG BASE` and `FROM ${{BASE}}` here."
            self._parser.refuse(
                instruction, f"{name!r} is an image of lineal.yaml that this one lacks.", remedy, id="LN-2005"
            )
        return self._external(instruction, name, target, platform)

    def of_context(self, instruction: DockerfileInstruction, named: NamedContext, platform: str) -> Base:
        """What begins on a named context: like `FROM` of its image, or of one with nothing but its files."""
        if named.reference == "scratch":
            return self.scratch()
        if named.reference:
            base = self._external(instruction, named.reference, named.name, platform)
            assert base.stage is not None
            return base._replace(stage=replace(base.stage, text=f"FROM {named.reference}", place=named.place))
        if named.stage is not None:
            return self._of_other(instruction, named.stage, platform)
        if (named.name, platform) not in self._of_files:
            self._of_files[named.name, platform] = self._with_files(named, platform)
        return self._of_stage(self._of_files[named.name, platform], platform)

    def _of_other(self, instruction: DockerfileInstruction, stage: Stage, platform: str) -> Base:
        """Another image of lineal.yaml, for a platform."""
        found = self._image.on(stage, platform)
        if found is None:
            sentence = f"The image {stage.image!r} is not built for {platform}, which is asked for here."
            remedy = f"Add {platform} to its `platforms`."
            self._parser.refuse(instruction, sentence, remedy, id="LN-2017")
        return self._of_stage(found, platform)

    def _of_stage(self, stage: Stage, platform: str) -> Base:
        return Base(stage, stage.scope.inherited(self._escape, args=False), platform, stage.scope.onbuild)

    def _external(self, instruction: DockerfileInstruction, reference: str, target: str, platform: str) -> Base:
        from lineal.oci.reference import parse_reference

        image = self._image
        try:
            parse_reference(reference)
        except BadConfiguration as error:
            self._parser.refuse(instruction, error.message, error.remedy, id=error.id)
        scope = Scope(escape=self._escape)
        stage = Stage(
            op=FromInstruction(reference, only_files=instruction.name != "FROM"),
            image=image.name,
            target=target,
            place=self._parser.place(instruction),
            text=one_line(instruction) if instruction.name == "FROM" else f"FROM {reference}",
            parent=None,
            inputs={"from": reference, "platform": platform, "cache_version": image.cache_version},
            scope=scope,
            platform=platform,
            several=len(image.platforms) > 1,
        )
        return Base(stage, scope, platform)

    def _with_files(self, named: NamedContext, platform: str) -> Stage:
        """The last stage of an image that holds a directory or a git repository."""
        image = self._image
        request = replace(
            image, file=named.place.file, text=dockerfile_of(named), context=named.tree or image.context, target=None,
            args={}, needs={}, contexts={}, platform=platform, platforms=(),
        )  # fmt: skip
        try:
            return replace(self._plan(request), target=named.name, place=named.place)
        except BadConfiguration as error:
            for one in error.every():
                one.place = named.place
            raise
