"""Words for messages: what the user may have meant, and untrusted text made fit to print."""

from __future__ import annotations

from collections.abc import Iterable


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
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in short)


def quoted(text: str) -> str:
    return f"`{printable(text)}`"
