"""The names of `contexts:` as a Dockerfile uses them: in place of a target or an image that is called so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from lineal.context.build_context import BuildContext
from lineal.dockerfile.stage import Stage
from lineal.errors import BadConfiguration, Location
from lineal.value import dataclass


@dataclass(frozen=True)
class NamedContext:
    """What a name of `contexts:` stands for: one of a directory of the commit (`tree`), another image (`stage`), an
    image of a registry (`reference`) and a git repository (`git`)."""

    name: str
    place: Location
    tree: BuildContext | None = None
    stage: Stage | None = None
    reference: str = ""
    git: str = ""


class NamedContexts:
    """Those of one image, looked up as BuildKit does: by the shortest spelling of a reference."""

    def __init__(self, contexts: Mapping[str, NamedContext]) -> None:
        self._contexts = contexts
        self._used: set[str] = set()

    def find(self, name: str) -> NamedContext | None:
        """What a word of the Dockerfile means, if it is one. The number of a target is none."""
        from lineal.oci.reference import familiar

        if not self._contexts or name.isdigit():
            return None
        try:
            meant = familiar(name)
        except BadConfiguration:
            return None
        self._used.add(meant)
        return self._contexts.get(meant)

    def unused(self, file: str, text: str) -> Iterator[str]:
        """A sentence about each that the Dockerfile does not speak of."""
        for meant, named in self._contexts.items():
            if meant not in self._used and named.name not in text:
                yield f"{named.place}: {file} has no FROM, COPY or mount of it."


def dockerfile_of(named: NamedContext) -> str:
    """The image that holds the files of a directory or a git repository, and nothing else."""
    if named.git:
        source = named.git.replace("\\", "\\\\").replace("$", "\\$")
        return f"FROM scratch\nADD {json.dumps([source, '/'])}\n"
    return 'FROM scratch\nCOPY [".", "/"]\n'
