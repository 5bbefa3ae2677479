"""Pipelines that move one tag: the real code over two modelled registries, and what must be true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lineal.oci.image import encode
from lineal.oci.types import OCI_MANIFEST, Manifest
from lineal.publish.moving_tag import Move, MovingTags
from lineal.stages.lookup import GRACE
from tests.simulation.history import COMMITS, Past, line, past
from tests.simulation.registry import Client, Shelf
from tests.simulation.scenario import GAPS
from tests.simulation.world import READ, Actor, Mood, World

TAG = "latest"
CHAIN = {"0": "A", "b": "B", "c": "A", "d": "D"}
"""A line of history, with the content of its finished image; the third commit restores that of the first."""
Shape = Literal["line", "branches", "pushes"]
SHAPES: tuple[Shape, ...] = ("line", "branches", "pushes")
"""Which commits the pipelines build: those of one line, of several, or what is pushed by force to a branch."""
HALT = (0.0, 0.0, 0.1, 2.0, 30.0)


def image(content: str) -> Manifest:
    return Manifest(encode({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "annotations": {"content": content}}),
                    OCI_MANIFEST)  # fmt: skip


def content(commit: str, shape: Shape) -> str:
    return CHAIN[commit] if shape == "line" else COMMITS[commit].tree


class Final(Shelf):
    """A final repository, where tags may move."""

    moves: list[tuple[float, str, str]]
    """When a tag moved, and to which digest, by which run."""

    def tag(self, manifest: Manifest, tag: str, writer: str) -> None:
        self.manifests[manifest.digest] = manifest
        if self.tags.get(tag) != manifest.digest:
            self.moves.append((self.world.time, manifest.digest, writer))
        self.tags[tag] = manifest.digest


class FinalClient(Client):
    def __init__(self, shelf: Shelf, actor: Actor) -> None:
        super().__init__(shelf, actor)
        self.address = "registry.test/final"


@dataclass
class Pipeline:
    """One run of a commit, and what it said of the tag in the end."""

    name: str
    commit: str
    digest: str
    ended: float | None = None
    move: Move | None = None

    @property
    def holds(self) -> bool:
        """Whether it says that the tag is at its commit."""
        return self.move is not None and self.move.outcome != "left" and not self.move.reason

    def work(self, story: Story, wanted: Manifest, digits: int) -> Callable[[Actor], None]:
        def work(actor: Actor) -> None:
            actor.wait(actor.world.choices.one(HALT))

            def is_head() -> bool:
                return (
                    actor.request("asks the forge", READ, lambda: story.pushes[-1:] and story.pushes[-1][1])
                    == self.commit
                )

            here = line(self.commit)
            if story.shape == "pushes":
                here = replace(here, branch="work")
            tags = MovingTags(
                Client(story.store, actor), here, Past(self.commit), time=actor.time, digits=digits, is_head=is_head
            )
            there = FinalClient(story.final, actor)
            there.put_manifest(wanted)
            self.move = tags.move(there, TAG, wanted)
            self.ended = actor.world.time
            actor.world.tell(f"{self.name} says {self.move.outcome} {self.move.reason}")

        return work


@dataclass
class Story:
    world: World
    store: Shelf
    final: Final
    shape: Shape
    pushes: list[tuple[float, str]] = field(default_factory=list)
    """When the branch got another head, and which."""
    pipelines: list[Pipeline] = field(default_factory=list)
    actors: list[Actor] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        runs = [f"{one.name} builds {one.commit}, image {one.digest[-9:]}" for one in self.pipelines]
        return "\n".join([*self.wrong, "", *runs, *self.world.story])

    def begin(self, commit: str, digits: int, after: float = 0.0) -> None:
        wanted = image(content(commit, self.shape))
        one = Pipeline(f"run {len(self.pipelines)}", commit, wanted.digest)
        actor = Actor(self.world, one.name, one.work(self, wanted, digits))
        self.pipelines.append(one)
        self.actors.append(actor)
        self.world.at(after, lambda: self.pushes.append((self.world.time, commit)))
        self.world.at(after, actor.resume)

    def is_forward(self, before: str, after: str, time: float) -> bool:
        """Whether the tag may go from one commit to the other at this time."""
        if before in past(after):
            return True
        if self.shape != "pushes":
            return False
        until = [*(when for when, _ in self.pushes[1:]), float("inf")]
        return any(
            commit == after and end >= time - GRACE for (_, commit), end in zip(self.pushes, until, strict=True)
        )

    def newest(self, pipelines: Sequence[Pipeline]) -> str | None:
        """The commit that all others are ancestors of, if there is one; or the last one that was pushed, unless that
        only took others back: a slow pipeline of those goes forward."""
        commits = [one.commit for one in pipelines]
        if self.shape == "pushes":
            last = commits[-1]
            return None if any(last in past(other) for other in commits if other != last) else last
        return next((one for one in commits if all(other in past(one) for other in commits)), None)

    def points_at(self, commit: str) -> bool:
        return self.final.tags.get(TAG) == image(content(commit, self.shape)).digest


def play(numbers: Sequence[int], mood: Mood, shape: Shape = "line") -> Story:
    """Several pipelines that meet, of one line of history or of several; then one undisturbed of each commit."""
    world = World(numbers, mood)
    final = Final(world)
    final.moves = []
    story = Story(world, Shelf(world), final, shape)
    commits = tuple(CHAIN if shape == "line" else COMMITS)
    if world.choices.below(2):
        world.mood = Mood()
        story.begin("0", 999)
        world.run()
        world.mood, world.time = mood, world.time + world.choices.one((0.0, 10.0, 1000.0))
    begins = 0.0
    for number in range(2 + world.choices.below(4)):
        begins += world.choices.one(GAPS)
        story.begin(world.choices.one(commits[::-1]), world.choices.below(50) * 20 + number, begins)
    world.run()
    for actor in story.actors:
        if actor.error and not mood.losses:
            story.wrong.append(f"{actor.name} fails: {actor.error!r}")
    _judge_end(story)
    _afterwards(story)
    _judge_moves(story)
    story.wrong += [wrong for wrong in story.store.broken if "no stage tag" not in wrong]
    return story


def _afterwards(story: Story) -> None:
    """Whatever was killed: undisturbed pipelines of the same commits, whatever their order, leave the tag at the
    newest."""
    world = story.world
    world.mood, world.time = Mood(), world.time + 1000
    commits = sorted({one.commit for one in story.pipelines}, key=lambda commit: -len(past(commit)))
    for number, commit in enumerate([*commits, *commits]):
        story.begin(commit, 900 + number)
        world.run()
        if story.actors[-1].error:
            story.wrong.append(f"undisturbed, {commit} fails: {story.actors[-1].error!r}")
    newest = story.newest(story.pipelines)
    if newest is not None and not story.points_at(newest):
        story.wrong.append(f"undisturbed runs do not leave the tag at {newest}")


def _judge_end(story: Story) -> None:
    """What holds when all runs have ended."""
    ended = [one for one in story.pipelines if one.ended is not None]
    if len(ended) == len(story.pipelines):
        newest = story.newest(story.pipelines)
        if newest is not None and not story.points_at(newest):
            story.wrong.append(f"the tag does not point at the image of {newest}")
        if TAG not in story.final.tags:
            story.wrong.append("no run wrote the tag")
    if story.shape != "pushes":
        for one in (one for one in ended if one.holds):
            if not any(
                one.commit in past(other.commit) and story.points_at(other.commit) for other in story.pipelines
            ):
                story.wrong.append(f"{one.name} says that the tag is at {one.commit}, and it is behind")


def _judge_moves(story: Story) -> None:
    """No step of the tag goes back, or aside."""
    by_name = {one.name: one for one in story.pipelines}
    earlier: str | None = None
    at: str | None = None
    for time, digest, writer in story.final.moves:
        commit = by_name[writer].commit
        if earlier is not None and not story.is_forward(earlier, commit, time):
            story.wrong.append(f"G11: {writer} moves the tag from {earlier} to {commit}")
        for one in story.pipelines:
            held = one.holds and one.digest == at and one.ended is not None and one.ended < time
            if held and not story.is_forward(one.commit, commit, time):
                story.wrong.append(f"G11: {writer} ({commit}) moves the tag that {one.name} left at {one.commit}")
        earlier, at = commit, digest
