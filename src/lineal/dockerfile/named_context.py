"""The names of `contexts:` as a Dockerfile uses them: in place of a target or an image that is called so."""

from __future__ import annotations

import json
from collections.abc import Iterator

from lineal.dockerfile.stage import NamedContext, PlanRequest
from lineal.errors import BadConfiguration


class NamedContexts:
    """Those of one image, looked up as BuildKit does: by the shortest spelling of a reference."""

    def __init__(self, image: PlanRequest) -> None:
        self._image = image
        self._used: set[str] = set()

    def find(self, name: str) -> NamedContext | None:
        """What a word of the Dockerfile means, if it is one. The number of a target is none."""
        from lineal.oci.reference import familiar

        if not self._image.contexts or name.isdigit():
            return None
        try:
            meant = familiar(name)
        except BadConfiguration:
            return None
        self._used.add(meant)
        return self._image.contexts.get(meant)

    def unused(self) -> Iterator[str]:
        """A sentence about each that the Dockerfile does not speak of."""
        for meant, named in self._image.contexts.items():
            if meant not in self._used and named.name not in self._image.text:
                yield f"{named.place}: {self._image.file} has no FROM, COPY or mount of it."


def dockerfile_of(named: NamedContext) -> str:
    """The image that holds the files of a directory or a git repository, and nothing else."""
    if named.git:
        source = named.git.replace("\\", "\\\\").replace("$", "\\$")
        return f"FROM scratch\nADD {json.dumps([source, '/'])}\n"
    return 'FROM scratch\nCOPY [".", "/"]\n'
