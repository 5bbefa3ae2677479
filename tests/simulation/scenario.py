"""Runs that meet: the real look-up and publishing code over the modelled registry, and what must be true of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from lineal.build.order import Order
from lineal.lock import Lock, NoLock
from lineal.oci.types import Manifest
from lineal.stages.candidate import Candidate
from lineal.stages.eligibility import Eligibility
from lineal.stages.lane import CLOSED, Lane
from lineal.stages.lookup import GRACE, Lookup, Resolution
from lineal.stages.publish import Built, Publication, Publisher
from lineal.store.record import Record, image_digest
from lineal.store.statement import Builder, Making
from lineal.store.tags import parse_stage_tag
from lineal.trust.judge import EVERYBODY, Judge
from lineal.trust.mark import Marks
from lineal.trust.signed import SignedStages, signer
from tests.simulation.adversary import KEY, REPOSITORY, SIGNING
from tests.simulation.history import RUNS, Past, line, visible
from tests.simulation.registry import Client, Shelf
from tests.simulation.world import Actor, Mood, World
from tests.unit.stages.workbench import built


@dataclass(frozen=True)
class Node:
    """A stage, made of another one or of nothing."""

    checksum: str
    parent: Node | None = None
    needs: Mapping[str, Node] = field(default_factory=dict)

    def dependencies(self) -> list[Node]:
        return [self.parent] if self.parent else []


FIRST, OTHER = Node("5a" * 32), Node("5b" * 32)
CHILD = Node("5c" * 32, FIRST)
SHAPES = ((FIRST,), (FIRST, CHILD), (FIRST, OTHER), (FIRST, CHILD, Node("5d" * 32, CHILD)))
"""What each run builds."""
GAPS = (0.0, 0.0, 0.01, 0.3, 1.0, 5.0, 100.0)
BUILD = (0.0, 0.1, 2.0)
MARKS = Marks([KEY])
SIGNED = SignedStages([SIGNING.public])
SIGN = signer(SIGNING)
OURS = Making("RUN make", builder=Builder(store=REPOSITORY))
TTL = 30.0
"""Seconds for which a lock is held by whoever does not release it."""


class Inline(Executor):
    """One thing after the other, in the run's own greenlet."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Beside(Executor):
    """Each thing in a thread of its own."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        actor, future = self._actor, Awaited(self._actor)

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - raised where it is waited for
                future.set_exception(error)

        actor.beside(work, lambda _: None)
        return future


class Awaited(Future[Any]):
    """A result that is waited for in the time of the world."""

    def __init__(self, actor: Actor) -> None:
        super().__init__()
        self._actor = actor

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            self._actor.wait_until(lambda go_on: self.add_done_callback(lambda _: go_on()))
        return super().result(timeout)


@dataclass
class Leases:
    """A lock service with leases: whoever is dead or late loses the lock without noticing."""

    world: World
    until: dict[str, tuple[Actor, float]] = field(default_factory=dict)

    def of(self, actor: Actor) -> Lock:
        leases = self

        class Lease:
            name = "leases"

            @contextmanager
            def hold(self, checksum: str) -> Iterator[bool]:
                asked = leases.world.time
                while checksum in leases.until and leases.until[checksum][1] > leases.world.time:
                    if leases.world.time - asked > 2 * TTL:
                        yield False
                        return
                    actor.wait(0.2)
                leases.until[checksum] = (actor, leases.world.time + TTL)
                yield True
                if leases.until.get(checksum, (None, 0.0))[0] is actor:
                    del leases.until[checksum]

        return Lease()


@dataclass
class Run:
    """One `lineal build` of a commit, and what it said in the end."""

    name: str
    commit: str
    begun: float = 0.0
    ended: float | None = None
    report: dict[str, Candidate] = field(default_factory=dict)
    made: dict[str, float] = field(default_factory=dict)
    """Stages that it built and published, and when that was done."""
    used: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Of each stage that it published, what that was made of: an image, and the one that it agreed upon."""
    lane: Lane = CLOSED
    keyed: bool = False
    signs: bool = False
    """Whether its key is one to sign with."""
    vouched: set[str] = field(default_factory=set)
    """What it vouches for, as `identity` names it."""

    def mark(self, index: Manifest) -> Manifest:
        if not self.keyed:
            return index
        marked = index if self.signs else MARKS.marked(index, REPOSITORY)
        self.vouched.add(self.identity(marked))
        return marked

    def identity(self, index: Manifest) -> str:
        """What is vouched for: the whole index, or image and record, which others may publish again."""
        return str([entry["digest"] for entry in index.json["manifests"]]) if self.signs else index.digest

    @property
    def judge(self) -> Judge:
        if not self.keyed:
            return EVERYBODY
        return Judge([SIGNED if self.signs else MARKS], REPOSITORY)

    def work(
        self, shelf: Shelf, lock: Callable[[Actor], Lock], stages: Sequence[Node], digits: int
    ) -> Callable[..., None]:
        def work(actor: Actor) -> None:
            self.begun = actor.world.time
            store = Client(shelf, actor)
            here, past = line(self.commit), Past(self.commit)
            lookup = Lookup(store, Eligibility(store, here, past, self.judge), Inline(), actor.time, lane=self.lane)
            sign = SIGN if self.keyed and self.signs else None
            publisher = Publisher(store, lock(actor), lookup, digits, self.mark, sign)
            findings = lookup.find([stage.checksum for stage in stages])
            self.report |= {checksum: found.candidate for checksum, found in findings.items() if found.candidate}
            Build(self, actor, shelf, publisher, findings).run(stages)
            settled = lookup.settle(findings)
            self.report |= {checksum: found.candidate for checksum, found in settled.items() if found.candidate}
            self.ended = actor.world.time
            actor.world.tell(f"{self.name} reports {[candidate.tag[62:] for candidate in self.report.values()]}")

        return work


