"""A document as lines for people: as YAML, and a text of several lines as its lines, whatever is in them.

YAML itself writes such a text on one line as soon as one of its lines has a tab, or a blank at its end."""

from __future__ import annotations

import re
from typing import Any

_MARK = "\ue000{}\ue001"
_MARKED = re.compile(r"^(?P<before>(?P<blanks> *)(?:- )*.*)\ue000(?P<number>\d+)\ue001$")


def lines_of(document: Any) -> list[str]:
    import yaml

    texts: list[str] = []
    marked = _marked(document, texts)
    dumped: str = yaml.safe_dump(marked, sort_keys=False, allow_unicode=True, width=10_000)
    lines: list[str] = []
    for line in dumped.splitlines():
        found = _MARKED.match(line)
        if found is None or int(found["number"]) >= len(texts):
            lines.append(line)
            continue
        *inside, last = texts[int(found["number"])].split("\n")
        lines.append(f"{found['before']}|{'-' if last else ''}")
        indent = f"{found['blanks']}  "
        lines += [f"{indent}{_shown(text)}" if text else "" for text in [*inside, *([last] if last else [])]]
    return lines


def _marked(thing: Any, texts: list[str]) -> Any:
    """The document with a mark for each text of several lines, which goes to `texts`."""
    if isinstance(thing, dict):
        return {key: _marked(value, texts) for key, value in thing.items()}
    if isinstance(thing, list):
        return [_marked(part, texts) for part in thing]
    if isinstance(thing, str) and "\n" in thing:
        texts.append(thing)
        return _MARK.format(len(texts) - 1)
    return thing


def _shown(line: str) -> str:
    """A line in which what cannot be seen can be told: a carriage return, other control characters."""
    return "".join(char if char.isprintable() or char == "\t" else repr(char)[1:-1] for char in line)
