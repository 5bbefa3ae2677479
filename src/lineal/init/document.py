"""A draft as the text of a `lineal.yaml`, with a comment at each key: where it came from, and what was a guess."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lineal.config.model import Image
from lineal.init.build import GUESSED
from lineal.init.draft import Draft

_PLAIN = re.compile(r"[A-Za-z][\w./-]*", re.ASCII)
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_WIDTH = 44


def text_of(draft: Draft) -> str:
    """The whole file."""
    lines = [
        "# Written by `lineal init`. Each comment says where the value came from; correct what was a guess.",
        _line(0, f"project: {_scalar(draft.project.project)}", "the repository's name"),
        "images:",
    ]
    for name, image in draft.project.images.items():
        lines += _image(name, image, draft)
    if draft.chart:
        lines += [
            "deploy:",
            _line(1, f"chart: {_scalar(draft.chart)}", f"{draft.chart}/Chart.yaml"),
            "  # The chart sees the images as global.lineal.images.NAME.ref; values/*.j2 give them other keys.",
        ]
    if draft.left_out:
        lines += ["", "# Left out:", *(f"# - {_comment(text)}" for text in draft.left_out)]
    return "\n".join(lines) + "\n"


def _image(name: str, image: Image, draft: Draft) -> Iterator[str]:
    source = draft.sources[name]
    guessed = source == GUESSED
    said = "found by its name" if guessed else source
    yield _line(1, f"{_scalar(name)}:", "guess: named after its place" if guessed else said)
    yield _line(
        2, f"context: {_scalar(image.context)}", "guess: the files that it copies are there" if guessed else said
    )
    yield _line(2, f"dockerfile: {_scalar(image.dockerfile_path)}", said)
    if image.target:
        yield _line(2, f"target: {_scalar(image.target)}", said)
    if image.platforms != Image().platforms:
        yield _line(2, f"platforms: [{', '.join(map(_scalar, image.platforms))}]", said)
    yield from _table("args", image.args, said)
    yield from _table("labels", image.labels, said)
    if image.contexts:
        yield "    contexts:"
        for key, one in image.contexts.items():
            (kind,) = one.given()
            yield _line(3, f"{_scalar(key)}: {{{kind}: {_scalar(getattr(one, kind))}}}", said)
    publish: Any = image.publish
    if publish is not None:
        yield "    publish:"
        for key, values in (("to", publish.to), ("tags", publish.tags)):
            if values:
                yield f"      {key}:"
                yield from (_line(4, f"- {_scalar(one, template=key == 'tags')}", said) for one in values)


def _table(key: str, values: Mapping[str, str], said: str) -> Iterator[str]:
    if values:
        yield f"    {key}:"
        yield from (_line(3, f"{_scalar(name)}: {_scalar(value)}", said) for name, value in values.items())


def _line(depth: int, text: str, comment: str) -> str:
    return f"{'  ' * depth + text:<{_WIDTH}}  # {_comment(comment)}"


def _comment(text: str) -> str:
    """A comment is a part of the template, too."""
    return re.sub(r"\{(?=[{%#])", "{ ", text)


def _scalar(text: str, *, template: bool = False) -> str:
    """One line that the file's template and YAML read as this text."""
    import yaml

    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    dumped: str = yaml.dump(text, default_style='"', width=10**9, allow_unicode=True).rstrip("\n")
    return f"{{% raw %}}{dumped}{{% endraw %}}" if not template and re.search(r"\{[{%#]", text) else dumped
