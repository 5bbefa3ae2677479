"""Builds what is missing, several stages at once, and publishes each of them meanwhile."""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from math import inf
from typing import TYPE_CHECKING, Any

from lineal.build.order import Order
from lineal.build.preparations import Preparations
from lineal.build.result import ADOPTED, BuildResult, settle
from lineal.build.stage_maker import Provenance, StageGone, StageMaker, Work
from lineal.dockerfile.instructions import FromInstruction, RunInstruction
from lineal.dockerfile.stage import Stage, closure
from lineal.errors import Interrupted, MissingContent
from lineal.oci import Store
from lineal.progress import Progress
from lineal.report.model import Outcome, StageReport
from lineal.stages.lookup import LOST, Lookup, Resolution
from lineal.stages.plan import BuildPlan, needed, report, title
from lineal.stages.publish import Publication, Publisher
from lineal.text import strip_controls

if TYPE_CHECKING:
    from lineal.build.environment import BuildEnvironment


_GRACE = 8.0
"""Seconds that an interrupted run gives its stages to end; CI systems kill after about 10."""
_PUBLISHERS = 16
"""Stages that are published at once."""
_AHEAD = 64
"""Stages that may be made and not yet published."""
UNPUBLISHED = "what it is made of is not published"


class Scheduler:
    """One build: makes the needed stages of a plan, several at once where the graph allows, and publishes them."""

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
        self._environment = environment
        self._maker = StageMaker(environment, publisher, provenance, self._found)
        self._progress = progress
        self._jobs = jobs
        self._stopped = stopped or threading.Event()
        self._order: Order[Stage]
        self._work: dict[str, Work] = {}
        self._making: dict[Future[None], Work] = {}
        self._publishing: dict[Future[Publication], Work] = {}
        self._failure: BaseException | None = None
        self._began = time.monotonic()

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
                digest, published = gone.cause.digest[:19], self._maker.candidate(gone.stage) is not None
                what = (
                    f"is published, but {digest} of it is missing in the store"
                    if published
                    else f"is made, but {digest} of it did not reach the store"
                )
                self._progress.warn(f"{title(gone.stage)} {what}; it is built again.")
                self._forget(gone.stages)
        return settle(self.result, self._lookup)

    def _forget(self, stages: list[Stage]) -> None:
        for stage in stages:
            candidate = self._maker.candidate(stage)
            if candidate is not None:
                self._lookup.broken.add(candidate.digest)
            self._maker.keep(stage.checksum, None)
        unfinished = [last for last in self._plan.last() if self._maker.candidate(last) is None]
        self._found |= self._lookup.find([found.checksum for found in closure(stages)])
        self._needed = needed(unfinished, self._found)

    # --- the order, in the run's own thread ---------------------------------------------------------------------

    def _build_all(self) -> None:
        """Make every stage as soon as what it is made of is at hand, and publish it after all of that. After a
        failure nothing more is begun, and what is made is published."""
        self._order, self._work, self._failure = Order(self._needed, self._maker.published), {}, None
        self._maker.keep_published()
        self._maker.expect(self._needed, self._lookup.pool)
        makers = ThreadPoolExecutor(self._jobs, thread_name_prefix="stage")
        publishers = ThreadPoolExecutor(_PUBLISHERS, thread_name_prefix="publish")
        claimers = ThreadPoolExecutor(_PUBLISHERS, thread_name_prefix="claim")
        preparations = Preparations(self._environment, self._needed, self._jobs)
        self._maker.prepare = preparations.made
        try:
            preparations.begin(self._maker.image)
            self._go_on(makers, publishers, claimers)
        except BaseException as error:
            self._failure = error
            # Commands in the engine end at once and clean up; an upload may be left to the end of the process.
            self._stopped.set()
            self._environment.engine.stop()
            self._go_on(makers, publishers, claimers, time.monotonic() + _GRACE)
            raise
        finally:
            makers.shutdown(wait=False, cancel_futures=True)
            publishers.shutdown(wait=False, cancel_futures=True)
            claimers.shutdown(wait=False, cancel_futures=True)
            preparations.close()
            self._maker.close()
        if self._failure is not None:
            raise self._failure
        self._needed = []

    def _go_on(self, makers: Executor, publishers: Executor, claimers: Executor, until: float = inf) -> None:
        """Until nothing is left to do, or that time has come."""
        while time.monotonic() < until:
            for stage in self._order.outdated():
                self._progress.note(f"{title(stage)} is made again: another run has published what it is made of.")
                self._maker.keep(stage.checksum, None)
            for stage in self._order.publishable():
                work = self._work[stage.checksum]
                if work.error is not None:
                    self._fail(work, work.error)
                else:
                    self._publishing[publishers.submit(self._maker.publish, work, claimers)] = work
            for stage in self._startable():
                work = self._begin(stage)
                self._making[makers.submit(self._make, work)] = work
            if not self._making and not self._publishing:
                break
            running: list[Future[Any]] = [*self._making, *self._publishing]
            for future in wait(running, timeout=0.5, return_when=FIRST_COMPLETED).done:
                if future in self._making:
                    self._end_making(future)
                else:
                    self._end_publishing(future)
        self._leave()

    def _startable(self) -> list[Stage]:
        behind = self._order.unpublished()
        # What failed may have been made of a stage that another run's publication takes the place of.
        if self._failure is not None or any(self._work[stage.checksum].error for stage in behind):
            return []
        free = min(self._jobs - len(self._making), _AHEAD - len(behind) - len(self._publishing))
        return self._order.startable(max(free, 0))

    def _begin(self, stage: Stage) -> Work:
        self._order.begin(stage)
        self._progress.begin(title(stage))
        work = self._work[stage.checksum] = self._maker.begin(stage)
        return work

    def _make(self, work: Work) -> None:
        if self._stopped.is_set() or self._failure is not None:
            raise Interrupted("The run was stopped.")
        name = title(work.stage)
        self._maker.make(work, lambda line: self._progress.output(name, line))

    def _end_making(self, future: Future[Any]) -> None:
        work, error = self._making.pop(future), future.exception()
        if error is None:
            assert work.ready is not None
            self._maker.keep(work.stage.checksum, work.ready)
            self._order.made(work.stage, work.ready.image.manifest.digest)
            return
        work.error = error
        if isinstance(error, Interrupted):
            self._fail(work, error)
        else:
            self._order.made(work.stage, None)

    def _end_publishing(self, future: Future[Any]) -> None:
        work, error = self._publishing.pop(future), future.exception()
        if error is None:
            self._end(work, future.result())
        else:
            self._fail(work, error)

    def _end(self, work: Work, publication: Publication) -> None:
        stage, candidate, reason = work.stage, publication.candidate, work.reason
        made: Outcome = "built" if isinstance(stage.op, FromInstruction | RunInstruction) else "assembled"
        # What was lost and is made again bit for bit makes the publication whole that it was.
        mended = publication.outcome == "adopted" and reason == LOST
        outcome: Outcome = "adopted" if publication.outcome == "adopted" and not mended else made
        if outcome == "adopted":
            reason = ADOPTED
        del self._work[stage.checksum]
        self._maker.keep(stage.checksum, work.ready)
        self._found[stage.checksum] = Resolution(candidate, reason, True, candidate.record.created, publication.young)
        self._keep(
            work, report(stage, outcome, candidate, reason, work.seconds, work.moved.pulled, work.moved.pushed)
        )
        self._progress.end(title(stage), outcome, work.seconds, reason)

    def _fail(self, work: Work, error: BaseException) -> None:
        if isinstance(error, MissingContent):
            error = self._maker.blame(work, error)
        if self._failure is None:
            self._failure = error
            if not isinstance(error, StageGone):
                self._environment.engine.stop()
        self._tell_failed(work, work.reason)

    def _leave(self) -> None:
        """What is made and cannot be published, because what it is made of is not."""
        for stage in self._order.unpublished():
            if not isinstance(self._failure, StageGone):
                self._tell_failed(self._work[stage.checksum], UNPUBLISHED)

    def _tell_failed(self, work: Work, reason: str) -> None:
        self._progress.end(title(work.stage), "failed", work.seconds)
        self._keep(work, report(work.stage, "failed", reason=reason, duration=work.seconds))
        self._reports[work.stage.checksum].output = [strip_controls(line) for line in work.tail]

    def _keep(self, work: Work, told: StageReport) -> None:
        told.began = round(work.began - self._began, 3)
        told.ended = round(time.monotonic() - self._began, 3)
        self._reports[work.stage.checksum] = told
