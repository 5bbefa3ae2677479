"""Names in a layer that are no files: they remove what the layers below have."""

from __future__ import annotations

from lineal.tar.header import Malformed
from lineal.text import printable

WHITEOUT = ".wh."
"""The beginning of a name that removes the rest of it from the layers below ..."""
OPAQUE = ".wh..wh..opq"
"""... and the name that removes all that they have in its directory."""
_META = ".wh..wh."
"""The beginning of names that aufs once kept for itself."""


def removed(path: str) -> str:
    """The path that a whiteout removes, which is not `OPAQUE`; nothing for one of aufs. Raises `Malformed` for a name
    that nothing can have: an engine would remove the whiteout's directory, or the one above."""
    directory, _, name = path.rpartition("/")
    gone = name.removeprefix(WHITEOUT)
    if gone in ("", ".", ".."):
        raise Malformed(f"/{printable(path)} would remove a file of the name {gone!r}, which there cannot be")
    return "" if name.startswith(_META) else f"{directory}/{gone}".lstrip("/")
