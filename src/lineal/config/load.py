"""`lineal.yaml` of a commit as a `Project`: Jinja2, then YAML, then types, then rules. Nothing is read from disk.

`env` may be missing: a `build` does not need it, although `release: "shop-{{ env }}"` prints it. Values under
`deploy` then keep `{{ env }}`, and only a command that uses them asks for it; anywhere else it is asked for at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from lineal.config import template
from lineal.config.convert import convert
from lineal.config.deferred import deferred, settle
from lineal.config.document import Document, parse, spell
from lineal.config.giterminism import Giterminism
from lineal.config.grants import Grants
from lineal.config.image_flags import Description, ImageFlags
from lineal.config.model import FILE, Deploy, Image, Project, normal
from lineal.config.setting import DEFAULT, Origin, Setting, known
from lineal.config.template import GitFacts
from lineal.config.validation import NAMESPACE_LENGTH, RELEASE_LENGTH, UNKNOWN_ENV, check, release_name
from lineal.context.committed import MAX_TEXT
from lineal.errors import BadConfiguration, Location, Problems
from lineal.value import dataclass

COMMAND_LINE = "the command line"
"""Stands for the file in which a project is written that flags describe."""


@dataclass(frozen=True)
class LoadedProject:
    """A project and where each of its values came from. `document` is None for a project that was assumed."""

    project: Project
    file: str = FILE
    document: Document | None = None
    described: Description | None = None
    """Of a project whose one image flags describe."""

    @cached_property
    def origins(self) -> dict[str, Origin]:
        """Dotted key (`images.api.args.PYTHON`, `images.api.secrets[0].id`) of every value -> where it came from."""
        if self.document is None:
            written = {"project": Origin(f"assumed, no {FILE}")}
        else:
            written = {key: self._written(key) for key in self._paths}
        return {key: written.get(key, DEFAULT) for key in _leaves(msgspec.to_builtins(self.project), ())}

    def origin(self, key: str) -> Origin:
        """Where the value of one dotted key comes from."""
        return self._written(key) if key in self._paths else DEFAULT

    def place(self, key: str) -> Location:
        """Where a dotted key is written, or else the nearest key above it; for error messages."""
        if self.document is None:
            return Location(self.file, None, None if self.described else key)
        near = key
        while near and near not in self._paths:
            near = near.rpartition("[" if near.endswith("]") else ".")[0]
        return Location(self.file, self.document.place(self._paths.get(near, ())).line, key)

    def setting(self, key: str) -> Setting[str] | None:
        """The text written at `key` (such as `repo`, `lock`, `deploy.release`), None when left to its default."""
        node = self.document.node(self._paths[key]) if self.document is not None and key in self._paths else None
        if node is None or not isinstance(node.value, str) or not node.value:
            return None
        return Setting(node.value, self._written(key))

    def deploy(self, without: Collection[str] = ()) -> Deploy:
        """The project's release. Raises `BadConfiguration` when there is nothing, or when it needs `--env` for
        another key than those `without` which the caller does."""
        deploy = self.project.deploy
        if deploy is None:
            message = "There is nothing to deploy: the key `deploy` is missing."
            raise BadConfiguration(
                message, id="LN-6001", place=Location(self.file), remedy="Write `deploy: {chart: PATH}`."
            )
        for key in [name for name in deploy.__struct_fields__ if name not in without]:
            values = getattr(deploy, key)
            for index, value in enumerate(values if isinstance(values, list) else [values]):
                name = f"deploy.{key}[{index}]" if isinstance(values, list) else f"deploy.{key}"
                if isinstance(value, str) and UNKNOWN_ENV in value:
                    known(Setting(value, Origin(self.file, self.place(name))))
        return deploy

    @cached_property
    def names_platforms(self) -> bool:
        """Whether an image says what it is built for."""
        return any(path[0] == "images" and path[2:] == ("platforms",) for path in self._paths.values() if path)

    def for_platforms(self, platforms: Sequence[str]) -> LoadedProject:
        """The project with its images for these platforms, if there are such, where no image says its own."""
        if not platforms or self.names_platforms:
            return self
        images = {
            name: msgspec.structs.replace(image, platforms=list(platforms))
            for name, image in self.project.images.items()
        }
        return replace(self, project=msgspec.structs.replace(self.project, images=images))

    def _written(self, key: str) -> Origin:
        place = self.place(key)
        return Origin(self.file if place.line is None else f"{self.file}:{place.line}", place)

    @cached_property
    def _paths(self) -> dict[str, tuple[str | int, ...]]:
        return {spell(path): path for path, _ in self.document.nodes()} if self.document is not None else {}


def load(
    text: str,
    *,
    file: str = FILE,
    env: str | None,
    vars: Mapping[str, str],
    git: GitFacts,
    environ: Mapping[str, str],
    giterminism: Giterminism,
    grants: Grants | None = None,
) -> LoadedProject:
    """The project that the template `text` describes. Raises `BadConfiguration` with file, line, key and remedy."""
    names = template.names(
        git=git, env=env or None, vars=vars, environ=environ, giterminism=giterminism, grants=grants
    )
    marks = deferred(env or None)
    rendered = template.render(text, file=file, names=names, deferred=marks)
    if len(rendered) > MAX_TEXT:
        message = f"The file has more than {MAX_TEXT >> 10} KiB when its template is written out."
        raise BadConfiguration(message, id="LN-1009", place=Location(file), remedy="Make its loops smaller.")
    lines = template.source_lines(text, rendered, file=file, names=names, deferred=marks)
    document = parse(rendered, file, lines)
    if document.root.value is None:
        raise BadConfiguration(
            "The file is empty.", id="LN-1006", place=Location(file), remedy="Begin with `project: NAME`."
        )
    settle(document)
    project = convert(document, Project)
    problems = Problems()
    for broken in check(project):
        place = document.place(broken.path)
        problems.add(BadConfiguration(broken.message, id="LN-1005", place=place, remedy=broken.remedy))
    problems.end()
    return LoadedProject(_finish(project, env or None), file, document)


def implicit_project(has_dockerfile: bool, project_name: str) -> LoadedProject:
    """The project of a commit without `lineal.yaml`: `./Dockerfile`, as one image with the project's name."""
    if not has_dockerfile:
        message = "The commit has neither lineal.yaml nor Dockerfile at its root."
        raise BadConfiguration(message, id="LN-1006", remedy="Write one of them and commit it.")
    name = name_of(project_name)
    return LoadedProject(Project(project=name, images={name: Image()}))


