"""Names that `lineal.yaml` may print before they are known, and expressions without a value.

The file is rendered as a whole. What depends on something else leaves a mark in the rendered text, one private
character that no file means and no filter can split; once the YAML is parsed, the place of the mark says what becomes
of it: the environment may be missing under `deploy`, and under `publish` an image's name is put in for each image and
what has no value is left out."""

from __future__ import annotations

from lineal.config.document import Document, Node, Path, spell
from lineal.config.filters import slug
from lineal.config.sandbox import NO_VALUE, Deferred
from lineal.config.setting import Origin, Setting, known
from lineal.config.validation import UNKNOWN_ENV
from lineal.errors import BadConfiguration, Location

_ENV, _IMAGE, _IMAGE_SLUG, _PROJECT, _PROJECT_SLUG, _ABSENT = _ALL = [chr(0xEFFF - number) for number in range(6)]
_IN_TEXT = {_IMAGE: "{{ image }}", _IMAGE_SLUG: "{{ image | slug }}"}
"""As a project's values keep them until they are asked for an image."""
_LISTED = ("to", "tags", "annotations")
"""The keys of `publish` in which a value may depend on the image, or be left out."""


def deferred(env: str | None) -> Deferred:
    """What `lineal.yaml` may print; the environment among it when the run was given none."""
    return Deferred(
        texts={} if env else {"env": _ENV},
        prints={"image": _IMAGE, "project": _PROJECT},
        slugs={"image": _IMAGE_SLUG, "project": _PROJECT_SLUG},
        absent=_ABSENT,
    )


def settle(document: Document) -> None:
    """Put in place of each mark what it stands for where it is. Raises `BadConfiguration` where it may not be."""
    for path, node in document.nodes():
        if isinstance(path[-1], str) and any(mark in path[-1] for mark in _ALL):
            raise _refusal(document, path, path[-1])
        if not isinstance(node.value, str) or not any(mark in node.value for mark in _ALL):
            continue
        if _is_listed(path):
            node.value = _published(document, path, node)
        elif path[0] == "deploy" and not any(mark in node.value for mark in _ALL[1:]):
            node.value = node.value.replace(_ENV, UNKNOWN_ENV)
        else:
            raise _refusal(document, path, node.value)
        node.raw = node.value


def for_image(text: str, image: str) -> str:
    """A text of `publish`, as it is for the image of this name."""
    return text.replace(_IN_TEXT[_IMAGE_SLUG], slug(image) or "").replace(_IN_TEXT[_IMAGE], image)


def _is_listed(path: Path) -> bool:
    at_image = path[0] == "images" and path[2:3] == ("publish",)
    inside = path[3:] if at_image else path[1:] if path[0] == "publish" else ()
    return len(inside) > 1 and inside[0] in _LISTED


def _published(document: Document, path: Path, node: Node) -> str:
    if _ENV in node.value:
        raise _refusal(document, path, _ENV)
    if _ABSENT in node.value:
        return ""
    project = document.node(("project",))
    name = str(project.value) if project is not None else ""
    texts = {**_IN_TEXT, _PROJECT: name, _PROJECT_SLUG: slug(name) or ""}
    text = str(node.value)
    for mark, stands_for in texts.items():
        text = text.replace(mark, stands_for)
    return text


def _refusal(document: Document, path: Path, text: str) -> BadConfiguration:
    place = document.place(path)
    key = place.key or ""
    for mark in _ALL:
        key = key.replace(spell((mark,)), UNKNOWN_ENV if mark == _ENV else _IN_TEXT.get(mark, "…"))
    clean = Location(place.file, place.line, key or None)
    if _ENV in text:
        known(Setting(UNKNOWN_ENV, Origin(document.file, clean)))
    if _ABSENT in text:
        return BadConfiguration("An expression has no value.", id="LN-1008", place=clean, remedy=NO_VALUE)
    return BadConfiguration(
        "`image` and `project` are known under `publish` only.",
        id="LN-1008",
        place=clean,
        remedy="Write the name; in a key too.",
    )
