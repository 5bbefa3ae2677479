"""The policy of a project for remote sources of ADD whose text does not fix their content."""

from __future__ import annotations

from lineal.config.giterminism import Giterminism
from lineal.context.remote_source import Remote, inside, is_inside, unpinned
from lineal.errors import BadConfiguration
from lineal.value import dataclass


@dataclass(frozen=True)
class RemotePolicy:
    """Such a source is frozen by the first publication of its stage, like the `RUN curl` that it stands for."""

    exceptions: Giterminism = Giterminism()
    trusted: bool = True
    """Whether the commit may open services of this network: see `Giterminism.opens`."""

    def check(self, text: str, remote: Remote | None) -> None:
        """Raises `BadConfiguration`, without a place, for a source that nothing pins and that is not allowed.
        `remote` is None while a part of the text waits for the base image."""
        if remote is not None and is_inside(remote.host) and not (self.trusted and self.exceptions.opens(text)):
            _refuse(*inside(text))
        if self.exceptions.dockerfile.pinned and not self.exceptions.unpinned(text):
            _refuse(*unpinned(text, remote))


def _refuse(message: str, remedy: str) -> None:
    raise BadConfiguration(message, id="LN-2012", remedy=remedy)
