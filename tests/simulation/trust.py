"""Runs with the key of protected pipelines beside runs without it and adversaries: what must be true all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lineal.lock import NoLock
from lineal.stages.lane import CLOSED, OPEN
from tests.simulation.adversary import Adversary
from tests.simulation.history import RUNS, visible
from tests.simulation.registry import Shelf
from tests.simulation.scenario import GAPS, SHAPES, Node, Run, Story, _differences, _doubled, _rebuilt
from tests.simulation.world import Actor, Mood, World


def play(
    numbers: Sequence[int], mood: Mood, *, immutable: bool, adversary: bool, opened: bool, signed: bool = False
) -> Story:
    """`opened`: some runs have no key; `signed`: it is one to sign with. Then one undisturbed run with the key of
    each commit."""
    world = World(numbers, mood)
    story = Story(world, Shelf(world, immutable))
    stages = world.choices.one(SHAPES[:3])
    actors, begins = [], 0.0
    for number in range(1 + world.choices.below(4)):
        run = Run(f"run {number}", world.choices.one(tuple(RUNS)[::-1]))
        run.keyed = not opened or world.choices.below(2) == 0
        run.lane, run.signs = CLOSED if run.keyed else OPEN, signed
        begins += world.choices.one(GAPS)
        work = run.work(story.shelf, lambda _: NoLock(), stages, world.choices.below(50) * 20 + number)
        actors.append(Actor(world, run.name, work))
        world.at(begins, actors[-1].resume)
        story.runs.append(run)
    if adversary:
        for number in range(1 + world.choices.below(2)):
            sums = [stage.checksum for stage in stages]
            stranger = Adversary(story.shelf, sums, destroys=not immutable, signed=signed)
            evil = Actor(world, f"evil {number}", stranger.work)
            world.at(world.choices.one(GAPS), evil.resume)
    world.run()
    for run, actor in zip(story.runs, actors, strict=True):
        # What a stranger does to runs that believe everybody is known.
        if actor.error and not mood.losses and (run.keyed or not adversary):
            story.wrong.append(f"{run.name} fails: {actor.error!r}")
    _afterwards(story, stages)
    # What is signed may be published again, under another time.
    story.wrong += _judge(story, mood, steady=(immutable and not signed) or not adversary)
    return story


def _afterwards(story: Story, stages: Sequence[Node]) -> None:
    world = story.world
    world.mood, world.time = Mood(), world.time + 1000
    for number, commit in enumerate(sorted({run.commit for run in story.runs})):
        run = Run(f"late {number}", commit, keyed=True, signs=story.runs[0].signs)
        actor = Actor(world, run.name, run.work(story.shelf, lambda _: NoLock(), stages, 900 + number))
        actor.resume()
        world.run()
        if actor.error:
            story.wrong.append(f"{run.name} fails: {actor.error!r}")
        story.runs.append(run)


def _judge(story: Story, mood: Mood, *, steady: bool) -> Iterator[str]:
    """`steady`: no tag moves or is deleted, so runs with the key keep all promises among each other."""
    vouched = {one for run in story.runs for one in run.vouched}
    keyed = [run for run in story.runs if run.keyed]
    for run in keyed:
        for candidate in run.report.values():
            if run.identity(candidate.index) not in vouched:
                yield f"G10: {run.name} uses {candidate.tag[62:]}, which no run with the key has published"
            elif not visible(run.commit, candidate.record):
                yield f"G3: {run.name} uses {candidate.tag[62:]} of another line"
    names = {run.name for run in keyed}
    for writer, tag, digest in story.shelf.written:
        if writer in names and story.runs[0].identity(story.shelf.manifests[digest]) not in vouched:
            yield f"G10: {writer} points {tag[62:]} at a stage that no run with the key has published"
    if not steady:
        return
    yield from story.shelf.broken
    ended = [run for run in keyed if run.ended is not None]
    for run in ended:
        yield from _differences(run, [other for other in ended if other.commit == run.commit])
        for earlier in ended:
            yield from _rebuilt(run, earlier, mood)
            yield from _doubled(story.shelf, run, earlier, mood)
    yield from _among_open([run for run in story.runs if not run.keyed and run.ended is not None], vouched)


def _among_open(ended: Sequence[Run], vouched: set[str]) -> Iterator[str]:
    """Runs without the key agree, too, but for what a run with the key publishes in between."""

    for run in ended:
        for other in (one for one in ended if one.commit == run.commit):
            for checksum, found in run.report.items():
                theirs = other.report[checksum]
                own = {run.identity(one.index) for one in (found, theirs)}.isdisjoint(vouched)
                if own and theirs.digest != found.digest:
                    yield f"G4: {run.name} reports {found.tag[62:]}, {other.name} {theirs.tag[62:]}"
