"""The tags of a finished image, as `publish.tags` of lineal.yaml gives them for a commit, and the kind of each."""

from __future__ import annotations

import re
from typing import Literal

from lineal.config.deferred import for_image
from lineal.config.filters import semver, slug
from lineal.config.template import GitFacts
from lineal.errors import BadConfiguration, Location
from lineal.oci.reference import is_tag
from lineal.regex import regex
from lineal.store.tags import begins_as_claim, parse_anchor, parse_stage_tag
from lineal.text import quoted
from lineal.value import dataclass

Kind = Literal["version", "moving"]
_OWN = "image-"
_DIGITS = 16
_SHORT = 7
"""Digits of a commit's id that name it."""
_VERSION = regex(r"v?([0-9]+\.[0-9]+\.[0-9]+)(?![0-9.]).*", re.DOTALL)
_MAJOR = regex(r"v?[0-9]+|[^0-9]*")
"""Tags in git that people move: `v1`, `nightly`."""
_OF_REGISTRIES = regex(r"sha256-[0-9a-f]{64}.*", re.DOTALL)
"""Tags that hold what belongs to other images: signatures and statements."""


@dataclass(frozen=True, slots=True)
class Tag:
    """`version`: it is written once, and means the same image for ever; `moving`: it moves along history."""

    name: str
    kind: Kind


def tag_of(template: str, image: str, git: GitFacts, place: Location) -> Tag | None:
    """The tag that a text of `publish.tags` is for this image; None for one that is left out.

    Raises `BadConfiguration` with the place for a text that is no tag."""
    name = for_image(template, image).strip()
    if not name:
        return None
    if not is_tag(name):
        raise BadConfiguration(
            f"{quoted(name)} is not a tag that an image can have.",
            id="LN-1031",
            place=place,
            remedy="Use at most 128 letters, digits, `_`, `.` and `-`, with none of the last two first; "
            "`| slug` makes such a text of a name.",
        )
    if parse_anchor(name) or parse_stage_tag(name) or begins_as_claim(name) or _OF_REGISTRIES.fullmatch(name):
        raise BadConfiguration(
            f"{quoted(name)} is how the tags of stages, signatures or statements look.",
            id="LN-1031",
            place=place,
            remedy="Write something before it, such as `sha-`.",
        )
    return Tag(name, kind_of(name, git))


def own_tag(digest: str) -> Tag:
    """The tag of an image that has no other: short enough for a label of Kubernetes, and a text, not a number."""
    return Tag(_OWN + digest.removeprefix("sha256:")[:_DIGITS], "version")


def kind_of(name: str, git: GitFacts) -> Kind:
    """What names this commit, a whole version or this commit's tag in git is a version; all else moves, what names
    the branch among it (but the version 1.4.2 is none of the branch 1.4)."""
    if git.commit[:_SHORT] in name.lower():
        return "version"
    branch, version = git.branch or "", _VERSION.fullmatch(name)
    rest = name.replace(version[1], "", 1) if version and version[1] not in branch else name
    if any(text and _holds(rest, text) for text in (branch, slug(branch))):
        return "moving"
    if version:
        return "version"
    if not git.tag or _MAJOR.fullmatch(git.tag):
        return "moving"
    texts = (git.tag.removeprefix("v"), git.tag, slug(git.tag), semver(git.tag))
    return "version" if any(text and _holds(name, text) for text in texts) else "moving"


def _holds(name: str, text: str) -> bool:
    """Whether a text is in a tag's name, word for word: with other separators too."""
    return f"-{_words(text)}-" in f"-{_words(name)}-"


def _words(text: str) -> str:
    return "-".join(re.findall(r"[0-9a-z]+", text.lower()))
