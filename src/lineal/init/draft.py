"""A project as a repository's files describe it: the images that can be planned, and what was left out."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from lineal.config.model import Image, Project
from lineal.config.named_context import NamedContext
from lineal.config.publish import Publish
from lineal.config.validation import check
from lineal.errors import BadConfiguration
from lineal.init.build import GUESSED, UNKNOWN, Build, inside
from lineal.init.charts import charts
from lineal.init.files import Files
from lineal.init.hints import ways
from lineal.init.tag_rules import template_of
from lineal.oci.reference import parse_reference, whole_name
from lineal.text import printable

Refused = Callable[[Project, str], str | None]
"""Tells why an image of a project cannot be planned."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_OWN = re.compile(r"(^|/)(\.[\w-]+|node_modules|third_party|vendor|testdata|tests?|fixtures?|examples?)/")
_PROXIES = {f"{name}_PROXY" for name in ("HTTP", "HTTPS", "FTP", "NO", "ALL")}
_SUFFIX = re.compile(r"(?i)(?:dockerfile|containerfile)[._-](.+)|(.+?)[._-](?:dockerfile|containerfile)")


@dataclass
class Draft:
    """`sources` says of each image where it was found."""

    project: Project
    sources: dict[str, str] = field(default_factory=dict)
    chart: str = ""
    left_out: list[str] = field(default_factory=list)


def draft(files: Files, name: str, refused: Refused) -> Draft:
    """`name` is the project's. Raises `BadConfiguration` when there is no image that can be planned."""
    return _Drafting(files, name, refused).draft()


