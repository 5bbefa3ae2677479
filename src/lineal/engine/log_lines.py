"""A command's output as lines, out of the pieces in which an engine sends it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

_LINE = 1 << 16
"""Bytes after which a line without an end is shown in parts."""


class LogLines:
    """Joins the pieces of each channel on its own. A line that is cut because it is long is not cut inside a secret,
    which nobody would mask then."""

    def __init__(self, secrets: Sequence[bytes] = ()) -> None:
        self._secrets = {line.strip() for value in secrets for line in value.splitlines() if line.strip()}
        self._parts: dict[int, bytes] = {}

    def add(self, channel: int, data: bytes) -> Iterator[str]:
        """The lines that are whole now."""
        *whole, rest = (self._parts.get(channel, b"") + data).split(b"\n")
        if len(rest) > _LINE:
            cut = _cut(rest, self._secrets)
            whole, rest = [*whole, rest[:cut]], rest[cut:]
        self._parts[channel] = rest
        yield from map(_decoded, whole)

    def rest(self) -> Iterator[str]:
        """What has no end of line."""
        yield from (_decoded(part) for part in self._parts.values() if part)


def _cut(text: bytes, secrets: Collection[bytes]) -> int:
    """Where to cut the text: what may begin a secret at its end stays for the next part."""
    cut = len(text)
    for secret in sorted(secrets, key=len):
        for size in range(min(len(secret), _LINE) - 1, 0, -1):
            if text.endswith(secret[:size]):
                cut = min(cut, len(text) - size)
                break
    return cut or len(text)


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")
