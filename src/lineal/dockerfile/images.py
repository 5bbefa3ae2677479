"""The images of `lineal.yaml` as graphs of stages, read from the commit alone."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lineal.config.giterminism import Giterminism
from lineal.config.load import LoadedProject
from lineal.config.model import Image
from lineal.context.artifacts import Artifacts
from lineal.context.build_context import BuildContext
from lineal.context.committed import absent, committed_text, dockerfile_of
from lineal.context.dockerignore import Ignore
from lineal.context.uncommitted import ReadPaths
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.instructions import RunInstruction
from lineal.dockerfile.planner import plan
from lineal.dockerfile.run_mounts import literal
from lineal.dockerfile.stage import PlanRequest, Stage, closure, unplanned
from lineal.errors import BadConfiguration, Problems
from lineal.git.commit import Commit
from lineal.progress import QUIET, Notes, once
from lineal.text import closest


@dataclass
class ImageGraphs:
    """The last stage of each planned image, needed images first, and the files that planning read."""

    last: dict[str, Stage] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)

    def readings(self) -> list[ReadPaths]:
        """The paths in contexts that the planned stages copy or mount."""
        patterns: dict[int, tuple[BuildContext, set[str]]] = {}
        for stage in closure(list(self.last.values())):
            if stage.context is None:
                continue
            found = patterns.setdefault(id(stage.context), (stage.context, set()))[1]
            if isinstance(stage.op, CopyInstruction) and stage.op.source_stage is None:
                found.update(stage.op.places())
            elif isinstance(stage.op, RunInstruction):
                found.update(literal(m.source) for m in stage.op.mounts if m.has_files and m.source_stage is None)
        return [ReadPaths(tree, tuple(sorted(sources))) for tree, sources in patterns.values() if sources]

    def require_artifacts(self) -> None:
        """Raises `BadConfiguration` for all artifacts that a stage reads and that are not there."""
        problems = Problems()
        for stage in closure(list(self.last.values())):
            for pattern in stage.awaits:
                problems.add(BadConfiguration(
                    f"The artifact {pattern} of lineal-giterminism.yaml is needed here and is not there.",
                    id="LN-3602",
                    place=stage.place,
                    remedy="Run the job that makes it first, and bring its files into this one (GitHub: "
                    "actions/download-artifact; GitLab: `needs`).",
                ))  # fmt: skip
        problems.end()


def read_images(
    repository: Commit,
    loaded: LoadedProject,
    wanted: Iterable[str] = (),
    exceptions: Giterminism = Giterminism(),  # noqa: B008 (it is frozen)
    notes: Notes = QUIET,
    *,
    trusted: bool = True,
    artifacts: Artifacts | None = None,
) -> ImageGraphs:
    """Plan the wanted images (all by default) and those they need. `trusted` says whether the commit may open
    services of this network to an `ADD`: see `Giterminism.opens`. Without `artifacts` none of those is there that the
    exceptions declare, as for a commit that is not checked out.

    Raises `BadConfiguration` with all that is wrong."""
    project = loaded.project
    names = list(wanted) or list(project.images)
    problems = Problems()
    for name in names:
        if name not in project.images:
            near = closest(name, project.images)
            problems.add(BadConfiguration(
                f"There is no image {name!r} in {loaded.file}.",
                id="LN-1018",
                remedy=f"Did you mean {near!r}?" if near else f"It has {', '.join(project.images)}.",
            ))  # fmt: skip
    problems.end()
    reader = _Reader(repository, loaded, _with_needs(names, project.images), exceptions, once(notes), trusted)
    reader.artifacts = artifacts or Artifacts(exceptions.artifacts)
    return reader.read()


def _with_needs(names: Iterable[str], images: Mapping[str, Image]) -> list[str]:
    """The names and the images that they need, needed ones first. (Loading the configuration refuses cycles.)"""
    ordered: list[str] = []

    def visit(name: str) -> None:
        for need in images[name].needs.values():
            visit(need)
        if name not in ordered:
            ordered.append(name)

    for name in names:
        visit(name)
    return ordered


class _Reader:
    def __init__(
        self, repository: Commit, loaded: LoadedProject, names: list[str], exceptions: Giterminism, notes: Notes,
        trusted: bool,
    ) -> None:  # fmt: skip
        self.exceptions = exceptions
        self.artifacts = Artifacts()
        self.notes = notes
        self.trusted = trusted
        self.repository = repository
        self.loaded = loaded
        self.names = names
        self.images = ImageGraphs()
        self.trees: dict[tuple[str, str], BuildContext] = {}
        self.listing = repository.listing([self._folder(loaded.project.images[name]) for name in names])

    def read(self) -> ImageGraphs:
        problems = Problems()
        for name in self.names:
            self.images.last[name] = unplanned(name, self.loaded.place(f"images.{name}"))
            with problems.collected():
                self.images.last[name] = plan(self._request(name))
        problems.end()
        return self.images

    def _request(self, name: str) -> PlanRequest:
        image = self.loaded.project.images[name]
        file = dockerfile_of(self.repository, image.dockerfile_path)
        self.images.files.add(image.dockerfile_path)
        text = self._text(file)
        if text is None:
            raise absent(
                self.repository, file, f"The Dockerfile {file} of image {name!r}",
                place=self.loaded.place(f"images.{name}"), remedy="Write it, or name it with `dockerfile:`.",
            )  # fmt: skip
        return PlanRequest(
            name=name,
            file=file,
            text=text,
            context=self._context(image, file),
            platform=image.platforms[0],
            target=image.target,
            args=image.args,
            needs={arg: (need, self.images.last[need]) for arg, need in image.needs.items()},
            cache_version=image.cache_version,
            siblings=self.loaded.project.images.keys(),
            unpinned=self.exceptions.unpinned,
            pinned=self.exceptions.dockerfile.pinned,
            inside=self.exceptions.opens if self.trusted else lambda _: False,
            notes=self.notes,
        )

    def _text(self, path: str) -> str | None:
        self.images.files.add(path)
        return committed_text(self.repository, path)

    def _folder(self, image: Image) -> str:
        """The folder of the image's context, with links of the commit followed."""
        found = self.repository.follow(image.context_path)
        self.images.files.update(found.links)
        return found.path

    def _context(self, image: Image, dockerfile: str) -> BuildContext:
        """The context after `<Dockerfile>.dockerignore` if there is one, else after its own `.dockerignore`."""
        context = self._folder(image)
        for file in (f"{dockerfile}.dockerignore", posixpath.join(context, ".dockerignore")):
            text = self._text(file)
            if text is not None:
                break
        key = (context, file if text is not None else "")
        if key not in self.trees:
            ignore = Ignore(text, file=file) if text is not None else Ignore.none()
            self.trees[key] = BuildContext(
                self.repository, context, self.listing, ignore, self.exceptions.empty, self.artifacts
            )
        return self.trees[key]
