"""Text of others inside Markdown, HTML and Mermaid: it is shown, and can do nothing there.

Dockerfiles, branch names and what commands print may be written by anybody who opens a pull request; the page they
would be able to change is read by those who decide about it."""

from __future__ import annotations

import re

from lineal.text import strip_controls


def _references(harmless: str) -> dict[int, str]:
    """For `str.translate`: each sign of ASCII that is not harmless, as Markdown and HTML write it."""
    return {
        number: f"&#{number};" for number in range(128) if not chr(number).isalnum() and chr(number) not in harmless
    }


_CODE = _references(" ,;/+='.-")
_SENTENCE = _references(" ,;/'")
_MERMAID = re.compile(r"[^A-Za-z0-9 ,/=]")
_LINE = 400
_LINKED = re.compile(r"(\S*[@#]\S*|\S*://\S*|\S*www\.\S*)", re.IGNORECASE)
_WWW = re.compile(r"(?<=www)\.", re.IGNORECASE)
_FENCE = re.compile(r"`+")


def code(text: str, limit: int = 160) -> str:
    """As code, on one line. What Markdown, HTML or GitHub's links and mentions could read is written as a reference
    (`&#42;`), which is text to all of them; inside `<code>` GitHub looks for no mentions."""
    shown = _line(text, limit).translate(_CODE)
    return f"<code>{_WWW.sub('&#46;', shown)}</code>" if shown.strip() else ""


def plain(text: str, limit: int = 600) -> str:
    """A sentence of ours that may quote others. What GitHub would make a link or a mention of, even when it is
    written with references, is set as code."""
    parts = _LINKED.split(_line(text, limit))
    return "".join(code(part, limit) if index % 2 else part.translate(_SENTENCE) for index, part in enumerate(parts))


def label(text: str, limit: int = 44) -> str:
    """Inside the double quotes of a Mermaid label."""
    return _MERMAID.sub(lambda sign: f"#{ord(sign[0])};", _line(text, limit))


def fenced(lines: list[str]) -> str:
    """A fenced block whose fence is longer than any within, so nothing in it can end it."""
    shown = [_printable(strip_controls(line))[:_LINE] for line in lines]
    longest = max((len(run) for line in shown for run in _FENCE.findall(line)), default=0)
    fence = "`" * max(longest + 1, 3)
    return "\n".join([f"{fence}text", *shown, fence])


def _line(text: str, limit: int) -> str:
    text = _printable(strip_controls(" ".join(text.split())))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _printable(text: str) -> str:
    """Characters that nobody sees or that turn text around are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
