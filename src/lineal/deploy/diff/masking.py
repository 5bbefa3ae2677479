"""Masks secrets in their other encodings too: escaped, percent-encoded, as HTML, in base64."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, unquote_plus

Mask = Callable[[str], str]
_MASKED = "***"
# In a path, or between dashes, a part may be base64 although the whole is none.
_BASE64 = (
    # In lines. Tried once for each line: from each of its characters, one long line would take minutes.
    re.compile(r"(?<![A-Za-z0-9+/])(?:[A-Za-z0-9+/]{20,}\r?\n[ \t]*)+[A-Za-z0-9+/]+={0,2}"),
    re.compile(r"[A-Za-z0-9+/_-]{6,}={0,2}"),
    re.compile(r"[A-Za-z0-9+]{6,}={0,2}"),
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def mask_all(thing: Any, mask: Mask) -> Any:
    """A document with all its texts masked, keys as well. Do it before YAML is written, which quotes, escapes and
    folds texts."""
    if isinstance(thing, dict):
        made: dict[Any, Any] = {}
        for key, value in thing.items():
            name = mask_all(key, mask) if isinstance(key, str) else key
            while name in made:  # two keys that look alike now
                name += "*"
            made[name] = mask_all(value, mask)
        return made
    if isinstance(thing, list):
        return [mask_all(part, mask) for part in thing]
    if isinstance(thing, bytes):
        return _MASKED if _has_secret(thing.decode("utf-8", "replace"), mask) else thing
    return _text(thing, mask) if isinstance(thing, str) else thing


def _text(text: str, mask: Mask) -> str:
    text = mask(text)
    for pattern in _BASE64:
        text = pattern.sub(lambda found: _MASKED if _has_secret(_decoded(found[0]), mask) else found[0], text)
    lines = text.split("\n")
    return "\n".join(_MASKED if any(_has_secret(read, mask) for read in _decodings(line)) else line for line in lines)


def _has_secret(text: str, mask: Mask) -> bool:
    return mask(text) != text


def _decoded(token: str) -> str:
    plain = "".join(token.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4)).decode("utf-8", "replace")
    except ValueError:
        return ""


def _decodings(line: str) -> Iterator[str]:
    """The line as a reader of JSON, of quoted YAML, of URLs and of HTML decodes it."""
    if "\\" in line:
        yield _ESCAPE.sub(_character, line)
    if "''" in line:
        yield line.replace("''", "'")
    if "%" in line:
        yield unquote(line)
        yield unquote_plus(line)
    if "&" in line:
        yield html.unescape(line)


def _character(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else _CONTROL.get(found[2], found[2])
