"""Stages that are made while those that they are made of are still being published."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from lineal.build.stage_maker import StageMaker, Work
from lineal.dockerfile.stage import Stage
from lineal.engine import Command, CommandFailed, PushedLayer, Tree
from lineal.errors import BuildFailed, Interrupted, MissingContent, Unreachable
from lineal.oci import Store
from lineal.oci.image import read_image
from lineal.oci.types import Blob, Image, Layer, Manifest
from lineal.stages.candidate import Candidate
from lineal.store.layout import Layout
from lineal.store.record import image_digest
from lineal.store.tags import parse_stage_tag
from tests.unit.build.factory import Factory, PretendEngine
from tests.unit.stages.workbench import planned, stages

TEXT = "FROM base:base\nRUN one\nRUN two\nRUN three\n"
SECONDS = 60.0


class Gate:
    """Is asked before the tags of a stage are written, and does something there, once."""

    name = "gate"

    def __init__(self, stage: Stage, pass_: Callable[[], object]) -> None:
        self._checksum, self._pass, self._left = stage.checksum, pass_, [True]

    @contextmanager
    def hold(self, checksum: str) -> Iterator[bool]:
        if checksum == self._checksum and self._left:
            self._left.clear()
            self._pass()
        yield True


@pytest.fixture
def factory(tmp_path: Path) -> Factory:
    return Factory(tmp_path)


def app(text: str = TEXT) -> dict[str, Stage]:
    return {"app": planned(text, {"a": "a"})}


def stage(number: int, text: str = TEXT) -> Stage:
    return stages(app(text)["app"])[number]


def when(factory: Factory, words: str) -> threading.Event:
    """Set when this command runs."""
    begun = threading.Event()

    def then(command: Command) -> None:
        if command.argv[-1] == words:
            begun.set()

    factory.engine.then = then
    return begun


def after(begun: threading.Event) -> Callable[[], object]:
    def wait() -> None:
        assert begun.wait(SECONDS), "it waited for the publication of what it is made of"

    return wait


def elsewhere(factory: Factory, text: str) -> None:
    """Another run, on a machine of its own, publishes all of this."""
    other = Factory.__new__(Factory)
    other.__dict__.update(factory.__dict__)
    other.lock = type("Free", (), {"name": "none", "hold": staticmethod(_free)})()
    other.digits = 2
    other.engine = type(factory.engine)()
    other.engine.commands += [Command([], {}, "/", "")] * 10
    other.run(app(text))


@contextmanager
def _free(_checksum: str) -> Iterator[bool]:
    yield True


def published(factory: Factory) -> list[str]:
    """The checksums of the stage tags."""
    return [found[0] for tag in factory.store.tags() if (found := parse_stage_tag(tag))]


def layers_of(factory: Factory, last: Stage) -> list[str]:
    manifest = factory.store.manifest(last.checksum)
    assert manifest is not None
    return [layer.digest for layer in read_image(factory.store, image_digest(manifest), "linux/amd64").layers]


def test_a_stage_is_made_while_the_one_below_is_published(factory: Factory) -> None:
    factory.lock = Gate(stage(1), after(when(factory, "two")))
    factory.run(app())
    assert factory.outcomes() == ["built FROM base:base", "built RUN one", "built RUN two", "built RUN three"]


def test_a_stage_is_made_while_the_layer_below_is_uploaded(factory: Factory) -> None:
    begun, real = when(factory, "two"), factory.store.put_blob
    files: list[Path] = []

    def put_blob(blob: Blob) -> None:
        if isinstance(blob.content, Path) and "work" in blob.content.parts:
            files.append(blob.content)
            if len(files) > 1:
                after(begun)()
        real(blob)

    factory.store.put_blob = put_blob  # type: ignore[method-assign]
    factory.store.mount_blob = lambda *_: False  # type: ignore[method-assign]
    factory.run(app())
    assert len(published(factory)) == 4


def test_the_next_stage_is_claimed_while_the_anchor_below_is_written(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    below, last = stage(2), stage(3)
    made, claimed = threading.Event(), threading.Event()
    make, real = StageMaker.make, factory.store.try_tag

    def told(self: StageMaker, work: Work, output: Callable[[str], None]) -> None:
        make(self, work, output)
        if work.stage.checksum == last.checksum:
            made.set()

    def try_tag(manifest: Manifest, tag: str) -> bool:
        if tag.startswith(f"{below.checksum}-"):
            assert made.wait(SECONDS)
        if tag.startswith(f"{last.checksum}-"):
            assert below.checksum not in factory.store.tags()
            claimed.set()
        assert tag != below.checksum or claimed.wait(SECONDS), "it waited for the anchor of what it is made of"
        return real(manifest, tag)

    monkeypatch.setattr(StageMaker, "make", told)
    factory.store.try_tag = try_tag  # type: ignore[method-assign]
    factory.run(app())
    assert published(factory).count(last.checksum) == 1
    assert factory.outcomes() == ["built FROM base:base", "built RUN one", "built RUN two", "built RUN three"]


def test_what_is_made_of_a_stage_that_was_adopted_meanwhile_is_not_claimed(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "FROM base:base AS tool\nRUN one\nFROM base:base\nRUN two\nCOPY --from=tool /ran /ran\n"
    last = app(text)["app"]
    below, source = last.parent, last.sources["tool"]
    assert below is not None
    again, claims = threading.Event(), threading.Event()
    make, above, real = StageMaker.make, StageMaker._claim_above, factory.store.try_tag
    made: list[Stage] = []
    theirs = [True]

    def told(self: StageMaker, work: Work, output: Callable[[str], None]) -> None:
        if work.stage is last and made.count(last):
            again.set()
            assert claims.wait(SECONDS)
        make(self, work, output)
        made.append(work.stage)

    def claim_above(self: StageMaker, stage: Stage, claim: Candidate, pool: Executor) -> None:
        above(self, stage, claim, pool)
        if stage is below:
            claims.set()

    def try_tag(manifest: Manifest, tag: str) -> bool:
        if tag.startswith(f"{source.checksum}-") and theirs:
            theirs.clear()
            elsewhere(factory, "FROM base:base\nRUN one\n")
        assert not tag.startswith(below.checksum) or again.wait(SECONDS)
        return real(manifest, tag)

    monkeypatch.setattr(StageMaker, "make", told)
    monkeypatch.setattr(StageMaker, "_claim_above", claim_above)
    factory.store.try_tag = try_tag  # type: ignore[method-assign]
    factory.run({"app": last})
    assert made.count(last) == 2 and published(factory).count(last.checksum) == 1


def test_a_copy_reads_what_is_not_published_yet(factory: Factory) -> None:
    text = "FROM base:base AS tool\nRUN one\nFROM base:base\nCOPY --from=tool /ran /ran\nRUN two\n"
    factory.lock = Gate(stages(app(text)["app"])[1].sources["tool"], after(when(factory, "two")))
    factory.run(app(text))
    assert set(factory.ran()) == {"one", "two"}


def test_what_an_image_needs_is_published_before(factory: Factory) -> None:
    base = planned("FROM base:base\nRUN base\n", name="base")
    last = planned("FROM base:base\nARG BASE\nRUN app $BASE\n", needs={"BASE": ("base", base)})
    seen: list[list[str]] = []
    factory.engine.then = lambda _: seen.append(published(factory))
    factory.run({"app": last, "base": base})
    assert base.checksum in seen[1]


def test_no_tag_is_written_before_that_of_the_stage_below(factory: Factory) -> None:
    written: list[str] = []
    real = factory.store.try_tag

    def try_tag(manifest: Manifest, tag: str) -> bool:
        written.append(tag.partition("-")[0])
        return real(manifest, tag)

    factory.store.try_tag = try_tag  # type: ignore[method-assign]
    factory.run(app(), jobs=4)
    assert list(dict.fromkeys(written)) == [one.checksum for one in stages(app()["app"])]


def test_what_was_made_of_a_loser_is_made_again(factory: Factory) -> None:
    three = when(factory, "three")

    def others() -> None:
        after(three)()
        elsewhere(factory, "FROM base:base\nRUN one\n")

    factory.lock = Gate(stage(1), others)
    factory.run(app())
    assert factory.reports[stage(1).checksum].outcome == "adopted"
    assert factory.ran() == ["one", "two", "three", "two", "three"]
    chain = [layers_of(factory, one) for one in stages(app()["app"])]
    assert all(above[: len(below)] == below for below, above in pairwise(chain))
    assert [note for note in factory.told.notes if "RUN two is made again" in note]
    assert "failed" not in [outcome for _, outcome in factory.told.ended]


def test_a_stage_that_another_run_made_bit_for_bit_alike_costs_nothing(factory: Factory) -> None:
    text = "FROM base:base\nCOPY a /\nRUN two\n"
    begun = when(factory, "two")

    def others() -> None:
        after(begun)()
        elsewhere(factory, "FROM base:base\nCOPY a /\n")

    factory.lock = Gate(stage(1, text), others)
    factory.run(app(text))
    assert factory.reports[stage(1, text).checksum].outcome == "adopted"
    assert factory.ran() == ["two"]


def test_a_command_that_fails_on_a_loser_is_tried_on_the_winner(factory: Factory) -> None:
    begun = threading.Event()

    def then(command: Command) -> None:
        if command.argv[-1] == "two" and not begun.is_set():
            begun.set()
            raise CommandFailed(1)

    factory.engine.then = then

    def others() -> None:
        after(begun)()
        elsewhere(factory, "FROM base:base\nRUN one\n")

    factory.lock = Gate(stage(1), others)
    factory.run(app())
    assert factory.ran() == ["one", "two", "two", "three"]


def test_a_command_that_fails_ends_the_run_when_the_stages_before_it_are_published(factory: Factory) -> None:
    begun = threading.Event()

    def then(command: Command) -> None:
        if command.argv[-1] == "two":
            begun.set()
            raise CommandFailed(1)

    factory.engine.then = then
    factory.lock = Gate(stage(1), after(begun))
    with pytest.raises(BuildFailed):
        factory.run(app())
    assert set(published(factory)) == {stage(0).checksum, stage(1).checksum}
    assert factory.outcomes() == ["built FROM base:base", "built RUN one", "failed RUN two"]


def test_an_interrupted_run_publishes_what_is_made(factory: Factory) -> None:
    begun = threading.Event()

    def then(command: Command) -> None:
        if command.argv[-1] == "two":
            begun.set()
            raise Interrupted("SIGTERM.")

    factory.engine.then = then
    factory.lock = Gate(stage(1), after(begun))
    with pytest.raises(Interrupted):
        factory.run(app())
    assert set(published(factory)) == {stage(0).checksum, stage(1).checksum}


def test_an_upload_that_fails_ends_the_run_and_nothing_is_published_on_top_of_it(factory: Factory) -> None:
    begun, real = when(factory, "two"), factory.store.put_manifest

    def put_manifest(manifest: Manifest, tag: str | None = None) -> None:
        layers = manifest.json.get("layers", ())
        if len(layers) == 2 and all(".image.layer." in one["mediaType"] for one in layers):
            after(begun)()
            raise Unreachable("The registry is down.", id="LN-4001")
        real(manifest, tag)

    factory.store.put_manifest = put_manifest  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="The registry is down"):
        factory.run(app())
    assert published(factory) == [stage(0).checksum]
    failed = [found for found in factory.outcomes() if found.startswith("failed")]
    assert failed[0] == "failed RUN one"
    ended = [name for name, _ in factory.told.ended]
    assert sorted(ended) == sorted(set(factory.told.begun)), "each stage that has begun ends once"


def test_what_is_on_its_way_ends_with_the_run(factory: Factory) -> None:
    factory.run(app())
    assert not list((factory.folder / "work").glob("outgoing/*"))


class PushingEngine(PretendEngine):
    """One that brings its layers to the store itself, by `push`, and shows them as long as it `has` them."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._pool, self.looks = ThreadPoolExecutor(4), False
        self.push: Callable[[Blob], None] = store.put_blob
        self.has, self.reads = True, 0

    def run(
        self, parent: Image, store: Store, command: Command, output: Callable[[str], None], workspace: Path
    ) -> Layer | PushedLayer:
        made = super().run(parent, store, command, output, workspace)
        assert isinstance(made, Layer)
        data = made.path.read_bytes()

        def read() -> Iterator[bytes]:
            if not self.has:
                raise Unreachable("It is gone.", id="LN-5028")
            self.reads += 1
            yield data

        arrival = self._pool.submit(lambda: self.push(Blob.of(data)))
        tree = Tree({"": (0o755, 0, 0), "ran": (0o755, 0, 0)}, {})
        return PushedLayer(made.descriptor(), made.diff_id, tree, arrival, read)


