"""A cleanup amid runs that publish what it deletes: whatever the schedule of requests, the store stays valid."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineal.cleanup.retention import DAY, Tags, delete, plan_retention, recheck
from lineal.lock import NoLock
from tests.simulation.history import RUNS
from tests.simulation.registry import Client, Shelf
from tests.simulation.scenario import FIRST, GAPS, Inline, Run, Story
from tests.simulation.world import START, Actor, Mood, World

SCHEDULES = int(os.environ.get("LINEAL_SCHEDULES", "2000"))
KEEP = 30 * DAY


def clean(shelf: Shelf, actor: Actor) -> None:
    """What the command does, for a project that no branch wants."""
    store = Client(shelf, actor)
    tags = Tags.of(store.tags())
    since = int((START + shelf.world.time) * 1000) - KEEP
    plan = plan_retention(store, tags, tags.young(since), (), (), "shop", since, Inline())
    for one in recheck(store, tags, plan.deletions, Inline()):
        delete(store, one)
    shelf.world.tell(f"cleanup has deleted {len(plan.deletions)}")


def play(numbers: Sequence[int], mood: Mood) -> Story:
    world = World(numbers, Mood())
    story = Story(world, Shelf(world))
    commits = tuple(RUNS)[::-1]
    _alone(story, "first", world.choices.one(commits), 800)
    if world.choices.below(2):
        _alone(story, "second", world.choices.one(commits), 810)
    world.mood, world.time = mood, world.time + 40 * DAY / 1000
    cleaner = Actor(world, "cleanup", lambda actor: clean(story.shelf, actor))
    world.at(world.choices.one(GAPS), cleaner.resume)
    actors = [cleaner]
    for number in range(1 + world.choices.below(2)):
        actors.append(_begun(story, f"run {number}", world.choices.one(commits), number))
        world.at(world.choices.one(GAPS), actors[-1].resume)
    world.run()
    story.wrong += [f"{actor.name} fails: {actor.error!r}" for actor in actors if actor.error]
    _judge(story)
    return story


def _begun(story: Story, name: str, commit: str, digits: int) -> Actor:
    run = Run(name, commit)
    story.runs.append(run)
    return Actor(story.world, name, run.work(story.shelf, lambda _: NoLock(), [FIRST], digits))


def _alone(story: Story, name: str, commit: str, digits: int) -> Run:
    actor = _begun(story, name, commit, digits)
    actor.resume()
    story.world.run()
    if actor.error:
        story.wrong.append(f"{name} fails: {actor.error!r}")
    return story.runs[-1]


def _judge(story: Story) -> None:
    """What was published beside the cleanup is there, every tag leads to a whole stage, and each commit is built at
    most once more."""
    shelf, world = story.shelf, story.world
    during = [run for run in story.runs if run.name.startswith("run")]
    for run in during:
        for checksum in run.made:
            tag, digest = run.report[checksum].tag, run.report[checksum].digest
            if shelf.tags.get(tag) != digest:
                story.wrong.append(f"what {run.name} published is gone: {tag[62:]}")
    for tag, digest in shelf.tags.items():
        below = [digest, *shelf._below(shelf.manifests[digest])] if digest in shelf.manifests else [digest]
        if any(one not in shelf.manifests and one not in shelf.blobs for one in below):
            story.wrong.append(f"{tag[62:]} leads to nothing")
    world.mood, world.time = Mood(), world.time + 1000
    for number, commit in enumerate(sorted({run.commit for run in during})):
        first = _alone(story, f"late {number}", commit, 900 + number)
        again = _alone(story, f"later {number}", commit, 950 + number)
        if again.made or [one.digest for one in again.report.values()] != [
            one.digest for one in first.report.values()
        ]:
            story.wrong.append(f"{commit} is built again and again")
    # An anchor without its stage tag is none of G5's: the cleanup may take that while another run writes the anchor.
    story.wrong += [wrong for wrong in shelf.broken if "no stage tag" not in wrong]


@pytest.mark.hypothesis
@pytest.mark.parametrize("mood", [Mood(), Mood(hiccups=24, skew=7200)], ids=["quiet", "hanging runners"])
def test_every_schedule_ends_with_a_valid_store(mood: Mood) -> None:
    @given(st.binary(min_size=100, max_size=300))
    @settings(
        max_examples=max(10, SCHEDULES // 10), deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def schedules(numbers: Sequence[int]) -> None:
        story = play(numbers, mood)
        assert not story.wrong, str(story)

    schedules()
