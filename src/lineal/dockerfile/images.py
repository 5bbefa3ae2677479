"""The images of `lineal.yaml` as graphs of stages, read from the commit alone."""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field

from lineal.config.giterminism import Giterminism
from lineal.config.load import LoadedProject
from lineal.config.model import Image, normal
from lineal.config.named_context import NamedContext as NamedSource
from lineal.config.publish import Publish, scanner_of
from lineal.config.run_options import EPOCH, bytes_of, soft_and_hard
from lineal.context.artifacts import NONE, Artifacts
from lineal.context.awaited import awaited
from lineal.context.build_context import BuildContext
from lineal.context.committed import absent, committed_text, dockerfile_of
from lineal.context.dockerignore import Ignore
from lineal.context.listing import Listing
from lineal.context.path_filter import EVERYTHING
from lineal.context.uncommitted import ReadPaths
from lineal.dockerfile.checksum import Inputs
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.instructions import RunInstruction
from lineal.dockerfile.named_context import NamedContext
from lineal.dockerfile.plan_request import PlanRequest
from lineal.dockerfile.planner import plan
from lineal.dockerfile.remote_policy import RemotePolicy
from lineal.dockerfile.run_mounts import literal
from lineal.dockerfile.scan import scan
from lineal.dockerfile.stage import Parts, Platforms, Stage, closure, ends, part_of, unplanned
from lineal.errors import BadConfiguration, Problems
from lineal.git.commit import Commit
from lineal.oci.reference import familiar
from lineal.progress import QUIET, Notes, once
from lineal.text import closest
from lineal.value import dataclass


@dataclass
class ImageGraphs:
    """The planned images, needed ones first, each with its last stages, and the files that planning read."""

    images: dict[str, Parts] = field(default_factory=dict)
    sboms: dict[str, Parts] = field(default_factory=dict)
    """The last stages of the SBOMs, of images that have one."""
    files: set[str] = field(default_factory=set)
    artifacts: Artifacts = NONE

    @property
    def last(self) -> dict[str, Stage]:
        """The last stage of each image, for the first of its platforms."""
        return {name: next(iter(parts.values())) for name, parts in self.images.items()}

    def readings(self) -> list[ReadPaths]:
        """The paths in contexts that the planned stages copy or mount."""
        patterns: dict[int, tuple[BuildContext, set[str]]] = {}
        for stage in closure(ends(self.images)):
            for tree, places in _read(stage):
                patterns.setdefault(id(tree), (tree, set()))[1].update(places)
        return [ReadPaths(tree, tuple(sorted(sources))) for tree, sources in patterns.values() if sources]

    def require_artifacts(self, platforms: Platforms = frozenset()) -> None:
        """Raises `BadConfiguration` for all artifacts that a stage for these platforms reads and that are not
        there."""
        problems = Problems()
        for stage in closure(ends(self.images, platforms)):
            for pattern in stage.awaits:
                link = self.artifacts.link_before(pattern)
                problems.add(BadConfiguration(
                    f"The artifact {pattern} of lineal-giterminism.yaml is needed here and is not there"
                    f"{f': {link} is a link, and none is followed to it' if link else ''}.",
                    id="LN-3019",
                    place=stage.place,
                    remedy="Run the job that makes it first, and bring its files into this one (GitHub: "
                    "actions/download-artifact; GitLab: `needs`).",
                ))  # fmt: skip
        problems.end()


def _read(stage: Stage) -> Iterator[tuple[BuildContext, Sequence[str]]]:
    """The places of directories of the commit that a stage copies or mounts."""
    op = stage.op
    if isinstance(op, CopyInstruction):
        tree = stage.context if op.source_stage is None else stage.contexts.get(op.source_stage)
        if tree is not None:
            yield tree, op.places()
    elif isinstance(op, RunInstruction):
        for mount in op.mounts:
            tree = stage.context if mount.source_stage is None else stage.contexts.get(mount.source_stage)
            if tree is not None and mount.has_files:
                yield tree, [literal(mount.source)]


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
    """Plan the wanted images (all by default) and those they need and require. `trusted` says whether the commit may
    open services of this network to an `ADD`: see `Giterminism.opens`. Without `artifacts` none of those is there
    that the exceptions declare, as for a commit that is not checked out.

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
    reader.images.artifacts = artifacts or Artifacts(exceptions.artifacts)
    return reader.read()


def _with_needs(names: Iterable[str], images: Mapping[str, Image]) -> list[str]:
    """The names, the images that they need, and those that any of them requires; needed ones first. (Loading the
    configuration refuses cycles of needs.) No recursion: chains can be long."""
    ordered: dict[str, None] = {}
    waiting = deque(names)
    while waiting:
        start = waiting.popleft()
        trail = [(start, iter(images[start].needed))]
        while trail:
            name, rest = trail[-1]
            need = next((one for one in rest if one not in ordered), None)
            if need is not None:
                trail.append((need, iter(images[need].needed)))
                continue
            trail.pop()
            if name not in ordered:
                ordered[name] = None
                waiting.extend(images[name].requires)
    return list(ordered)


def _counted(image: Image) -> Inputs:
    """The options that count for every `RUN`. A control group does not: it is the engine's, like its network."""
    limits = {name: list(soft_and_hard(limit)) for name, limit in image.ulimits.items()}
    size = None if image.shm_size is None else bytes_of(image.shm_size)
    given = {"add_hosts": image.add_hosts, "shm_size": size, "ulimits": limits}
    counted = {name: value for name, value in given.items() if value}
    # The beginning of time is a time.
    return counted | ({} if image.source_date_epoch is None else {EPOCH: image.source_date_epoch})


