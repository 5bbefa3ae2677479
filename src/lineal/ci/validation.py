"""Values that the outside world gives (environment, event payloads), checked before anything uses them."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from lineal.ci.context import Context
from lineal.errors import BadConfiguration
from lineal.regex import regex

_ID = regex(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_REPOSITORY = regex(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+\Z")
_ZEROS = regex(r"0+\Z")
_REMEDY = "Something on the way to this job changed it; start the job again or unset it."


class ContextBuilder:
    """A context in the making: each value with the source that said so, the first word counts."""

    def __init__(self, provider: str, commit: str) -> None:
        self._values: dict[str, Any] = {"provider": provider, "event": "none", "in_ci": provider != "local"}
        self._sources: dict[str, str] = {}
        self._notes: list[str] = []
        self.put("commit", commit_id(commit, "git HEAD"), "git HEAD")

    def put(self, name: str, value: object, source: str) -> None:
        """Set a field of `Context`, unless there is no value."""
        if value is not None and name not in self._sources:
            self._values[name] = value
            self._sources[name] = source

    def note(self, text: str) -> None:
        self._notes.append(text)

    def context(self) -> Context:
        return Context(**self._values, sources=self._sources, notes=tuple(self._notes))


def text(environ: Mapping[str, str], name: str) -> str | None:
    """A variable's value; CI systems give an empty string for what is not set."""
    return environ.get(name, "").strip() or None


def commit_id(value: object, source: str) -> str:
    """A full object id in lower case hex (SHA-1 or SHA-256). Raises `BadConfiguration`."""
    if isinstance(value, str) and _ID.match(value.lower()):
        return value.lower()
    raise BadConfiguration(
        f"{source} should be a full commit id but is {_shown(value)}.", id="LN-3012", remedy=_REMEDY
    )


def optional_id(value: object, source: str) -> str | None:
    """As `commit_id`; None for no value and for the all-zero id that means "no commit"."""
    if value is None or value == "" or (isinstance(value, str) and _ZEROS.match(value)):
        return None
    return commit_id(value, source)


def ref_name(value: object, source: str) -> str | None:
    """A branch or tag name: not empty, no control character or line break. git takes names of any bytes: those that
    are no UTF-8 become U+FFFD here, because records and reports are text. Raises `BadConfiguration`."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        with suppress(UnicodeEncodeError):
            value = os.fsencode(value).decode(errors="replace")
    if isinstance(value, str) and len(value) <= 1024 and not any(_breaks(char) for char in value):
        return value
    if isinstance(value, str) and any(unicodedata.category(char) == "Cs" for char in value):
        raise BadConfiguration(
            f"{source} has the name {_shown(value)}, whose bytes are not UTF-8.",
            id="LN-3016",
            remedy="Give the branch or tag a name in UTF-8, in git and on the server.",
        )
    raise BadConfiguration(
        f"{source} should be a branch or tag name but is {_shown(value)}.", id="LN-3012", remedy=_REMEDY
    )


def repository(value: str | None, source: str) -> str | None:
    """`owner/name`, on GitLab `group/…/name`. Raises `BadConfiguration`."""
    if value is None or (_REPOSITORY.match(value) and len(value) <= 512):
        return value
    raise BadConfiguration(f"{source} should be owner/name but is {_shown(value)}.", id="LN-3012", remedy=_REMEDY)


def number(value: object, source: str) -> int | None:
    """A pull or merge request's number. Raises `BadConfiguration`."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**12:
        return value
    raise BadConfiguration(
        f"{source} should be a positive number but is {_shown(value)}.", id="LN-3012", remedy=_REMEDY
    )


def version_order(tag: str) -> list[tuple[int, int, str]]:
    """A sort key that puts v1.10 after v1.9, v1.10.1 after v1.10, and a release after its own pre-releases."""
    parts = re.findall(r"[0-9]+|[^0-9]+", tag)
    key = [(3, int(part), "") if part.isdecimal() else (2 if part[0] == "." else 0, 0, part) for part in parts]
    return [*key, (1, 0, "")]


def _breaks(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")


def _shown(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
