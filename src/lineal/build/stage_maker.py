"""Single stages: made, published, read again once they are published. What is made when, the scheduler says."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from lineal import __version__
from lineal.build.copy_sources import CopySources
from lineal.build.making import making_of
from lineal.build.preparations import Prepare, not_prepared
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.stage import Stage
from lineal.errors import MissingContent
from lineal.oci.image import image_in, read_image
from lineal.oci.types import Image
from lineal.oci.verify import is_digest
from lineal.stages.candidate import Candidate
from lineal.stages.durations import durations_of
from lineal.stages.lookup import Resolution
from lineal.stages.plan import candidate_of
from lineal.stages.publish import Built, Publication, Publisher
from lineal.store.record import FILESYSTEM, MAX_FILESYSTEM, Record, image_digest, parts_of, record_manifest
from lineal.store.statement import Dependency, stage_dependency
from lineal.text import TAIL

if TYPE_CHECKING:
    from lineal.build.environment import BuildEnvironment, StageImage, Transferred


_FIRST = 16
"""Stages for which is read what they are made of before they are begun."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """The facts about this run that a record states."""

    commits: tuple[str, ...]
    tree: str
    branch: str
    project: str


@dataclass(eq=False)
class Work:
    """A stage on its way."""

    stage: Stage
    reason: str
    local: Mapping[str, StageImage]
    """The stages that it is made of and that are not published yet, by checksum."""
    moved: Transferred
    used: list[Dependency] = field(default_factory=list)
    """What was fetched for it."""
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)
    built: Built | None = None
    ready: StageImage | None = None
    error: BaseException | None = None
    """Why it could not be made."""

    def is_made_of(self, checksum: str, candidate: Candidate | None) -> bool:
        """Whether the candidate is what was at hand for a stage that this one is made of."""
        if candidate is None:
            return False
        ours = self.local.get(checksum)
        return ours is None or ours.image.manifest.digest == image_digest(candidate.index)

    @contextmanager
    def timed(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - began


class StageMaker:
    """Makes and publishes the stages of one build. `found` is what is published of them, by checksum; it grows.

    `make` and `publish` may be called from several threads."""

    def __init__(
        self, environment: BuildEnvironment, publisher: Publisher, provenance: Provenance,
        found: Mapping[str, Resolution],
    ) -> None:  # fmt: skip
        self._environment, self._store = environment, environment.store
        self._publisher, self._provenance, self._found = publisher, provenance, found
        self.prepare: Prepare = not_prepared
        self._copies = CopySources(environment.store, environment.workspace, self._load)
        self._ready: dict[str, StageImage] = {}
        self._ready_locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._made: dict[str, Work] = {}
        """What waits to be published, by checksum."""
        self._claims: dict[str, Candidate] = {}
        """What this run publishes, when nobody was before it."""
        self._counting: dict[str, Candidate] = {}
        """The claims of this run whose anchors are being written."""
        self._claim_guard = threading.Lock()
        """What is being published is not claimed beside that."""

    def candidate(self, stage: Stage) -> Candidate | None:
        return candidate_of(stage, self._found)

    def published(self, checksum: str) -> str | None:
        """The digest of a published stage's image."""
        resolution = self._found.get(checksum)
        return image_digest(resolution.candidate.index) if resolution and resolution.candidate else None

    def image(self, stage: Stage) -> Image:
        """Of a published stage."""
        return self._load(stage).image

    def expect(self, needed: Sequence[Stage], pool: Executor) -> None:
        """Begin to read what the first of these are made of, while the modules that make them are loaded."""
        for stage in needed[:_FIRST]:
            for one in stage.dependencies():
                if self.candidate(one) is not None:
                    pool.submit(self._load, one)
        self._copies.expect(needed, lambda stage: self.candidate(stage) is not None)

    def close(self) -> None:
        """Give up what is read ahead."""
        self._copies.close()

    def keep(self, checksum: str, ready: StageImage | None) -> None:
        """Have a stage at hand; with None, read it anew when it is needed, and claim nothing of it that waits."""
        if ready is not None:
            self._ready[checksum] = ready
        else:
            self._ready.pop(checksum, None)
            with self._claim_guard:
                self._made.pop(checksum, None)

    def keep_published(self) -> None:
        """Nothing else, and nothing that waits to be published."""
        with self._claim_guard:
            for known in (self._made, self._claims, self._counting):
                known.clear()
        self._publisher.forget()
        # A copy: what an earlier try has begun to read may still arrive.
        self._ready = {checksum: ready for checksum, ready in self._ready.copy().items() if self.published(checksum)}

    def begin(self, stage: Stage) -> Work:
        """With what is at hand now. Raises KeyError when something is not."""
        from lineal.build.environment import Transferred

        local = {one.checksum: self._ready[one.checksum] for one in stage.dependencies() if not self.candidate(one)}
        known = self._found.get(stage.checksum)
        return Work(stage, known.reason if known else "", local, Transferred())

    def make(self, work: Work, output: Callable[[str], None]) -> None:
        """Make one stage; its content is on its way to the store then."""
        from lineal.build.environment import StageInputs
        from lineal.build.stage_builder import build

        stage = work.stage

        def told(line: str) -> None:
            work.tail.append(line)
            output(line)

        def at_hand(one: Stage) -> StageImage:
            return work.local.get(one.checksum) or self._load(one)

        with work.timed():
            self._store.expect_blobs(_blobs_soon(stage))
            inputs = StageInputs(
                parent=at_hand(stage.parent) if stage.parent else None,
                sources={key: at_hand(source) for key, source in stage.sources.items()},
                references={key: self._load(need).reference for key, need in stage.needs.items()},
                moved=work.moved,
                used=work.used,
                ahead=self._copies.take(stage),
            )
            work.built, work.ready = build(stage, inputs, self._environment, told, self.prepare)
            self._store.send(work.built.image)
        self._made[stage.checksum] = work

    def publish(self, work: Work, pool: Executor) -> Publication:
        """Publish one stage, when all that it is made of is. As soon as it counts, the claims of what is made of it
        begin in `pool`, which does nothing else."""
        assert work.built is not None and work.ready is not None
        with self._claim_guard:
            self._made.pop(work.stage.checksum, None)

        def counts(claim: Candidate) -> None:
            with suppress(RuntimeError):  # an interrupted run has no more time for others
                pool.submit(self._claim_above, work.stage, claim, pool)

        with work.timed():
            publication = self._publisher.publish(
                *self._publishable(work, self.candidate),
                lambda claim: self._foresee(work.stage, claim),
                counts,
            )
            candidate, image = publication.candidate, work.ready.image
            same = image_digest(candidate.index) == image.manifest.digest
            work.ready = replace(work.ready, reference=self._reference(candidate, image)) if same else None
            return publication

    def _foresee(self, stage: Stage, claim: Candidate) -> None:
        """The records of what can be published as soon as this claim to a stage counts."""
        for _, built, record in self._above(stage, claim, self._claims):
            self._publisher.foresee(built, record)

    def _claim_above(self, stage: Stage, claim: Candidate, pool: Executor) -> None:
        """The claims of what can be published as soon as the anchor is written that this claim to a stage becomes."""
        with self._claim_guard:
            for above, built, record in self._above(stage, claim, self._counting):
                del self._made[above.checksum]
                self._publisher.claim(built, record, pool, partial(self._foresee, above))

    def _above(
        self, stage: Stage, claim: Candidate, claims: dict[str, Candidate]
    ) -> Iterator[tuple[Stage, Built, Record]]:
        """What waits to be published and is made of this stage, and else of what is published or among `claims`, with
        what is published of it."""
        claims[stage.checksum] = claim

        def candidate(one: Stage) -> Candidate | None:
            return self.candidate(one) or claims.get(one.checksum)

        for work in list(self._made.values()):
            below = {one.checksum: candidate(one) for one in work.stage.dependencies()}
            if stage.checksum in below and all(work.is_made_of(*one) for one in below.items()):
                yield work.stage, *self._publishable(work, candidate)

    def _publishable(self, work: Work, candidate: Callable[[Stage], Candidate | None]) -> tuple[Built, Record]:
        """What is published of it when these candidates count."""
        assert work.built is not None
        used = [*_dependencies(work.stage, candidate), *work.used]
        making = making_of(work.stage, used, self._environment.builder)
        return replace(work.built, making=making), self._record(work, candidate)

    def blame(self, work: Work, error: MissingContent) -> BaseException:
        """The stages that lack a missing blob: all published ones of a chain whose images name it, or the one that
        was to bring it."""
        for dependency in work.stage.dependencies():
            lacking = [
                ancestor for ancestor in reversed(list(dependency.chain()))
                if (candidate := self.candidate(ancestor)) is not None and error.digest in self._named(candidate)
            ]  # fmt: skip
            if lacking:
                return StageGone(lacking, error)
        own = work.built is not None and error.digest in work.built.image.manifest.references
        return StageGone([work.stage], error) if own else error

    def _named(self, candidate: Candidate) -> set[str]:
        """All digests that a publication consists of, as far as its manifests are there."""
        digests = set(candidate.index.references)
        for manifest in [self._store.manifest(digest) for digest in sorted(digests) if is_digest(digest)]:
            if manifest is not None:
                digests.update(manifest.references)
        return digests

    def _load(self, stage: Stage) -> StageImage:
        """A published stage's image and filesystem index, read once."""
        with self._guard:
            lock = self._ready_locks.setdefault(stage.checksum, threading.Lock())
        with lock:
            if stage.checksum not in self._ready:
                candidate = self.candidate(stage)
                assert candidate is not None
                self._ready[stage.checksum] = self._read(stage, candidate)
            return self._ready[stage.checksum]

    def _read(self, stage: Stage, candidate: Candidate) -> StageImage:
        from lineal.assemble.filesystem import Filesystem
        from lineal.build.environment import StageImage

        with ThreadPoolExecutor(2) as pool:
            image = pool.submit(self._read_image, candidate, stage.platform)
            record = candidate.document or record_manifest(self._store, candidate.index)
            encoded = parts_of(record, self._store)[FILESYSTEM].read(self._store, MAX_FILESYSTEM)
            self._publisher.saw(record)
            found = image.result()
            return StageImage(found, Filesystem.decode(encoded), self._reference(candidate, found))

    def _read_image(self, candidate: Candidate, platform: str) -> Image:
        if candidate.image is not None:
            return image_in(self._store, candidate.image, platform)
        return read_image(self._store, image_digest(candidate.index), platform)

    def _reference(self, candidate: Candidate, image: Image) -> str:
        """What other images see of this one, when they need it."""
        finished = self._environment.finished(candidate, image)
        return finished or candidate.reference(self._store.address)

    def _record(self, work: Work, candidate: Callable[[Stage], Candidate | None]) -> Record:
        stage = work.stage
        below = [found.record for one in stage.dependencies() if (found := candidate(one)) is not None]
        return Record(
            checksum=stage.checksum,
            commits=self._provenance.commits,
            tree=self._provenance.tree,
            branch=self._provenance.branch,
            created=0,
            parent=stage.parent.checksum if stage.parent else "",
            project=self._provenance.project,
            version=__version__,
            beside=frozenset().union(*(record.beside for record in below)),
            durations=durations_of(stage, max(round(work.seconds * 1000), 1), candidate),
        )


def _dependencies(stage: Stage, candidate: Callable[[Stage], Candidate | None]) -> list[Dependency]:
    """The published stages that one is made of, for its statement."""
    parents = [("parent", stage.parent)] if stage.parent else []
    copied = [("from", source) for source in stage.sources.values()]
    needed = [("needs", need) for need in stage.needs.values()]
    return [
        stage_dependency(name, image_digest(found.index), one.checksum, found.tag)
        for name, one in [*parents, *copied, *needed] if (found := candidate(one)) is not None
    ]  # fmt: skip


def _blobs_soon(stage: Stage) -> int:
    """The blobs of a stage that is made at once: its layer and its config."""
    if isinstance(stage.op, CopyInstruction):
        return 2
    return 1 if stage.op is None else 0


class StageGone(Exception):
    """A published stage lacks a blob, and so do those on top of it: they count as absent (DESIGN §6). Or what was
    made of a stage did not reach the store."""

    def __init__(self, stages: list[Stage], cause: MissingContent) -> None:
        super().__init__(str(cause))
        self.stages = stages
        self.stage = stages[0]
        self.cause = cause
