"""What `caches:` says, for the whole project or for one image: cache mounts that outlive the runner."""

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from lineal.config.document import Path
from lineal.config.rule_violation import RuleViolation
from lineal.config.run_options import bytes_of
from lineal.regex import regex
from lineal.text import quoted

MAX_SIZE, MAX_TIME = "2GB", "2m"
_DURATION = regex(r"(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)


class Caches(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cache mounts of `RUN --mount=type=cache` that are kept in the store, and found along history like stages."""

    persist: Annotated[
        bool | None, Meta(description="Whether they are kept in the store (default: false, they stay on the engine).")
    ] = None
    max_size: Annotated[
        str | None,
        Meta(
            description="How much of one cache is kept, such as `500MB` or `2GB`, before it is compressed; the "
            f"oldest files leave first (default: `{MAX_SIZE}`)."
        ),
    ] = None
    max_time: Annotated[
        str | None,
        Meta(
            description="How long restoring a cache may take, and how long keeping it, such as `90s` or `2m`; then "
            f"the run goes on without (default: `{MAX_TIME}`)."
        ),
    ] = None
    ids: Annotated[
        list[str] | None,
        Meta(description="The mounts that are kept, by their `id`, or their target without one (default: all)."),
    ] = None


def caches_of(project: Caches | None, image: Caches | None) -> Caches:
    """What holds for one image: its own keys, then the project's, then the defaults."""
    found = Caches(persist=False, max_size=MAX_SIZE, max_time=MAX_TIME)
    for one in (project, image):
        given = {} if one is None else {key: value for key, value in _items(one) if value is not None}
        found = msgspec.structs.replace(found, **given)
    return found


def check_caches(caches: Caches | None, path: Path) -> Iterator[RuleViolation]:
    """The rules that are broken."""
    if caches is None:
        return
    try:
        size = bytes_of(caches.max_size or MAX_SIZE)
    except ValueError:
        size = 0
    if not size:
        yield RuleViolation(
            (*path, "max_size"), f"{quoted(caches.max_size or '')} is no size.", "Write it as `500MB` or `2GB`."
        )
    if caches.max_time is not None and not seconds_of(caches.max_time):
        yield RuleViolation(
            (*path, "max_time"), f"{quoted(caches.max_time)} is no time.", "Write it as `90s` or `2m`."
        )
    for number, id in enumerate(caches.ids or ()):
        if not id:
            yield RuleViolation(
                (*path, "ids", number),
                "The id of a cache mount is empty.",
                "Write its id or its target, or remove it.",
            )


def seconds_of(duration: str) -> int:
    """0 for what is no duration."""
    match = _DURATION.fullmatch(duration)
    return int(match[1] or 0) * 60 + int(match[2] or 0) if match else 0


def _items(caches: Caches) -> Iterator[tuple[str, object]]:
    return ((key, getattr(caches, key)) for key in caches.__struct_fields__)