class Build:
    """What the scheduler does: stages are made beside the publication of those that they are made of."""

    def __init__(
        self, run: Run, actor: Actor, shelf: Shelf, publisher: Publisher, findings: dict[str, Resolution]
    ) -> None:
        self._run, self._actor, self._shelf, self._publisher = run, actor, shelf, publisher
        self._findings = findings
        self._results: dict[str, tuple[Built, str | None]] = {}
        """What is made, and the image that it is made of."""
        self._waiting: dict[str, Node] = {}
        """What is made and not being published."""
        self._busy = 0
        """What has been begun beside and has not ended."""

    def run(self, stages: Sequence[Node]) -> None:
        order = Order([stage for stage in stages if self._image(stage.checksum) is None], self._image)
        while True:
            for stage in order.outdated():
                self._waiting.pop(stage.checksum, None)
            for stage in order.publishable():
                self._busy += 1
                self._waiting.pop(stage.checksum, None)
                self._publish(stage)
            for stage in order.startable():
                self._busy += 1
                order.begin(stage)
                self._make(order, stage)
            if not self._busy:
                return
            self._actor.wait_for_one()
            self._busy -= 1

    def _image(self, checksum: str) -> str | None:
        candidate = self._findings[checksum].candidate
        return image_digest(candidate.index) if candidate else None

    def _make(self, order: Order[Node], stage: Node) -> None:
        below = self._below(stage)
        made = replace(built(f"{self._run.name} {stage.checksum} on {below}"), making=OURS)

        def then(_: None) -> None:
            image = made.image.manifest.digest
            if below is not None:
                self._shelf.made_of[image] = below
            self._results[stage.checksum] = made, below
            self._waiting[stage.checksum] = stage
            order.made(stage, image)

        self._actor.beside(lambda: self._actor.wait(self._actor.world.choices.one(BUILD)), then)

    def _below(self, stage: Node) -> str | None:
        if stage.parent is None:
            return None
        ours = self._results.get(stage.parent.checksum)
        return self._image(stage.parent.checksum) or (ours[0].image.manifest.digest if ours else None)

    def _publish(self, stage: Node) -> None:
        run, parent = self._run, stage.parent.checksum if stage.parent else ""
        made, below = self._results[stage.checksum]

        def then(done: Publication) -> None:
            self._findings[stage.checksum] = Resolution(done.candidate, "", young=done.young)
            run.report[stage.checksum] = done.candidate
            if done.outcome == "published":
                run.made[stage.checksum] = self._actor.world.time
                if below is not None:
                    run.used[stage.checksum] = below, str(self._image(parent))

        def counts(claim: Candidate) -> None:
            self._claim_above(stage, image_digest(claim.index))

        record = self._record(stage)
        self._actor.beside(lambda: self._publisher.publish(made, record, counts=counts), then)

    def _claim_above(self, parent: Node, image: str) -> None:
        """As `StageMaker` does for what is made of a stage that counts."""
        for stage in [stage for stage in self._waiting.values() if stage.parent is parent]:
            made, below = self._results[stage.checksum]
            if below == image:
                del self._waiting[stage.checksum]
                self._busy += 1
                self._publisher.claim(made, self._record(stage), Beside(self._actor))

    def _record(self, stage: Node) -> Record:
        here, parent = line(self._run.commit), stage.parent.checksum if stage.parent else ""
        return Record(stage.checksum, here.recorded, here.tree, here.branch, 0, parent, "shop", "1")


