"""The values of a release: the files in order, `*.j2` ones rendered, and `global.lineal` as the last one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lineal.build.result import NOT_BUILT
from lineal.config.document import Lines, same
from lineal.errors import BadConfiguration, Location
from lineal.text import printable
from lineal.value import dataclass

if TYPE_CHECKING:
    from lineal.build.result import BuildResult
    from lineal.deploy.release import ValuesFile

GLOBAL = "global.lineal"
_TEMPLATE = ".j2"
_SHORT = 12


@dataclass(frozen=True, slots=True)
class ImageValue:
    """A published image: `ref` is `repository:tag@digest`, `image` is `repository@digest`."""

    ref: str
    image: str
    repository: str
    tag: str
    digest: str

    @classmethod
    def of(cls, repository: str, tag: str, digest: str) -> ImageValue:
        return cls(f"{repository}:{tag}@{digest}", f"{repository}@{digest}", repository, tag, digest)

    @property
    def short(self) -> str:
        """A text of 12 characters that is another one for another image: a label takes no more than 63."""
        return self.digest.removeprefix("sha256:")[:_SHORT]

    @classmethod
    def not_built(cls, repository: str, checksum: str) -> ImageValue:
        """An image that is not built yet: `NOT_BUILT` stands for its digest."""
        return cls.of(repository, f"{checksum}-{0:013}", NOT_BUILT)


def image_values(result: BuildResult) -> dict[str, ImageValue]:
    """The published images of a build, by name."""
    return {
        name: ImageValue.of(image.repository, image.tag, image.digest) for name, image in result.published().items()
    }


@dataclass(frozen=True, slots=True)
class ValuesText:
    """The text of a values file. `name` is the user's path; one that ends in `.j2` is a template."""

    name: str
    text: str


def global_values(
    project: str, env: str | None, commit: str, branch: str | None, images: Mapping[str, ImageValue],
    wanted: bool | Literal["images"] = True,
) -> dict[str, object]:  # fmt: skip
    """The values that every chart and subchart finds under `.Values.global.lineal`. An unknown one is an empty
    text. `wanted` is `deploy.global`: all of it, the images alone, or nothing."""
    if not wanted:
        return {}
    about = {"project": project, "env": env or "", "commit": commit, "branch": branch or ""}
    known = {"images": {name: asdict(images[name]) for name in sorted(images)}}
    return {"global": {"lineal": known if wanted == "images" else {**about, **known}}}


def put_values(path: Path, images: Mapping[str, ImageValue]) -> ValuesFile:
    """Write a values file with `global.lineal.images` alone."""
    told = global_values("", None, "", None, images, "images")
    return _put(path, GLOBAL, json.dumps(told, ensure_ascii=False))


def template_names(common: Mapping[str, object], project: str, images: Mapping[str, ImageValue]) -> dict[str, object]:
    """The names that a values template may use: `common` (see `config.template.names`), `project` and `images`."""
    return {**common, "project": project, "images": dict(images)}


def write(
    directory: Path, files: Iterable[ValuesText], names: Mapping[str, object], last: Mapping[str, object]
) -> tuple[ValuesFile, ...]:
    """Write the files for helm, in order, with `last`, unless it is empty, after all of them. `directory` is private
    to the run.

    Raises `BadConfiguration` for a template or a file that cannot be read."""
    directory.mkdir(mode=0o700, exist_ok=True)
    made = []
    for number, file in enumerate(files):
        text, lines = _rendered(file, names) if file.name.endswith(_TEMPLATE) else (file.text, same)
        _check(file.name, text, lines)
        made.append(_put(directory / f"{number}.yaml", file.name, text))
    if not last:
        return tuple(made)
    # JSON is YAML, but not with the surrogate pairs of its \u escapes.
    return (*made, _put(directory / "global.yaml", GLOBAL, json.dumps(last, ensure_ascii=False, indent=1)))


def _rendered(file: ValuesText, names: Mapping[str, object]) -> tuple[str, Lines]:
    from lineal.config.template import render, source_lines

    text = render(file.text, file=file.name, names=names)
    return text, source_lines(file.text, text, file=file.name, names=names)


def _put(path: Path, name: str, text: str) -> ValuesFile:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    from lineal.deploy.release import ValuesFile

    return ValuesFile(path, name)


def _check(name: str, text: str, lines: Lines) -> None:
    """Raises `BadConfiguration` for YAML that cannot be read, or is no mapping: helm does not know the template's
    line. Whether the values make sense is left to helm."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    starts = True
    try:
        for event in yaml.parse(text, Loader=loader):
            if starts and isinstance(event, yaml.NodeEvent) and not _is_mapping(event):
                what = "A values file holds keys with values at its top level, not a list or a text."
                at = Location(name, lines(event.start_mark.line + 1) if event.start_mark else None)
                raise BadConfiguration(what, id="LN-6004", place=at, remedy="Write `key: value` lines.")
            starts = isinstance(event, yaml.DocumentStartEvent)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = Location(name, lines(mark.line + 1) if mark else None)
        what = f"The values are not valid YAML: {printable(error.problem or 'it cannot be read', 200)}."
        raise BadConfiguration(
            what, id="LN-6004", place=place, remedy="Correct indentation and quotes there."
        ) from None
    except (yaml.YAMLError, UnicodeError):
        what = "The values have a character that YAML does not allow."
        raise BadConfiguration(what, id="LN-6004", place=Location(name), remedy="Remove it.") from None


def _is_mapping(event: Any) -> bool:
    """Whether a document is a mapping, or empty."""
    import yaml

    return isinstance(event, yaml.MappingStartEvent) or (isinstance(event, yaml.ScalarEvent) and event.value == "")
