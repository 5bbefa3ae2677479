"""From the graph to published images: order, concurrency, failure, and what is built again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lineal.build.stage_maker import StageMaker, Work
from lineal.dockerfile.stage import Stage
from lineal.engine import Command, CommandFailed
from lineal.errors import BuildFailed, Interrupted, LinealError, Location, Unreachable
from lineal.oci.image import read_image
from lineal.oci.types import Blob, Manifest
from lineal.stages.eligibility import Eligibility
from lineal.stages.lookup import Lookup
from lineal.stages.plan import expect, resolve, title
from lineal.stages.visibility import HistoryPosition
from lineal.store.layout import Layout
from lineal.store.record import CONSTANT, constants, image_digest, record_digest, record_manifest
from lineal.store.tags import stage_tag
from tests.unit.build.factory import Factory
from tests.unit.stages.workbench import HERE, Files, MemoryStore, Says, oid, parts, planned, put, record, stages

FILES: Files = {"a": "a", "b": "b"}
APP = "FROM base:base\nRUN one\nCOPY a /\nRUN two\nCMD x\n"


@pytest.fixture
def factory(tmp_path: Path) -> Factory:
    return Factory(tmp_path)


def app(text: str = APP, files: Files = FILES, name: str = "app") -> dict[str, Stage]:
    return {name: planned(text, files, name=name)}


def test_what_every_record_needs_is_not_sent_where_a_record_was_read(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory.run(app())
    sent: list[str] = []

    def put_blob(blob: Blob) -> None:
        sent.append(blob.digest)
        Layout.put_blob(factory.store, blob)

    monkeypatch.setattr(factory.store, "put_blob", put_blob)
    factory.run(app(APP.replace("two", "three")))
    assert sent and not CONSTANT.intersection(sent)


def test_the_manifest_of_what_is_built_on_is_asked_for_once(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = factory.run(app())
    asked: list[str] = []

    def manifest(reference: str) -> Manifest | None:
        asked.append(reference)
        return Layout.manifest(factory.store, reference)

    def digest(reference: str) -> str | None:
        asked.append(reference)
        return Layout.digest(factory.store, reference)

    monkeypatch.setattr(factory.store, "manifest", manifest)
    monkeypatch.setattr(factory.store, "digest", digest)
    factory.run(app(APP.replace("two", "three")))
    below = first.candidate(stages(app()["app"])[2])
    assert below is not None
    assert asked.count(image_digest(below.index)) == 1


# --- what is asked and what is needed ---------------------------------------------------------------------------


def lookup(store: MemoryStore, history: Says | None = None) -> Lookup:
    return Lookup(store, Eligibility(store, HERE, history or Says()))


def test_when_the_last_stage_is_there_nothing_else_is_asked() -> None:
    store, image = MemoryStore(), app()
    put(store, record(checksum=image["app"].checksum), anchor=True)
    store.asked.clear()
    assert resolve(parts(image), lookup(store)).needed == ()
    assert len(store.asked) == 2


def test_what_is_missing_is_built_from_the_deepest_visible_ancestor_on() -> None:
    store, image = MemoryStore(), app()
    chain = stages(image["app"])
    put(store, record(checksum=chain[2].checksum), anchor=True)
    assert list(resolve(parts(image), lookup(store)).needed) == chain[3:]


def test_a_hidden_stage_costs_one_rebuild_and_no_cascade() -> None:
    store, image = MemoryStore(), app()
    chain = stages(image["app"])
    for number, stage in enumerate(chain[:-1]):
        commit = oid("b") if number == 1 else oid("c")
        put(store, record(commit, checksum=stage.checksum), stage.checksum, anchor=True)
    assert list(resolve(parts(image), lookup(store)).needed) == chain[-1:]


def test_what_nothing_missing_needs_is_not_built() -> None:
    store = MemoryStore()
    text = "FROM b:1 AS tool\nRUN tool\nFROM b:2\nCOPY --from=tool /x /x\nRUN last\n"
    image = app(text)
    chain = stages(image["app"])
    put(store, record(checksum=chain[1].checksum), anchor=True)
    assert list(resolve(parts(image), lookup(store)).needed) == chain[2:]


def test_other_work_is_done_while_the_store_is_asked_for_what_is_missing() -> None:
    done, asked = threading.Event(), list[str]()

    def before(what: str) -> None:
        asked.append(what)
        assert len(asked) == 1 or done.wait(60)

    assert len(resolve(parts(app()), lookup(MemoryStore(before=before)), meanwhile=done.set).needed) == 5
    assert len(asked) == 5


def test_what_a_missing_image_is_made_of_is_asked_for_beside_the_other_images() -> None:
    store, image = MemoryStore(), app()
    chain = stages(image["app"])
    other = app("FROM other:base\nRUN one\n", name="other")
    put(store, record(checksum=chain[2].checksum), anchor=True)
    put(store, record(checksum=other["other"].checksum), "other", anchor=True)
    heard = threading.Event()

    def before(_: str) -> None:
        if store.asked[-1] == f"manifest {chain[0].checksum}":
            heard.set()
        if store.asked[-1] == f"manifest {other['other'].checksum}":
            assert heard.wait(60)

    store.asked.clear()
    store.before = before
    both = {**image, **other}
    looking = lookup(store)
    expect(both.values(), looking)
    assert list(resolve(parts(both), looking).needed) == chain[3:]
    assert [store.asked.count(f"manifest {stage.checksum}") for stage in chain] == [1] * 5


class Slow(MemoryStore):
    """Gives some of its manifests when that is allowed."""

    def __init__(self, store: MemoryStore, waits: Callable[[str], bool]) -> None:
        super().__init__()
        self.manifests, self.tagged = store.manifests, store.tagged
        self.waits, self.allowed = waits, threading.Event()

    def manifest(self, reference: str) -> Manifest | None:
        assert not self.waits(reference) or self.allowed.wait(60)
        return super().manifest(reference)


def test_of_few_stages_nobody_waits_for_those_below_the_first_that_is_there() -> None:
    store, image = MemoryStore(), app()
    chain = stages(image["app"])
    put(store, record(checksum=chain[2].checksum), anchor=True)
    slow = Slow(store, lambda reference: reference == chain[0].checksum)
    assert list(resolve(parts(image), lookup(slow)).needed) == chain[3:]
    slow.allowed.set()


def test_what_is_built_on_is_read_with_its_record_while_other_work_is_done() -> None:
    store, image = MemoryStore(), app()
    stage = stages(image["app"])[2]
    put(store, record(checksum=stage.checksum), anchor=True)
    told = record_digest(store.manifests[store.tagged[stage.checksum]])
    assert resolve(parts(image), lookup(store)).needed
    assert f"manifest {told}" not in store.asked, "a plan reads no record"

    slow = Slow(store, lambda reference: reference.startswith("sha256:"))
    found = resolve(parts(image), lookup(slow), reading=slow.allowed.set).candidate(stage)
    assert found is not None and found.image is not None and found.document is not None
    assert (found.image.digest, found.document.digest) == (image_digest(found.index), told)


def test_work_that_waits_for_something_to_be_read_is_done_where_nothing_is_there() -> None:
    done: list[str] = []
    resolve(parts(app()), lookup(MemoryStore()), reading=lambda: done.append("done"))
    assert done == ["done"]


def test_what_many_are_made_of_is_not_asked_for_before_a_list_tells() -> None:
    store, image = Listing(), app(MANY)
    looking = lookup(store)
    expect(image.values(), looking)
    assert list(resolve(parts(image), looking).needed) == stages(image["app"])
    assert store.asked == [f"manifest {image['app'].checksum}", "tags"]


class Listing(MemoryStore):
    """One request gives all its tags."""

    def whole_list(self) -> list[str]:
        return self.tags()


MANY = "FROM base:base\n" + "".join(f"RUN {number}\n" for number in range(12))


def test_of_many_stages_only_those_are_asked_for_that_a_list_has_and_that_are_built_on() -> None:
    store, image = Listing(), app(MANY)
    chain = stages(image["app"])
    assert list(resolve(parts(image), lookup(store)).needed) == chain
    assert store.asked == [f"manifest {chain[-1].checksum}", "tags"]
    for stage in chain[:-1]:
        put(store, record(checksum=stage.checksum), stage.checksum, anchor=True)
        store.asked.clear()
        below = chain.index(stage)
        assert list(resolve(parts(image), lookup(store)).needed) == chain[below + 1 :]
        manifest = image_digest(store.manifests[store.tagged[stage.checksum]])
        expected = [chain[-1].checksum, "", stage.checksum, manifest]
        assert [what.partition(" ")[2] for what in store.asked] == expected


def test_a_hidden_stage_among_many_costs_one_rebuild_and_no_cascade() -> None:
    store, image = Listing(), app(MANY)
    chain = stages(image["app"])
    for number, stage in enumerate(chain[:9]):
        commit = oid("b") if number == 8 else oid("c")
        put(store, record(commit, checksum=stage.checksum), stage.checksum, anchor=True)
    assert list(resolve(parts(image), lookup(store)).needed) == chain[8:]


# --- building ---------------------------------------------------------------------------------------------------


def test_all_is_built_once_published_at_once_and_found_the_next_time(factory: Factory) -> None:
    first = factory.run(app())
    assert factory.outcomes() == [
        "built FROM base:base", "built RUN one", "assembled COPY a /", "built RUN two", "assembled CMD x",
    ]  # fmt: skip
    assert first.missing() == []
    again = factory.run(app())
    assert factory.outcomes() == [] and len(factory.engine.commands) == 2
    last = app()["app"]
    candidates = [result.candidate(last) for result in (first, again)]
    assert candidates[0] is not None and candidates[1] is not None
    assert candidates[0].digest == candidates[1].digest
    assert len(candidates[1].record.durations) == 5 and all(candidates[1].record.durations)
    image = read_image(factory.store, image_digest(candidates[0].index), "linux/amd64")
    assert len(image.layers) == 4
    assert image.config_json["config"]["Cmd"] == ["/bin/sh", "-c", "x"]


def test_the_record_of_the_next_stage_is_sent_before_it_is_known_that_this_one_counts(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, run, last = stages(app()["app"])
    made, claimed, sent, records = threading.Event(), threading.Event(), threading.Event(), list[str]()
    make = StageMaker.make

    def told(self: StageMaker, work: Work, output: Callable[[str], None]) -> None:
        make(self, work, output)
        if work.stage.checksum == last.checksum:
            made.set()

    def try_tag(manifest: Manifest, tag: str) -> bool:
        if tag.startswith(f"{run.checksum}-"):
            assert made.wait(60)
            records.clear()
            claimed.set()
        assert tag != run.checksum or sent.wait(60)
        return Layout.try_tag(factory.store, manifest, tag)

    def put_manifest(manifest: Manifest, tag: str | None = None) -> None:
        Layout.put_manifest(factory.store, manifest, tag)
        if constants(manifest):
            records.append(manifest.digest)
            sent.set() if claimed.is_set() else None

    monkeypatch.setattr(StageMaker, "make", told)
    monkeypatch.setattr(factory.store, "try_tag", try_tag)
    monkeypatch.setattr(factory.store, "put_manifest", put_manifest)
    published = factory.run(app()).candidate(last)
    assert published is not None
    assert records == [record_manifest(factory.store, published.index).digest]


def test_the_base_is_asked_for_once_and_never_again(factory: Factory) -> None:
    factory.run(app())
    factory.run(app(APP + "LABEL a=b\n"))
    assert factory.asked_for == ["base:base"]


def test_a_later_change_starts_where_it_is(factory: Factory) -> None:
    factory.run(app())
    factory.run(app(APP, {**FILES, "a": "changed"}))
    assert factory.outcomes() == ["assembled COPY a /", "built RUN two", "assembled CMD x"]
    assert factory.ran() == ["one", "two", "two"]


def test_two_images_share_what_is_equal(factory: Factory) -> None:
    factory.run({**app(name="one"), **app(name="two")})
    assert factory.ran() == ["one", "two"]


def test_an_image_waits_for_the_one_it_needs_and_gets_its_reference(factory: Factory) -> None:
    base = planned("FROM base:base\nRUN base\n", name="base")
    text = "FROM base:base\nARG BASE\nENV B=$BASE\nRUN app $BASE\n"
    last = planned(text, needs={"BASE": ("base", base)})
    result = factory.run({"app": last, "base": base})
    needed = result.candidate(base)
    assert needed is not None
    assert factory.engine.commands[-1].env["B"] == f"{factory.store.address}:{needed.tag}@{needed.digest}"
    assert factory.ran() == ["base", "app $BASE"]


INDEPENDENT = """FROM base:base AS one
RUN one
FROM base:base AS two
RUN two
FROM base:base
COPY --from=one /ran /1
COPY --from=two /ran /2
"""


def test_independent_stages_run_at_the_same_time(factory: Factory) -> None:
    meeting = threading.Barrier(2)
    factory.engine.then = lambda _: print(meeting.wait(300))
    factory.run(app(INDEPENDENT), jobs=2)
    assert factory.engine.most == 2


def test_one_job_is_one_stage_at_a_time(factory: Factory) -> None:
    factory.run(app(INDEPENDENT), jobs=1)
    assert factory.engine.most == 1
    assert sorted(factory.ran()) == ["one", "two"]


def test_every_stage_begins_after_what_it_is_made_of(factory: Factory) -> None:
    factory.run(app(INDEPENDENT), jobs=4)
    begun = [name.split(" ", 1)[1] for name in factory.told.begun]
    assert begun[-2:] == ["COPY --from=one /ran /1", "COPY --from=two /ran /2"]
    assert begun[0].startswith("FROM base:base")
    assert [name for name, outcome in factory.told.ended if outcome == "failed"] == []


# --- failure ----------------------------------------------------------------------------------------------------


def failing(factory: Factory, words: str) -> None:
    def then(command: Command) -> None:
        if command.argv[-1] == words:
            raise CommandFailed(7)

    factory.engine.then = then


def test_the_first_failure_names_the_line_and_earlier_stages_stay(factory: Factory) -> None:
    failing(factory, "two")
    with pytest.raises(BuildFailed) as failed:
        factory.run(app(APP + "RUN three\n"))
    assert failed.value.place == Location("Dockerfile", 4)
    assert "status 7" in str(failed.value)
    assert "three" not in factory.ran()
    assert factory.outcomes()[-1] == "failed RUN two"
    assert factory.engine.stopped.is_set()
    factory.engine.then = lambda _: None
    factory.run(app(APP + "RUN three\n"))
    assert factory.ran() == ["one", "two", "two", "three"]


def test_what_waits_for_a_worker_is_not_started_after_a_failure(factory: Factory) -> None:
    failing(factory, "one")
    with pytest.raises(BuildFailed):
        factory.run(app(INDEPENDENT), jobs=1)
    assert len(factory.ran()) <= 2
    assert "COPY" not in " ".join(factory.told.begun)


def test_an_interruption_stops_the_engine_and_ends_the_run(factory: Factory) -> None:
    def then(_: Command) -> None:
        raise Interrupted("SIGTERM.")

    factory.engine.then = then
    with pytest.raises(Interrupted) as interrupted:
        factory.run(app())
    assert interrupted.value.exit_code == 130
    assert factory.engine.stopped.is_set()
    assert factory.ran() == ["one"]


def test_an_unreachable_engine_is_not_blamed_on_the_line(factory: Factory) -> None:
    def then(_: Command) -> None:
        raise Unreachable("The engine is down.", id="LN-5001")

    factory.engine.then = then
    with pytest.raises(Unreachable) as down:
        factory.run(app())
    assert down.value.place is None


def test_an_engine_is_not_needed_where_nothing_runs(factory: Factory) -> None:
    def then(_: Command) -> None:
        pytest.fail("there is nothing to run")

    factory.engine.then = then
    factory.run(app("FROM scratch\nCOPY a /\nCMD a\n"))
    assert factory.outcomes() == ["assembled COPY a /", "assembled CMD a"]


# --- what is gone, and what others published --------------------------------------------------------------------


def layers(factory: Factory, stage: Stage) -> list[str]:
    finder = Lookup(factory.store, Eligibility(factory.store, HERE, Says()))
    candidate = finder.find([stage.checksum])[stage.checksum].candidate
    finder.close()
    assert candidate is not None
    return [layer.digest for layer in read_image(factory.store, image_digest(candidate.index), "linux/amd64").layers]


def test_a_parent_whose_blob_is_gone_is_built_again_once_and_said(factory: Factory) -> None:
    text = "FROM base:base\nRUN one\n"
    factory.run(app(text))
    parent = app(text)["app"]
    factory.lose(layers(factory, parent)[-1])
    result = factory.run(app(text + "COPY a /\n"))
    assert factory.ran() == ["one", "one"]
    assert [warning for warning in factory.told.warnings if "RUN one" in warning and "built again" in warning]
    assert len(factory.told.warnings) == 1
    assert result.candidate(parent) is not None
    assert factory.reports[parent.checksum].outcome == "built"


def test_a_blob_gone_further_down_is_found_by_whom_it_belongs_to(factory: Factory) -> None:
    text = "FROM base:base\nRUN one\nCOPY a /\n"
    factory.run(app(text))
    last = app(text)["app"]
    factory.lose(layers(factory, last)[1])
    result = factory.run(app(text + "RUN two\n"))
    assert factory.ran() == ["one", "one", "two"]
    assert result.missing() == []
    assert "FROM" not in " ".join(factory.told.begun)


def test_a_blob_that_goes_again_and_again_ends_the_run(factory: Factory) -> None:
    text = "FROM base:base\nRUN one\n"
    factory.run(app(text))
    lost = layers(factory, app(text)["app"])[0]
    factory.lose(lost)
    real = factory.store.put_blob
    factory.store.put_blob = lambda blob: None if blob.digest == lost else real(blob)  # type: ignore[method-assign]
    factory.store.mount_blob = lambda *_: True  # type: ignore[method-assign]
    with pytest.raises(LinealError) as gone:
        factory.run(app(text + "COPY a /\n"))
    assert lost in str(gone.value)


def test_a_stage_that_another_run_published_meanwhile_is_adopted(factory: Factory) -> None:
    text = "FROM base:base\nRUN one\n"
    other = Factory.__new__(Factory)
    other.__dict__.update(factory.__dict__)
    inner = [True]

    def then(command: Command) -> None:
        if inner:
            inner.clear()
            other.run(app(text))

    factory.engine.then = then
    result = factory.run(app(text + "RUN two\n"))
    adopted = factory.reports[app(text)["app"].checksum]
    assert (adopted.outcome, adopted.reason) == ("adopted", "another run published it first")
    candidate = result.candidate(app(text)["app"])
    assert candidate is not None and candidate.tag == adopted.tag
    assert layers(factory, app(text)["app"]) == layers(factory, app(text + "RUN two\n")["app"])[:2]


def test_another_branch_builds_its_own_and_a_merge_inherits(factory: Factory) -> None:
    feature = HistoryPosition(oid("b"), oid("9"), "feature")
    factory.run(app(), feature)
    factory.run(app())
    assert factory.ran() == ["one", "two", "one", "two"]
    merged = HistoryPosition(oid("e"), oid("8"), "main")
    factory.run(app(), merged, Says([oid("b"), oid("c")]))
    assert factory.outcomes() == []


def test_a_title_is_short_and_says_where() -> None:
    stage = planned("FROM b:1\nRUN " + "x" * 200 + "\n")
    assert title(stage).startswith("app:2 RUN xxx") and len(title(stage)) < 90


def test_what_another_run_won_in_the_end_is_reported_as_its_own(factory: Factory) -> None:
    """Beside a hidden anchor, a run that looked before we published may write a lower timestamp after it."""
    image = app()
    last = image["app"].checksum
    factory.run(image, HistoryPosition(oid("b"), oid("9"), "feature"))
    theirs: list[Manifest] = []
    factory.before_settling = lambda: theirs.append(put(factory.store, record(checksum=last, created=1)))
    result = factory.run(image)
    told = factory.reports[last]
    assert (told.outcome, told.digest, told.tag) == ("adopted", theirs[0].digest, stage_tag(last, 1))
    assert result.candidate(image["app"]) is not None
    assert result.candidate(image["app"]).digest == theirs[0].digest  # type: ignore[union-attr]


def test_a_hit_that_is_as_young_is_looked_at_again_too(factory: Factory) -> None:
    image = app()
    last = image["app"].checksum
    factory.run(image, HistoryPosition(oid("b"), oid("9"), "feature"))
    factory.run(image)
    arrived: list[Manifest] = []
    factory.before_settling = lambda: arrived.append(put(factory.store, record(checksum=last, created=1)))
    result = factory.run(image)
    found = result.candidate(image["app"])
    assert factory.reports == {} and found is not None
    assert found.tag == stage_tag(last, 1)