class _Reader:
    def __init__(
        self, repository: Commit, loaded: LoadedProject, names: list[str], exceptions: Giterminism, notes: Notes,
        trusted: bool,
    ) -> None:  # fmt: skip
        self.exceptions = exceptions
        self.notes = notes
        self.trusted = trusted
        self.repository = repository
        self.loaded = loaded
        self.names = names
        self.images = ImageGraphs()
        self.trees: dict[tuple[str, str], BuildContext] = {}
        self._texts: dict[str, str | None] = {}
        images = [loaded.project.images[name] for name in names]
        named = [one.context for image in images for one in image.contexts.values() if one.context is not None]
        folders = [*(image.context_path for image in images), *map(normal, named)]
        self.listing = Listing(repository.listing([self._folder("" if one == "." else one) for one in folders]))

    def read(self) -> ImageGraphs:
        problems = Problems()
        for name in self.names:
            place, platforms = self.loaded.place(f"images.{name}"), self.loaded.project.images[name].platforms
            parts = dict.fromkeys(platforms, unplanned(name, place))
            self.images.images[name] = parts
            for platform in platforms:
                with problems.collected():
                    parts[platform] = plan(self._request(name, platform))
        problems.end()
        for name in self.names:
            with problems.collected():
                self._scan(name)
        problems.end()
        return self.images

    def _scan(self, name: str) -> None:
        project, own = self.loaded.project, self.loaded.project.images[name].publish
        if scanner := scanner_of(project.publish, own):
            at_image = isinstance(own, Publish) and own.sbom is not None
            place = self.loaded.place(f"images.{name}.publish.sbom" if at_image else "publish.sbom")
            parts = self.images.images[name].items()
            self.images.sboms[name] = {platform: scan(name, last, scanner, place) for platform, last in parts}

    def _request(self, name: str, platform: str) -> PlanRequest:
        image = self.loaded.project.images[name]
        file = image.dockerfile_path
        text = self._text(file)
        if text is None:
            file = dockerfile_of(self.repository, file)
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
            platform=platform,
            platforms=image.platforms,
            parts={self._part(name, need, platform).checksum: self.images.images[need] for need in image.needed},
            target=image.target,
            args=image.args,
            needs={arg: (need, self._part(name, need, platform)) for arg, need in image.needs.items()},
            cache_version=image.cache_version,
            labels=image.labels,
            contexts={familiar(key): self._named(name, key, one, platform) for key, one in image.contexts.items()},
            run_options=_counted(image),
            siblings=self.loaded.project.images.keys(),
            remotes=RemotePolicy(self.exceptions, self.trusted),
            notes=self.notes,
        )

    def _text(self, path: str) -> str | None:
        self.images.files.add(path)
        if path not in self._texts:
            self._texts[path] = committed_text(self.repository, path)
        return self._texts[path]

    def _part(self, image: str, need: str, platform: str) -> Stage:
        """Another image that this one is made from. Raises `BadConfiguration` when it is not built for the
        platform."""
        found = part_of(self.images.images[need], platform)
        if found is None:
            raise BadConfiguration(
                f"The image {image!r} is built for {platform}, and {need!r}, from which it is made, is not.",
                id="LN-2017",
                place=self.loaded.place(f"images.{image}.platforms"),
                remedy=f"Add {platform} to `images.{need}.platforms`, or leave it out here.",
            )
        return found

    def _named(self, image: str, name: str, named: NamedSource, platform: str) -> NamedContext:
        """What a name of `contexts:` stands for. Raises `LinealError` for a directory that is not there."""
        place = self.loaded.place(f"images.{image}.contexts.{name}")
        if named.context is not None:
            path = normal(named.context)
            folder = self._folder("" if path == "." else path)
            tree = self._tree(folder, [posixpath.join(folder, ".dockerignore")])
            if folder and not tree.unfiltered().below("") and not awaited(tree, ".", EVERYTHING, there=True):
                raise absent(
                    self.repository, folder, f"The directory {folder} of the context {name!r}", place=place,
                    remedy="Correct its path.", folder=True,
                )  # fmt: skip
            return NamedContext(name, place, tree=tree)
        other = self._part(image, named.needs, platform) if named.needs is not None else None
        return NamedContext(name, place, stage=other, reference=named.image or "", git=named.git or "")

    def _folder(self, path: str) -> str:
        """A folder of the commit with its links followed."""
        found = self.repository.follow(path)
        self.images.files.update(found.links)
        return found.path

    def _context(self, image: Image, dockerfile: str) -> BuildContext:
        """The context after `<Dockerfile>.dockerignore` if there is one, else after its own `.dockerignore`."""
        context = self._folder(image.context_path)
        return self._tree(context, [f"{dockerfile}.dockerignore", posixpath.join(context, ".dockerignore")])

    def _tree(self, context: str, files: Sequence[str]) -> BuildContext:
        """A directory of the commit without what the first of these files excludes that there is."""
        for file in files:
            text = self._text(file)
            if text is not None:
                break
        key = (context, file if text is not None else "")
        if key not in self.trees:
            ignore = Ignore(text, file=file) if text is not None else Ignore.none()
            self.trees[key] = BuildContext(
                self.repository, context, self.listing, ignore, self.exceptions.empty, self.images.artifacts
            )
        return self.trees[key]
