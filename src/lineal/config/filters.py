"""Filters of templates that make tags: `semver` takes a version apart, `slug` makes a name that a tag can have.

Both give None for no value, so that a tag of a commit without a branch, tag or version is left out."""

from __future__ import annotations

import hashlib
import re

from lineal.regex import regex

_SEMVER = regex(
    r"v?(?P<major>0|[1-9][0-9]*)\.(?P<minor>0|[1-9][0-9]*)\.(?P<patch>0|[1-9][0-9]*)"
    r"(?:-(?P<prerelease>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+(?P<build>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?",
    re.ASCII,
)
_FIELD = regex(r"\{([^{}]*)\}")
_FIELDS = ("major", "minor", "patch", "prerelease")
LONGEST = 63
"""Characters of a slug: a label of Kubernetes has no more."""
_HASH = 8


def semver(value: object, pattern: str = "{major}.{minor}.{patch}") -> str | None:
    """A semantic version (a `v` before it does not count) in another form; None for a text that is none.

    A pre-release is part of `{patch}`, unless the pattern names `{prerelease}`, and gives None where the pattern has
    neither: `1.2` never means a release candidate. Raises ValueError for a pattern with another field."""
    unknown = next((name for name in _FIELD.findall(pattern) if name not in _FIELDS), None)
    if unknown is not None:
        raise ValueError(f"semver knows {{major}}, {{minor}}, {{patch}} and {{prerelease}}, and no {{{unknown}}}")
    found = _SEMVER.fullmatch(str(value)) if value is not None else None
    if found is None:
        return None
    fields = {name: found[name] or "" for name in _FIELDS}
    if fields["prerelease"] and "{prerelease}" not in pattern:
        if "{patch}" not in pattern:
            return None
        fields["patch"] += f"-{fields['prerelease']}"
    elif "{prerelease}" in pattern and not fields["prerelease"]:
        return None
    if found["build"] and "{patch}" in pattern:
        # A tag has no `+`; this is how Helm writes one.
        last = "prerelease" if "{prerelease}" in pattern else "patch"
        fields[last] += f"_{found['build']}"
    return _FIELD.sub(lambda field: fields[field[1]], pattern)


def slug(value: object) -> str | None:
    """A branch or another name as part of a tag: lower case, at most 63 letters, digits, `.`, `_` and `-`. A name
    that would lose more than separators gets a hash, so that two names stay two."""
    if value is None:
        return None
    text = str(value)
    clean = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")
    if text.isascii() and clean and len(clean) <= LONGEST:
        return clean
    if not text:
        return None
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]
    kept = clean[: LONGEST - _HASH - 1].rstrip("-._")
    return f"{kept}-{digest}" if kept else f"x-{digest}"
