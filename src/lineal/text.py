"""Text for people: untrusted text made harmless, suggestions for unknown words, and the formats that lines share."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from lineal.regex import regex


def lines(text: str) -> list[str]:
    """The lines of a text that people wrote, each ended by LF or CRLF. (`splitlines` also sees ends at a form feed,
    at U+2028 and so on, which may stand in a password or in JSON.)"""
    return text.replace("\r\n", "\n").split("\n")


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word nearest to `word`, None when nothing is near."""
    import difflib

    lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], *, owner: str = "The keys here") -> str:
    """A remedy: the nearest known word, else all of them (at most twenty)."""
    names = list(known)
    near = closest(word, names)
    if near is not None:
        return f"Did you mean {quoted(near)}?"
    if not names:
        return f"{owner}: none."
    listed = ", ".join(printable(name) for name in names[:20])
    return f"{owner}: {listed}{', …' if len(names) > 20 else ''}."


def printable(text: str, limit: int = 120) -> str:
    """One line without control characters, so that no file can steer a terminal or forge a log line."""
    short = text if len(text) <= limit else text[:limit] + "…"
    if short.isprintable():
        return short
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in short)


def quoted(text: str) -> str:
    return f"`{printable(text)}`"


def one_line(text: str, limit: int = 200) -> str:
    """One short printable line of a text that anybody may have written; empty when nothing is left."""
    return "".join(char for char in text[:limit] if char.isprintable()).strip()


_SGR = regex(r"(\x1b\[[0-9;:]*m)")
_RESET = "\x1b[0m"
# Control sequences of terminals: CSI, the string kinds (OSC, DCS, SOS, PM, APC), everything else that ESC begins.
_ESCAPE = regex(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x80-\x9f]"
)
_CONTROL = regex(r"[\x00-\x08\x0a-\x1f\x7f\u2028\u2029]")
_LONGEST = 16_000
TAIL = 40
"""Lines of a failed stage's output that are repeated where they cannot be overlooked."""
_CODES = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1", "failed": "1;31"}
OUTCOME_STYLE = {
    "built": "green",
    "assembled": "green",
    "adopted": "cyan",
    "missing": "yellow",
    "failed": "failed",
    "cached": "dim",
}


def strip_controls(line: str, *, colour: bool = False) -> str:
    """One line that cannot act on a terminal or a log: no control characters, no escape sequence but colour (kept
    when asked for, and ended). Of text that a carriage return overwrites, what would be seen last is kept."""
    for part in reversed(line.split("\r")):
        text = _harmless(part, colour)
        if _SGR.sub("", text).strip():
            return text
    return ""


def _harmless(part: str, colour: bool) -> str:
    cut = len(part) - _LONGEST
    pieces = _SGR.split(part[:_LONGEST])
    kept = [piece if index % 2 else bare(piece) for index, piece in enumerate(pieces) if colour or index % 2 == 0]
    text = "".join(kept).expandtabs().rstrip()
    if colour and len(pieces) > 1 and not text.endswith(_RESET):
        text += _RESET
    return f"{text} ... ({cut} more characters)" if cut > 0 else text


def bare(line: str) -> str:
    """The line without control characters and escape sequences, colour included: what a reader sees of it."""
    return _strip(line) if not line.isprintable() else line


def _strip(piece: str) -> str:
    return _CONTROL.sub("", _ESCAPE.sub("", piece))


def defuse_commands(line: str) -> str:
    """A line of ours, holding text of others, that is no command to GitHub's runner: that takes `::command::` at the
    start of a line and `##[command]` anywhere in it."""
    line = line.replace("##[", "## [")
    return f"| {line}" if line.lstrip().startswith("::") else line


def paint(text: str, style: str, colour: bool) -> str:
    return f"\x1b[{_CODES[style]}m{text}{_RESET}" if colour and text and style in _CODES else text


def cells(text: str) -> int:
    """How many columns of a terminal the text takes (no escape sequences in it)."""
    if text.isascii():
        return len(text)
    return sum(_width(char) for char in text)


def _width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) == "Cf":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fit(text: str, width: int, ellipsis: str = "...") -> str:
    """The text cut to `width` columns, with an ellipsis where something is missing."""
    if cells(text) <= width:
        return text
    room = max(width - cells(ellipsis), 0)
    taken = 0
    for index, char in enumerate(text):
        taken += _width(char)
        if taken > room:
            return text[:index].rstrip() + ellipsis[:width]
    return text


def pad(text: str, width: int) -> str:
    return text + " " * (width - cells(text))


def duration(seconds: float) -> str:
    """`0.3s`, `48.1s`, `3m12s`, `1h02m`; nothing below 50 ms."""
    if seconds < 0.05:
        return ""
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def size(count: int) -> str:
    """Bytes in decimal units: `512 B`, `3.4 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def result_line(stage: str, outcome: str, seconds: float, detail: str, *, colour: bool, width: int = 0) -> str:
    """The outcome of a stage, on one line; cut to `width` columns unless that is 0."""
    start = f"{duration(seconds):>7}  "
    stage, detail = strip_controls(stage), strip_controls(detail)
    if width:
        room = max(width - 10 - len(start), 20)
        stage = fit(stage, room)
        detail = fit(detail, room - cells(stage) - 2) if room - cells(stage) > 10 else ""
    tail = "  " + paint(detail, "dim", colour) if detail else ""
    return (
        paint(f"{outcome:<10}", OUTCOME_STYLE.get(outcome, ""), colour) + paint(start, "dim", colour) + stage + tail
    )
