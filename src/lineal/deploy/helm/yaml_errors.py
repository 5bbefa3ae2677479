"""What helm says of a YAML file that it cannot read: the reason, the line, the remedy.

Helm turns YAML into JSON, which has texts as keys and nothing else: what YAML takes, helm may refuse."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_LINE = re.compile(r"\byaml: line (\d+)")
_STEPS = re.compile(
    r"^(?:(?:cannot unmarshal yaml document|error converting YAML to JSON|error unmarshaling JSON|"
    r"while decoding JSON|yaml|line \d+): )+"
)


def reason(said: str) -> str:
    """What is wrong, without the steps that helm took to read the file."""
    return _STEPS.sub("", said)


def remedy(said: str) -> str:
    if "invalid map key" in said:
        return "Put quotes around a text that begins with a brace, such as `{{ … }}`."
    return "Put the key in quotes." if "unsupported map key" in said else "Correct the file."


def line(said: str, file: Path | None) -> int | None:
    """The line that helm names; else the one in `file` where Python's YAML fails too, or that of the first key which
    JSON has not."""
    named = _LINE.search(said)
    if named is not None or file is None:
        return int(named.group(1)) if named else None
    import yaml

    try:
        return _odd_key(yaml.compose(file.read_bytes(), Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return mark.line + 1 if mark else None
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return None


def _odd_key(root: Any) -> int | None:
    """The line of the first key that is a mapping, a list or null. An alias is looked at once: it may stand for a
    document that is exponentially large."""
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if node is None or isinstance(node.value, str) or id(node) in seen:
            continue
        seen.add(id(node))
        pairs = [child for child in node.value if isinstance(child, tuple)]
        for key, _value in pairs:
            if not isinstance(key.value, str) or key.tag.endswith(":null"):
                return int(key.start_mark.line) + 1
        waiting += reversed([value for _key, value in pairs] or node.value)
    return None