class _Drafting:
    def __init__(self, files: Files, name: str, refused: Refused) -> None:
        self._files, self._refused = files, refused
        self._found = Draft(Project(project=name))
        self._images: dict[str, Image] = {}
        self._builds: dict[str, Build] = {}
        self._published: set[str] = set()

    def draft(self) -> Draft:
        for dockerfile, builds in ways(self._files).items():
            own = [build for build in builds if not _is_of_others(build)]
            if own:
                self._choose(dockerfile, own)
            else:
                self._leave(
                    dockerfile, "its folder, or that of what builds it, is of tests, examples or others' code."
                )
        for name in list(self._images):
            self._connect(name)
        self._drop_refused()
        found = self._found
        if not self._images:
            why = "; ".join(found.left_out[:3]) or "there is no Dockerfile in the commit."
            raise BadConfiguration(
                f"No image was found: {why}", id="LN-1054", remedy="Write a lineal.yaml by hand, or a Dockerfile."
            )
        self._chart()
        found.project = msgspec.structs.replace(found.project, images=self._images)
        return found

    # --- images ---------------------------------------------------------------------------------------------------

    def _choose(self, dockerfile: str, builds: Iterable[Build]) -> None:
        """An image for each context and target; of several with other arguments the first."""
        ways: dict[tuple[str, str | None], list[Build]] = {}
        for build in builds:
            ways.setdefault((build.context, build.target), []).append(build)
        known = [group[0] for group in ways.values()]
        if known[0].source == GUESSED:
            known = [next((one for one in known if self._plans(one) is None), known[0])]
        for group in ways.values():
            for other in group[1:]:
                self._leave(dockerfile, f"{other.source} also builds it with other arguments.")
        for build in known:
            self._add(build)

    def _plans(self, build: Build) -> str | None:
        image = Image(context=build.context, dockerfile=build.dockerfile)
        return self._refused(Project(project="x", images={"x": image}), "x")

    def _add(self, build: Build) -> None:
        name = self._name(build)
        args = {key: value for key, value in build.args.items() if _is_known(key, value)}
        for key in sorted(build.args.keys() - args.keys()):
            self._leave(name, f"the argument {printable(key)}, whose value {build.source} knows when it runs.")
        labels = {key: value for key, value in build.labels.items() if UNKNOWN not in value}
        image = Image(
            context=build.context, dockerfile=build.dockerfile, target=build.target, args=args, labels=labels,
            publish=self._publish(name, build),
        )  # fmt: skip
        platforms = [one for one in build.platforms if UNKNOWN not in one]
        if platforms and platforms != image.platforms:
            wanted = msgspec.structs.replace(image, platforms=platforms)
            if not list(check(Project(project="x", images={"x": wanted}))):
                image = wanted
            else:
                self._leave(name, f"the platforms {', '.join(map(printable, platforms))} of {build.source}.")
        self._images[name], self._builds[name] = image, build
        self._found.sources[name] = build.source

    def _name(self, build: Build) -> str:
        wanted = [build.name, *(tag.rpartition("/")[2].partition(":")[0] for tag in build.tags)]
        folder, file = posixpath.split(build.dockerfile)
        suffix = _SUFFIX.fullmatch(file)
        wanted += [
            (suffix[1] or suffix[2]) if suffix else "",
            posixpath.basename(folder),
            self._found.project.project,
        ]
        clean = [re.sub(r"[^a-z0-9]+", "-", one.lower()).strip("-")[:60] for one in wanted if UNKNOWN not in one]
        base = next(one for one in clean if one and one not in ("docker", "build"))
        if base in self._images and build.target:
            base = f"{base}-{re.sub(r'[^a-z0-9]+', '-', build.target.lower()).strip('-')}"
        name, number = base, 2
        while name in self._images:
            name, number = f"{base}-{number}", number + 1
        return name

    def _publish(self, name: str, build: Build) -> Publish | None:
        """Where the files push it, and under which tags."""
        if not build.pushed:
            return None
        repositories: dict[str, None] = {}
        tags: dict[str, None] = {}
        for text in build.tags:
            head, colon, tag = text.rpartition(":")
            reference, tag = (head, tag) if colon and "/" not in tag else (text, "")
            if tag and UNKNOWN not in tag:
                tags[tag] = None
            address = _address(reference)
            if address is None:
                self._leave(name, f"a name of {build.source} that only its run knows: the store stands in for it.")
            else:
                repositories[address] = None
        for rule in build.rules:
            template = template_of(rule)
            if template is None:
                self._leave(name, f"the tags `{printable(rule)}` of {build.source}.")
            else:
                tags[template] = None
        if not (repositories or tags):
            return None
        keys = {f"{address}:{tag}" for address in repositories or {"": None} for tag in tags}
        if keys & self._published:
            self._leave(name, f"its names in {build.source}, which another image has, too.")
            return None
        self._published |= keys
        return Publish(to=list(repositories) or None, tags=list(tags) or None)

    def _connect(self, name: str) -> None:
        """Named contexts, now that all images have names."""
        contexts: dict[str, NamedContext] = {}
        build = self._builds[name]
        for key, value in build.contexts.items():
            kind, _, rest = value.partition(":")
            made = None
            if kind in ("target", "service"):
                owner = next((one for one, other in self._builds.items() if other.name == rest), None)
                made = NamedContext(needs=owner) if owner else None
            elif value.startswith("docker-image://") and UNKNOWN not in value:
                made = NamedContext(image=value.removeprefix("docker-image://"))
            elif (path := inside(posixpath.dirname(build.source), value)) is not None:
                made = NamedContext(context=path)
            if made is None:
                self._leave(name, f"the context {printable(key)} of {build.source}.")
            else:
                contexts[key] = made
        self._images[name] = msgspec.structs.replace(self._images[name], contexts=contexts)

    def _drop_refused(self) -> None:
        """Take out what cannot be planned, and what needs that, until all the rest can."""
        while True:
            project = msgspec.structs.replace(self._found.project, images=dict(self._images))
            broken = {str(one.path[1]): one.message for one in check(project) if len(one.path) > 1}
            refusals = broken or {name: why for name in self._images if (why := self._refused(project, name))}
            for name, why in refusals.items():
                image = self._images.pop(name)
                self._leave(f"{image.dockerfile_path} ({self._builds[name].source})", why)
            if not refusals:
                return

    # --- the rest -------------------------------------------------------------------------------------------------

    def _chart(self) -> None:
        found = charts(self._files)
        if len(found) == 1:
            self._found.chart = found[0]
        for one in found if len(found) > 1 else ():
            self._leave(one, "one of several charts; a lineal.yaml deploys one.")

    def _leave(self, what: str, why: str) -> None:
        text = printable(f"{what}: {why}", 400)
        if text not in self._found.left_out:
            self._found.left_out.append(text)


def _is_of_others(build: Build) -> bool:
    """Whether it is of tests, examples or others' code: by the file that says it, else by its own place."""
    return _NOT_OWN.search(build.dockerfile if build.source == GUESSED else build.source.lstrip(".")) is not None


def _is_known(key: str, value: str) -> bool:
    return UNKNOWN not in value and _VARIABLE.fullmatch(key) is not None and key.upper() not in _PROXIES


def _address(reference: str) -> str | None:
    """A repository as `publish.to` has it; None for one that is not known."""
    if UNKNOWN in reference or not reference:
        return None
    try:
        parse_reference(reference)
    except BadConfiguration:
        return None
    return whole_name(reference)