@dataclass
class Story:
    """What happened, and what was wrong with it."""

    world: World
    shelf: Shelf
    runs: list[Run] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        runs = [f"{run.name} builds commit {run.commit}" for run in self.runs]
        return "\n".join([*self.wrong, "", *runs, *self.world.story])


def play(numbers: Sequence[int], mood: Mood, *, locked: bool = False, immutable: bool = False) -> Story:
    """Several runs that meet, then one undisturbed run of each of their commits; checked against the promises."""
    world = World(numbers, mood)
    story = Story(world, Shelf(world, immutable))
    leases = Leases(world)
    lock: Callable[[Actor], Lock] = leases.of if locked else lambda _: NoLock()
    stages = world.choices.one(SHAPES)
    actors = []
    begins = 0.0
    for number in range(2 + world.choices.below(3)):
        run = Run(f"run {number}", world.choices.one(tuple(RUNS)[::-1]))
        begins += world.choices.one(GAPS)
        actors.append(
            Actor(world, run.name, run.work(story.shelf, lock, stages, world.choices.below(50) * 20 + number))
        )
        world.at(begins, actors[-1].resume)
        story.runs.append(run)
    world.run()
    story.wrong += [f"{actor.name} fails: {actor.error!r}" for actor in actors if actor.error and not mood.losses]
    _afterwards(story, stages)
    _judge(story, mood)
    return story


def _afterwards(story: Story, stages: Sequence[Node]) -> None:
    """When all is quiet: each commit once more, on a machine where nothing goes wrong."""
    world = story.world
    world.mood, world.time = Mood(), world.time + 1000
    for number, commit in enumerate(sorted({run.commit for run in story.runs})):
        run = Run(f"late {number}", commit)
        actor = Actor(world, run.name, run.work(story.shelf, lambda _: NoLock(), stages, 900 + number))
        actor.resume()
        world.run()
        if actor.error:
            story.wrong.append(f"{run.name} fails: {actor.error!r}")
        story.runs.append(run)


def _judge(story: Story, mood: Mood) -> None:
    story.wrong += story.shelf.broken
    ended = [run for run in story.runs if run.ended is not None]
    for run in story.runs:
        story.wrong += _apart(run)
        for candidate in run.report.values():
            if not visible(run.commit, candidate.record):
                story.wrong.append(f"G3: {run.name} uses {candidate.tag[62:]} of another line")
    for run in ended:
        story.wrong += _differences(run, [other for other in ended if other.commit == run.commit])
        for earlier in ended:
            story.wrong += _rebuilt(run, earlier, mood)
            story.wrong += _doubled(story.shelf, run, earlier, mood)


def _apart(run: Run) -> Iterator[str]:
    """What a run publishes is made of what it has agreed upon with the others."""
    for checksum, (used, agreed) in run.used.items():
        if used != agreed:
            yield f"G4: {run.name} publishes {checksum[:2]}, made of {used[-9:]} when {agreed[-9:]} counts"


def _differences(run: Run, others: Sequence[Run]) -> Iterator[str]:
    for other in others:
        for checksum, candidate in run.report.items():
            theirs = other.report[checksum]
            if theirs.digest != candidate.digest:
                yield f"G2, G4: {run.name} reports {candidate.tag[62:]}, {other.name} {theirs.tag[62:]}"


def _rebuilt(run: Run, earlier: Run, mood: Mood) -> Iterator[str]:
    """What an earlier run of the line has reported is not built again."""
    if earlier is run or earlier.ended is None or earlier.ended + mood.lag >= run.begun:
        return
    for checksum in run.made:
        if visible(run.commit, earlier.report[checksum].record):
            yield f"G2, G3: {run.name} builds again what {earlier.name} has published for it"


def _doubled(shelf: Shelf, run: Run, earlier: Run, mood: Mood) -> Iterator[str]:
    """Nothing is published beside what has been published for a while and could be used."""
    for tag, writer in shelf.writers.items():
        parsed = parse_stage_tag(tag)
        if writer != run.name or parsed is None or parsed[0] not in earlier.made or earlier is run:
            continue
        late = shelf.when[tag] > earlier.made[parsed[0]] + GRACE + mood.lag
        if late and visible(run.commit, earlier.report[parsed[0]].record):
            yield f"G9: {run.name} publishes {tag[62:]} long after {earlier.name} has published the same"
