"""An image as flags describe it that people know from `docker buildx build`, for a commit without a `lineal.yaml`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import NoReturn

from lineal.config.model import FILE, Image, Project
from lineal.config.named_context import NamedContext
from lineal.config.publish import Publish
from lineal.config.run_options import Ulimit
from lineal.config.secrets import check_no_key
from lineal.config.validation import check
from lineal.errors import BadConfiguration, Problems
from lineal.oci.reference import is_tag, parse_reference, whole_name
from lineal.regex import regex
from lineal.text import printable, quoted
from lineal.value import dataclass

_VARIABLE = regex(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME = regex(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_REMOTE = regex(r"(?i)(https?|git|ssh)://|git@|github\.com/")
_ONE_LEVEL = r"(?:manifest|index)(?:-descriptor)?(?:\[[^\]]*\])?"
_LEVEL = regex(rf"({_ONE_LEVEL}(?:,{_ONE_LEVEL})*):")
"""What an annotation is of, as in `manifest,index:KEY=VALUE`."""
_FLAGS = {
    "context": "PATH", "dockerfile": "--file", "target": "--target", "args": "--build-arg",
    "contexts": "--build-context", "add_hosts": "--add-host", "shm_size": "--shm-size",
    "ulimits": "--ulimit", "cgroup_parent": "--cgroup-parent",
}  # fmt: skip
"""A key of an image in lineal.yaml -> the flag that says the same."""


@dataclass(frozen=True, slots=True)
class Description:
    """What flags say of the one image of a project. `references` are the names of `--tag`."""

    references: tuple[str, ...]
    push: bool
    """Whether they are published; else they name the image on this machine only."""


@dataclass(frozen=True)
class ImageFlags:
    """The flags as they were written. `words` are the arguments: the directory of the context, or names of images."""

    words: tuple[str, ...] = ()
    file: str = ""
    target: str = ""
    build_arg: tuple[str, ...] = ()
    build_context: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    annotation: tuple[str, ...] = ()
    add_host: tuple[str, ...] = ()
    shm_size: str = ""
    ulimit: tuple[str, ...] = ()
    cgroup_parent: str = ""
    no_cache: bool = False
    push: bool = False
    provenance: bool | None = None
    sbom: bool | str | None = None

    def given(self) -> list[str]:
        """The flags that were given, without the words."""
        names = [field.name for field in fields(self) if field.name != "words" and getattr(self, field.name)]
        names += ["provenance"] if self.provenance is False else []
        return [f"--{name.replace('_', '-')}" for name in names]

    def describe(self, name: str) -> bool:
        """Whether they describe an image, in place of the one of this name that `./Dockerfile` makes."""
        return bool(self.given()) or self.words not in ((), (name,))

    def refuse_beside_file(self) -> None:
        """Raises `BadConfiguration` when the commit has a `lineal.yaml`, which says the same in another way."""
        if flags := self.given():
            listed = ", ".join(flags)
            raise BadConfiguration(
                f"{listed}: the commit has a {FILE}, and these describe an image where there is none.",
                id="LN-1050",
                remedy="Write it there, as docs/build-flags.md shows, and name the image.",
            )

    def project(self, name: str, start: Path, root: Path, environ: Mapping[str, str]) -> tuple[Project, Description]:
        """The project `name` of the one image that is described. Relative paths begin at `start`, `root` is the
        repository's. Raises `BadConfiguration` with all that is wrong."""
        problems = Problems()
        reader = _Reader(self, start, root, environ)
        image = Image()
        with problems.collected():
            image = reader.image()
        with problems.collected():
            reader.references()
        problems.end()
        title = reader.title() or name
        project = Project(project=name, images={title: image})
        for broken in check(project):
            flag = _FLAGS.get(str(broken.path[2]) if len(broken.path) > 2 else "", "The image")
            problems.add(BadConfiguration(f"{flag}: {broken.message}", id="LN-1051", remedy=_reworded(broken.remedy)))
        problems.end()
        return project, Description(reader.references(), self.push)