def described_project(flags: ImageFlags, project_name: str, start: Path, root: Path,
                      environ: Mapping[str, str]) -> LoadedProject:  # fmt: skip
    """The project of a commit without `lineal.yaml` whose one image `flags` describe. Raises `BadConfiguration`."""
    project, described = flags.project(name_of(project_name), start, root, environ)
    return LoadedProject(_finish(project, None), COMMAND_LINE, described=described)


def name_of(text: str) -> str:
    """A repository's name as that of a project."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].rstrip("-") or "app"


def _finish(project: Project, env: str | None) -> Project:
    """Paths in one spelling, and the names of release and namespace where they were left out."""
    images = {}
    for name, image in project.images.items():
        dockerfile = None if image.dockerfile is None else normal(image.dockerfile)
        images[name] = msgspec.structs.replace(image, context=normal(image.context), dockerfile=dockerfile)
    deploy = project.deploy
    if deploy is not None:
        deploy = msgspec.structs.replace(
            deploy,
            chart=deploy.chart if "://" in deploy.chart or not deploy.chart else normal(deploy.chart),
            manifests=[normal(path) for path in deploy.manifests],
            kustomize=normal(deploy.kustomize) if deploy.kustomize else "",
            templates=[normal(path) for path in deploy.templates],
            values=[normal(path) for path in deploy.values],
            release=deploy.release or release_name(project.project, env, RELEASE_LENGTH),
            namespace=deploy.namespace or release_name(project.project, env, NAMESPACE_LENGTH),
        )
    return msgspec.structs.replace(project, images=images, deploy=deploy)


def _leaves(value: Any, path: tuple[str | int, ...]) -> Iterator[str]:
    """The dotted key of every value that holds no others."""
    if isinstance(value, dict | list) and value:
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(item, (*path, step))
    else:
        yield spell(path)
