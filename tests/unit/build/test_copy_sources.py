"""What a `COPY --from` takes out of a published stage is read while it waits for what it is put on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.dockerfile.stage import Stage
from lineal.errors import Unreachable
from lineal.oci.image import read_image
from lineal.oci.types import Blob
from lineal.store.layout import Layout
from lineal.store.record import image_digest
from lineal.store.tags import anchor_tag
from tests.unit.build.factory import Factory
from tests.unit.stages.workbench import planned, stages

TEXT = (
    "FROM base:base AS tool\nCOPY t /tool\nRUN tool\nFROM base:base\nCOPY a /a\nRUN one\n"
    "COPY --from=tool /tool /tool\nCOPY --from=tool /ran /ran\nRUN two\n"
)


class Watched(Layout):
    """A store that tells which blobs are read, and may have lost some."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.read: list[str] = []
        self.came = threading.Event()
        self.watched = ""
        self.fails = 0

    def blob(self, digest: str) -> Iterator[bytes]:
        self.read.append(digest)
        if digest == self.watched:
            self.came.set()
            if self.fails:
                self.fails -= 1
                raise Unreachable("The registry is away.", id="LN-4005")
        return super().blob(digest)


@pytest.fixture
def factory(tmp_path: Path) -> Factory:
    """Its first run has published everything; what the tool's `COPY` made is watched."""
    made = Factory(tmp_path)
    made.store = store = Watched(tmp_path / "store")
    run(made)
    (tool,) = stages(app())[3].sources.values()
    index = store.manifest(anchor_tag(tool.checksum))
    assert index is not None
    store.watched = read_image(store, image_digest(index), tool.platform).layers[-2].digest
    store.read.clear()
    return made


def app(a: str = "a") -> Stage:
    return planned(TEXT, {"a": a, "t": "of the tool"})


def run(factory: Factory, a: str = "a") -> None:
    factory.run({"app": app(a)})


def store_of(factory: Factory) -> Watched:
    assert isinstance(factory.store, Watched)
    return factory.store


def test_it_is_read_beside_the_command_before_it(factory: Factory) -> None:
    store = store_of(factory)
    factory.engine.then = lambda command: None if command.argv[-1] != "one" else _wait_for(store.came)
    run(factory, "other")
    assert factory.ran()[-2:] == ["one", "two"]
    assert store.read.count(store.watched) == 1


def _wait_for(event: threading.Event) -> None:
    assert event.wait(60), "it is read only when its turn has come"


def test_what_could_not_be_read_ahead_is_read_in_its_turn(factory: Factory) -> None:
    store = store_of(factory)
    store.fails = 1
    factory.engine.then = lambda command: None if command.argv[-1] != "one" else _wait_for(store.came)
    run(factory, "other")
    assert store.read.count(store.watched) == 2
    assert factory.outcomes()[-1].startswith("built RUN two")


def test_what_a_command_of_this_run_wrote_is_not_looked_for_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory = Factory(tmp_path)
    sent: dict[str, bool] = {}

    def put_blob(blob: Blob) -> None:
        sent[blob.digest] = blob.new
        Layout.put_blob(factory.store, blob)

    monkeypatch.setattr(factory.store, "put_blob", put_blob)
    factory.engine.clock = lambda: time.time() + 1
    result = factory.run({"app": app()})

    def is_new(stage: Stage) -> bool:
        candidate = result.candidate(stage)
        assert candidate is not None
        return sent[read_image(factory.store, image_digest(candidate.index), stage.platform).layers[-1].digest]

    old, fresh = stages(app())[3:5]
    assert fresh.text.startswith("COPY --from=tool /ran") and is_new(fresh), "it has the time of this run"
    assert old.text.startswith("COPY --from=tool /tool") and not is_new(old), "the commit's file may be there"