@pytest.fixture
def pushing(factory: Factory) -> PushingEngine:
    factory.engine = made = PushingEngine(factory.store)
    return made


def test_a_stage_is_made_while_the_engine_brings_the_layer_below(factory: Factory, pushing: PushingEngine) -> None:
    begun = when(factory, "three")

    def push(blob: Blob) -> None:
        after(begun)()
        assert [one for one in published(factory) if one != stage(0).checksum] == []
        factory.store.put_blob(blob)

    pushing.push = push
    factory.run(app(), jobs=4)
    assert len(published(factory)) == 4


def test_what_the_engine_brings_is_read_from_there_as_long_as_it_has_it(
    factory: Factory, pushing: PushingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def blob(digest: str) -> Iterator[bytes]:
        read.append(digest)
        return Layout.blob(factory.store, digest)

    monkeypatch.setattr(factory.store, "blob", blob)
    text = "FROM base:base AS tool\nRUN one\nFROM base:base\nCOPY --from=tool /ran /ran\n"
    factory.run(app(text))
    layer = layers_of(factory, stages(app(text)["app"])[1].sources["tool"])[-1]
    assert pushing.reads == 1 and layer not in read
    pushing.has = False
    text = text.replace("RUN one", "RUN two")
    factory.run(app(text))
    layer = layers_of(factory, stages(app(text)["app"])[1].sources["tool"])[-1]
    assert pushing.reads == 1 and layer in read


def test_what_an_engine_lost_on_its_way_is_made_once_more(factory: Factory, pushing: PushingEngine) -> None:
    lost: list[str] = []

    def push(blob: Blob) -> None:
        if len(lost) < most:
            lost.append(blob.digest)
            raise MissingContent(blob.digest, "the store")
        factory.store.put_blob(blob)

    pushing.push, most = push, 1
    factory.run(app())
    assert factory.ran().count("one") == 2 and len(published(factory)) == 4
    assert [text for text in factory.told.warnings if re.search("RUN one is made, but .* did not reach", text)]
    pushing.push, most = push, 3
    with pytest.raises(MissingContent):
        factory.run(app("FROM base:base\nRUN four\n"))
    assert factory.ran().count("four") == 2


def test_what_is_being_made_again_is_not_claimed_as_it_was(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made again because of a stage that another run has published, though what lies between is as it was."""
    text = "FROM base:base AS tool\nRUN one\nFROM base:base\nCOPY --from=tool /etc /kept\nRUN two\n"
    last = app(text)["app"]
    below = last.parent
    assert below is not None
    source = below.sources["tool"]
    twice, claims = threading.Event(), threading.Event()
    above, real = StageMaker._claim_above, factory.store.try_tag
    made: list[Stage] = []
    make = StageMaker.make

    def told(self: StageMaker, work: Work, output: Callable[[str], None]) -> None:
        make(self, work, output)
        made.append(work.stage)
        if work.stage is last:
            twice.set()

    def claim_above(self: StageMaker, stage: Stage, claim: Candidate, pool: Executor) -> None:
        above(self, stage, claim, pool)
        if stage is below:
            claims.set()

    def then(command: Command) -> None:
        if command.argv[-1] == "two" and twice.is_set():
            assert claims.wait(SECONDS)

    theirs = [True]

    def try_tag(manifest: Manifest, tag: str) -> bool:
        if tag.startswith(f"{source.checksum}-") and theirs:
            theirs.clear()
            assert twice.wait(SECONDS)
            elsewhere(factory, "FROM base:base\nRUN one\n")
        return real(manifest, tag)

    factory.engine.then = then
    monkeypatch.setattr(StageMaker, "make", told)
    monkeypatch.setattr(StageMaker, "_claim_above", claim_above)
    factory.store.try_tag = try_tag  # type: ignore[method-assign]
    factory.run({"app": last})
    assert made.count(below) == made.count(last) == 2
    assert published(factory).count(last.checksum) == 1
    assert factory.reports[last.checksum].outcome == "built"
