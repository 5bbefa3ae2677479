"""The stages that branches and tags may need although nobody can tell: those that are made of artifacts, and those of
a commit that cannot be planned.

The bytes of an artifact are in no commit, so the cleanup cannot work out the checksum that a pipeline would. What it
knows is the stage below, and the histories in which a stage can be found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lineal.dockerfile.stage import Stage
from lineal.errors import MissingContent
from lineal.git.command import text_of
from lineal.git.repository import Repository
from lineal.oci import Store
from lineal.store.record import Record, record_manifest, told


@dataclass
class Unknown:
    """`below`: the checksums of the stages on which those of artifacts stand, empty for an image from scratch."""

    below: set[str] = field(default_factory=set)
    commits: set[str] = field(default_factory=set)
    """Everything in the histories of the refs whose images are made of artifacts."""
    trees: set[str] = field(default_factory=set)
    built_for: set[str] = field(default_factory=set)
    """The branches, tags and commits that cannot be planned: of these, what was built for them is needed."""
    complete: bool = True
    """Whether these are the whole histories."""

    @staticmethod
    def below_of(stages: Iterable[Stage]) -> set[str]:
        """The checksums below the first unknown stages of some images."""
        firsts = [stage for stage in stages if stage.unknown and not (stage.parent and stage.parent.unknown)]
        return {stage.parent.checksum if stage.parent else "" for stage in firsts}

    def add_histories(self, repository: Repository, tips: Sequence[str]) -> None:
        asked = "".join(f"{tip}\n" for tip in tips).encode()
        lines = text_of(repository.run("log", "--stdin", "--format=%H %T", stdin=asked)).splitlines()
        self.commits |= {line.split()[0] for line in lines}
        self.trees |= {line.split()[1] for line in lines}
        self.complete = not repository.shallow

    def stages(self, records: Mapping[str, Sequence[Record]], is_base: Callable[[str], bool]) -> set[str]:
        """The checksums that may be needed, of those that are given with their records. `is_base` says of one without
        a parent whether it is the FROM of an image."""
        needed = {checksum for checksum, found in records.items() if any(map(self._is_built_for, found))}
        if not self.below:
            return needed
        children: dict[str, set[str]] = {}
        for checksum, found in records.items():
            for record in found:
                if self._visible(record):
                    children.setdefault(record.parent, set()).add(checksum)
        queue = [one for below in self.below for one in children.get(below, ()) if below or not is_base(one)]
        made: set[str] = set()
        while queue:
            checksum = queue.pop()
            if checksum not in made:
                made.add(checksum)
                queue.extend(children.get(checksum, ()))
        return needed | made

    def _is_built_for(self, record: Record) -> bool:
        return record.branch in self.built_for or not self.built_for.isdisjoint(record.commits)

    def _visible(self, record: Record) -> bool:
        return not self.complete or record.tree in self.trees or self.commits.issuperset(record.commits)


def is_base(store: Store, digest: str) -> bool:
    """Whether a published stage is the FROM of an image, as its record says; also when it has lost its record."""
    index = store.manifest(digest)
    if index is None:
        return True
    try:
        found = told(store, record_manifest(store, index))
    except (MissingContent, LookupError, ValueError, TypeError):
        return True
    return found is None or "from" in found.inputs
