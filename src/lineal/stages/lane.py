"""Lanes: under which anchor tags a run publishes, and under which it looks.

In a project with `trust:` runs that nobody vouches for agree on anchors of their own. So neither of the two kinds
waits for the other, nor moves an anchor that the other writes in the same moment."""

from __future__ import annotations

from collections.abc import Callable

from lineal.store.tags import anchor_tag, open_anchor_tag
from lineal.value import dataclass


@dataclass(frozen=True, slots=True)
class Lane:
    anchor: Callable[[str], str]
    """The anchor tag of a checksum that a run of this lane writes, and elects by."""
    others: tuple[Callable[[str], str], ...] = ()
    """The anchors of other lanes, whose stages it uses as well."""
    marked: bool = True
    """Whether a stage with a mark can be a claim on its anchor."""

    def anchors(self, checksum: str) -> tuple[str, ...]:
        """All that it looks at, its own first."""
        return (self.anchor(checksum), *(anchor(checksum) for anchor in self.others))


CLOSED = Lane(anchor_tag)
"""Of runs with the key, and of every run of a project without `trust:`."""
OPEN = Lane(open_anchor_tag, (anchor_tag,), marked=False)
"""Of runs without the key in a project with `trust:`."""
