"""Builds what is missing, several stages at once, and publishes each of them at once."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lineal import __version__
from lineal.build.preparations import Preparations
from lineal.build.result import ADOPTED, BuildResult, settle
from lineal.dockerfile.instructions import FromInstruction, RunInstruction
from lineal.dockerfile.stage import Stage, closure
from lineal.errors import Interrupted, MissingContent
from lineal.oci import Store
from lineal.oci.image import read_image
from lineal.oci.types import Image
from lineal.oci.verify import is_digest
from lineal.progress import Progress
from lineal.report.model import Outcome, StageReport
from lineal.stages.lookup import LOST, Candidate, Lookup, Resolution
from lineal.stages.plan import BuildPlan, candidate_of, needed, report, title
from lineal.stages.publish import Publisher
from lineal.store.record import FILESYSTEM, MAX_FILESYSTEM, Record, image_digest, record_parts
from lineal.store.statement import Dependency, stage_dependency
from lineal.text import TAIL, strip_controls

if TYPE_CHECKING:
    from lineal.build.environment import BuildEnvironment, StageImage


_GRACE = 8.0
"""Seconds that an interrupted run gives its stages to end; CI systems kill after about 10."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """The facts about this run that a record states."""

    commits: tuple[str, ...]
    tree: str
    branch: str
    project: str


class Scheduler:
    """One build: makes the needed stages of a plan, several at once where the graph allows."""

    def __init__(
        self, plan: BuildPlan, lookup: Lookup, publisher: Publisher, environment: BuildEnvironment,
        provenance: Provenance, progress: Progress, jobs: int, stopped: threading.Event | None = None,
    ) -> None:  # fmt: skip
        self._plan = plan
        self._found = dict(plan.resolutions)
        self._needed = list(plan.needed)
        self._reports: dict[str, StageReport] = {}
        self._store: Store = environment.store
        self._lookup = lookup
        self._publisher = publisher
        self._environment = environment
        self._provenance = provenance
        self._progress = progress
        self._jobs = jobs
        self._ready: dict[str, StageImage] = {}
        self._ready_locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._stopped = stopped or threading.Event()

    @property
    def result(self) -> BuildResult:
        """The result so far, also after a failure."""
        environment = self._environment
        return BuildResult(
            self._plan, self._store.address, environment.may_write, dict(self._found), dict(self._reports)
        )

    def run(self) -> BuildResult:
        """Build and publish all that the plan needs, and agree with runs that did the same at the same time. A stage
        whose blobs turn out to be gone is built again, once. Raises `LinealError`."""
        rebuilt: set[str] = set()
        while self._needed:
            try:
                self._build_all()
            except StageGone as gone:
                if gone.stage.checksum in rebuilt:
                    raise gone.cause from None
                rebuilt.add(gone.stage.checksum)
                self._progress.warn(
                    f"{title(gone.stage)} is published, but {gone.cause.digest[:19]} of it is missing in the store; "
                    "it is built again."
                )
                self._forget(gone.stages)
        return settle(self.result, self._lookup)

    def _candidate(self, stage: Stage) -> Candidate | None:
        return candidate_of(stage, self._found)

    def _forget(self, stages: list[Stage]) -> None:
        for stage in stages:
            candidate = self._candidate(stage)
            if candidate is not None:
                self._lookup.broken.add(candidate.digest)
            self._ready.pop(stage.checksum, None)
        unfinished = [last for last in self._plan.last() if self._candidate(last) is None]
        self._found |= self._lookup.find([found.checksum for found in closure(stages)])
        self._needed = needed(unfinished, self._found)

    def _build_all(self) -> None:
        """Start every stage as soon as what it depends on is there; on the first failure start no more."""
        waiting = {stage.checksum: stage for stage in self._needed}
        running: dict[Future[None], Stage] = {}
        failure: BaseException | None = None
        pool = ThreadPoolExecutor(self._jobs, thread_name_prefix="stage")
        self._preparations = Preparations(self._environment, self._needed, self._jobs)
        try:
            self._preparations.begin(lambda stage: self._load(stage).image)
            while (waiting and failure is None) or running:
                if failure is None:
                    for stage in self._startable(waiting, running):
                        running[pool.submit(self._one, waiting.pop(stage.checksum))] = stage
                done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    running.pop(future)
                    error = future.exception()
                    if error is not None and failure is None:
                        failure = error
                        if not isinstance(error, StageGone):
                            self._stop()
        except BaseException:
            self._stop()
            # Commands in the engine end at once and clean up; an upload may be left to the end of the process.
            wait(running, timeout=_GRACE)
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            self._preparations.close()
        if failure is not None:
            raise failure
        self._needed = []

    def _startable(self, waiting: Mapping[str, Stage], running: Mapping[Future[None], Stage]) -> list[Stage]:
        free = self._jobs - len(running)
        ready = [
            stage for stage in waiting.values()
            if all(self._candidate(dependency) is not None for dependency in stage.dependencies())
        ]  # fmt: skip
        return ready[: max(free, 0)]

    def _stop(self) -> None:
        self._stopped.set()
        self._environment.engine.stop()

    def _one(self, stage: Stage) -> None:
        """Build and publish one stage."""
        from lineal.build.environment import StageInputs
        from lineal.build.stage_builder import build

        if self._stopped.is_set():
            raise Interrupted("The run was stopped.")
        name, started = title(stage), time.monotonic()
        tail: deque[str] = deque(maxlen=TAIL)

        def output(line: str) -> None:
            tail.append(line)
            self._progress.output(name, line)

        self._progress.begin(name)
        reason = self._found[stage.checksum].reason if stage.checksum in self._found else ""
        try:
            inputs = StageInputs(
                parent=self._load(stage.parent) if stage.parent else None,
                sources={key: self._load(source) for key, source in stage.sources.items()},
                references={key: self._load(need).reference for key, need in stage.needs.items()},
                used=self._dependencies(stage),
            )
            built, ready = build(stage, inputs, self._environment, output, self._preparations.made)
            publication = self._publisher.publish(built, self._record(stage))
        except BaseException as error:
            seconds = time.monotonic() - started
            self._progress.end(name, "failed", seconds)
            self._reports[stage.checksum] = report(stage, "failed", reason=reason, duration=seconds)
            self._reports[stage.checksum].output = [strip_controls(line) for line in tail]
            if isinstance(error, MissingContent):
                raise self._blame(stage, error) from error
            raise
        candidate = publication.candidate
        made: Outcome = "built" if isinstance(stage.op, FromInstruction | RunInstruction) else "assembled"
        # What was lost and is made again bit for bit makes the publication whole that it was.
        mended = publication.outcome == "adopted" and reason == LOST
        outcome: Outcome = "adopted" if publication.outcome == "adopted" and not mended else made
        if outcome == "adopted":
            reason = ADOPTED
        elif not mended:
            self._ready[stage.checksum] = replace(ready, reference=self._reference(candidate, ready.image))
        created = candidate.record.created
        self._found[stage.checksum] = Resolution(candidate, reason, True, created, publication.young)
        seconds = time.monotonic() - started
        self._reports[stage.checksum] = report(
            stage, outcome, candidate, reason, seconds, inputs.moved.pulled, inputs.moved.pushed
        )
        self._progress.end(name, outcome, seconds, reason)

    def _blame(self, stage: Stage, error: MissingContent) -> BaseException:
        """The published stages that lack a missing blob: all of a chain whose images name it."""
        for dependency in stage.dependencies():
            lacking = [
                ancestor for ancestor in reversed(list(dependency.chain()))
                if (candidate := self._candidate(ancestor)) is not None and error.digest in self._named(candidate)
            ]  # fmt: skip
            if lacking:
                return StageGone(lacking, error)
        return error

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
                candidate = self._candidate(stage)
                assert candidate is not None
                self._ready[stage.checksum] = self._read(stage, candidate)
            return self._ready[stage.checksum]

    def _read(self, stage: Stage, candidate: Candidate) -> StageImage:
        from lineal.assemble.filesystem import Filesystem
        from lineal.build.environment import StageImage

        with ThreadPoolExecutor(2) as pool:
            image = pool.submit(read_image, self._store, image_digest(candidate.index), stage.platform)
            encoded = record_parts(self._store, candidate.index)[FILESYSTEM].read(self._store, MAX_FILESYSTEM)
            found = image.result()
            return StageImage(found, Filesystem.decode(encoded), self._reference(candidate, found))

    def _dependencies(self, stage: Stage) -> list[Dependency]:
        """The published stages that one is made of, for its statement."""
        parents = [("parent", stage.parent)] if stage.parent else []
        copied = [("from", source) for source in stage.sources.values()]
        needed = [("needs", need) for need in stage.needs.values()]
        return [
            stage_dependency(name, image_digest(candidate.index), one.checksum, candidate.tag)
            for name, one in [*parents, *copied, *needed] if (candidate := self._candidate(one)) is not None
        ]  # fmt: skip

    def _reference(self, candidate: Candidate, image: Image) -> str:
        """What other images see of this one, when they need it."""
        finished = self._environment.finished(candidate, image)
        return finished or candidate.reference(self._store.address)

    def _record(self, stage: Stage) -> Record:
        below = [candidate.record for one in stage.dependencies() if (candidate := self._candidate(one)) is not None]
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
        )


class StageGone(Exception):
    """A published stage lacks a blob, and so do those on top of it: they count as absent (DESIGN §6)."""

    def __init__(self, stages: list[Stage], cause: MissingContent) -> None:
        super().__init__(str(cause))
        self.stages = stages
        self.stage = stages[0]
        self.cause = cause