@dataclass(frozen=True)
class _Reader:
    flags: ImageFlags
    start: Path
    root: Path
    environ: Mapping[str, str]

    def image(self) -> Image:
        flags = self.flags
        if len(flags.words) > 1:
            listed = " ".join(map(printable, flags.words))
            _refuse(f"{listed}: an image has one directory as its context.", "Give one PATH, such as `.`.")
        context = self._inside("PATH", flags.words[0] if flags.words else ".")
        if flags.sbom and not flags.push:
            _refuse("--sbom is about the image that --push publishes.", "Add --push, or leave it out.")
        if flags.annotation and not flags.push:
            _refuse("--annotation is about the image that --push publishes.", "Add --push, or use --label.")
        return Image(
            context=context,
            dockerfile=self._inside("--file", flags.file) if flags.file else None,
            target=flags.target or None,
            args=self._args(),
            contexts=dict(self._contexts()),
            labels=dict(self._pairs("--label", flags.label, bare=True)),
            add_hosts=dict(self._hosts()),
            shm_size=flags.shm_size or None,
            ulimits=dict(self._ulimits()),
            cgroup_parent=flags.cgroup_parent or None,
            # Nobody has built it under this version, and nobody will find it.
            cache_version=f"--no-cache {os.urandom(8).hex()}" if flags.no_cache else "",
            publish=Publish(annotations=self._annotations(), provenance=flags.provenance, sbom=flags.sbom)
            if flags.push
            else None,
        )

    def references(self) -> tuple[str, ...]:
        """The names as `host/repository:tag`; Docker Hub's have its host."""
        found = []
        for text in self.flags.tag:
            name = text.strip()
            if "@" in name:
                _refuse(f"--tag {quoted(name)} has a digest.", "Name a tag only: the digest follows from the image.")
            try:
                parse_reference(name)
            except BadConfiguration as error:
                _refuse(f"--tag: {error.message}", error.remedy or "")
            found.append(_whole(name))
        if self.flags.push and not found:
            _refuse("--push does not say where to.", "Name the image with --tag HOST/REPOSITORY:TAG.")
        return tuple(dict.fromkeys(found))

    def title(self) -> str:
        """The image's name: the last part of the first `--tag`, where it has one."""
        for text in self.flags.tag[:1]:
            last = text.strip().rpartition("/")[2].partition(":")[0]
            return last if _NAME.fullmatch(last) and len(last) <= 128 else ""
        return ""

    def _inside(self, flag: str, text: str) -> str:
        """A path of the machine as one of the commit."""
        if text == "-":
            _refuse(f"{flag} is the standard input, and Lineal builds what is committed.", "Name a committed path.")
        if _REMOTE.match(text):
            remedy = "Check that repository out, and name a directory of it."
            _refuse(f"{flag} {quoted(_without_login(text))} is elsewhere; Lineal builds this clone's commit.", remedy)
        if not text.strip() or not text.isprintable():
            _refuse(f"{flag} {quoted(text)} is not a path.", "Name one inside of the repository.")
        path = os.path.normpath(self.start / text)
        for root, one in ((self.root, path), (self.root.resolve(), os.path.realpath(path))):
            relative = os.path.relpath(one, root)
            if relative != ".." and not relative.startswith("../"):
                return relative.replace(os.sep, "/")
        raise BadConfiguration(
            f"{flag} {quoted(text)} is outside of the repository {printable(str(self.root))}.",
            id="LN-1051",
            remedy="Only what is committed there can be built.",
        )

    def _args(self) -> dict[str, str]:
        found = {}
        for text in self.flags.build_arg:
            name, separator, value = text.partition("=")
            if not _VARIABLE.fullmatch(name):
                # Not what was written: somebody may have put a password there.
                _refuse("A --build-arg does not begin with the name of a variable.", "Write NAME=VALUE.")
            if separator:
                found[name] = value
            elif name in self.environ:
                # As docker has it: the name alone is the value of this machine's variable, if it is set.
                check_no_key("--build-arg", name)
                found[name] = self.environ[name]
        return found

    def _contexts(self) -> Iterator[tuple[str, NamedContext]]:
        for name, value in self._pairs("--build-context", self.flags.build_context):
            if value.startswith("docker-image://"):
                yield name, NamedContext(image=value.removeprefix("docker-image://"))
            elif value.startswith(("oci-layout://", "target:")):
                kind = value.partition(":")[0]
                _refuse(f"--build-context {quoted(name)} is of the kind {kind}, which Lineal has not.",
                        "Push the image, and write docker-image://REFERENCE.")  # fmt: skip
            elif _REMOTE.match(value):
                yield name, NamedContext(git=value)
            else:
                yield name, NamedContext(context=self._inside(f"--build-context {printable(name)}", value))

    def _hosts(self) -> Iterator[tuple[str, str]]:
        for text in self.flags.add_host:
            name, separator, address = text.partition("=" if "=" in text else ":")
            if not separator:
                _refuse(f"--add-host {quoted(text)} has no address.", "Write HOST:ADDRESS.")
            yield name, address.removeprefix("[").removesuffix("]")

    def _ulimits(self) -> Iterator[tuple[str, int | Ulimit]]:
        for name, value in self._pairs("--ulimit", self.flags.ulimit):
            soft, separator, hard = value.partition(":")
            try:
                numbers = int(soft), int(hard if separator else soft)
            except ValueError:
                _refuse(f"--ulimit {quoted(f'{name}={value}')} is no number.", "Write NAME=SOFT[:HARD].")
            if min(numbers) < -1 or max(numbers) >= 1 << 63:
                _refuse(f"--ulimit {quoted(f'{name}={value}')} is out of range.", "-1 is no limit.")
            yield name, Ulimit(soft=numbers[0], hard=numbers[1]) if separator else numbers[0]

    def _annotations(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for text in self.flags.annotation:
            level = _LEVEL.match(text)
            if level and ("descriptor" in level[1] or "[" in level[1]):
                remedy = "Write it for the manifest: KEY=VALUE."
                _refuse(f"--annotation {quoted(text)} is for {level[1]}, which Lineal does not annotate.", remedy)
            ((key, value),) = self._pairs("--annotation", [text[level.end() :] if level else text])
            if found.setdefault(key, value) != value:
                _refuse(f"--annotation {quoted(key)} has two values.", "An image and its index have the same here.")
        return found

    @staticmethod
    def _pairs(flag: str, texts: Iterable[str], *, bare: bool = False) -> Sequence[tuple[str, str]]:
        """`KEY=VALUE`; with `bare` a KEY alone has an empty value, as a label of docker."""
        found = []
        for text in texts:
            key, separator, value = text.partition("=")
            if not key.strip() or not (separator or bare):
                _refuse(f"{flag} {quoted(text)} is not KEY=VALUE.", "Write it so.")
            found.append((key, value))
        return found


def _whole(name: str) -> str:
    name = whole_name(name)
    last = name.rpartition("/")[2]
    return name if is_tag(last.partition(":")[2]) else f"{name}:latest"


def _without_login(address: str) -> str:
    return re.sub(r"(?<=//)[^/]*@", "", address)


def _reworded(remedy: str) -> str:
    return remedy.replace(f"in {FILE}", "").replace("the repository's root", "the repository")


def _refuse(what: str, remedy: str) -> NoReturn:
    raise BadConfiguration(what, id="LN-1051", remedy=remedy)
