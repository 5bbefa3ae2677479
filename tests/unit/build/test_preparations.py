"""What a command runs on is brought to the engine while the stages before it are made."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lineal.build.stage_maker import StageMaker
from lineal.dockerfile.stage import Stage
from lineal.errors import BuildFailed, Unreachable
from lineal.oci import Store
from lineal.oci.types import Image
from lineal.store.layout import Layout
from lineal.store.read_through import ReadThroughStore
from tests.unit.build.factory import Factory
from tests.unit.stages.workbench import planned

LINES = "FROM b:base\nCOPY a /a\nRUN one\nCOPY c /c\nRUN two\n"


class Counting(Layout):
    """A registry of bases that notes what is read; nothing of it can be mounted."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.read: list[str] = []

    def blob(self, digest: str) -> Iterator[bytes]:
        self.read.append(digest)
        return super().blob(digest)


class Apart(Layout):
    def mount_blob(self, *_: Any) -> bool:
        return False


@pytest.fixture(params=[Layout, Apart])
def factory(request: pytest.FixtureRequest, tmp_path: Path) -> Factory:
    made = Factory(tmp_path)
    made.bases = Counting(tmp_path / "bases")
    made.store = request.param(tmp_path / "store")
    return made


def read_of(factory: Factory) -> list[str]:
    """The blobs that were asked for at the registry of bases."""
    assert isinstance(factory.bases, Counting)
    return factory.bases.read


def base_of(factory: Factory) -> bytes:
    """The only layer of the base."""
    return b"".join(Layout(factory.bases.directory).blob(read_of(factory)[1]))


def stage(text: str = LINES, **files: str) -> Stage:
    return planned(text, {"a": "a", "c": "c", **files})


def test_a_base_is_fetched_once_for_the_store_the_index_and_the_engine(factory: Factory) -> None:
    result = factory.run({"app": stage()})
    assert len(set(read_of(factory))) == len(read_of(factory)) == 2, "the config, and the only layer"
    assert len(result.reports) == 5 and factory.ran() == ["one", "two"]
    assert factory.engine.prepared[0] == base_of(factory)


def test_the_engine_has_it_while_the_base_still_comes(factory: Factory) -> None:
    """A registry that gives its last byte only once the engine has read all others."""
    seen = threading.Event()

    def slow(digest: str) -> Iterator[bytes]:
        for chunk in Layout.blob(factory.bases, digest):
            if len(chunk) < 5000:
                yield chunk
                continue
            yield chunk[:5000]
            assert seen.wait(300)
            yield chunk[5000:]

    def prepare(parent: Image, store: Store, platform: str, workspace: Path) -> None:
        for chunk in store.blob(parent.layers[0].digest):
            if chunk:
                seen.set()

    factory.bases.blob = slow  # type: ignore[method-assign]
    factory.engine.prepare = prepare  # type: ignore[method-assign]
    factory.run({"app": stage()})
    assert seen.is_set()


def test_a_published_stage_is_brought_beside_the_copies_after_it(factory: Factory) -> None:
    factory.run({"app": stage()})
    factory.engine.prepared.clear()
    factory.run({"app": stage(a="another")})
    assert len(factory.engine.prepared) >= 2, "the base, and what RUN one made"
    assert base_of(factory) in factory.engine.prepared
    assert factory.ran() == ["one", "two"] * 2


def test_an_engine_is_looked_for_while_it_is_read_what_commands_run_on(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory.run({"app": stage()})
    expected: list[str] = []
    looked = threading.Event()

    def expect(platform: str) -> None:
        expected.append(platform)
        looked.set()

    read = StageMaker.image

    def image(maker: StageMaker, of: Stage) -> Image:
        assert looked.wait(300)
        return read(maker, of)

    monkeypatch.setattr(StageMaker, "image", image)
    factory.engine.expect = expect  # type: ignore[method-assign]
    factory.run({"app": stage(a="another")})
    assert expected == ["linux/amd64"]
    factory.run({"app": stage("FROM b:base\nCOPY c /a\n")})
    assert expected == ["linux/amd64"], "nothing runs"


def test_nothing_is_brought_that_no_command_needs(factory: Factory) -> None:
    factory.run({"app": stage("FROM b:base\nCOPY a /a\n")})
    factory.run({"app": stage()})
    factory.engine.prepared.clear()
    factory.run({"app": stage(c="another")})
    assert len(factory.engine.prepared) == 1, "what RUN one made, for RUN two"
    factory.engine.prepared.clear()
    factory.run({"app": stage(LINES.replace("RUN one\n", ""))})
    factory.run({"app": stage(LINES.replace("RUN one\n", "") + "COPY a /b\n")})
    assert len(factory.engine.prepared) <= 1, "a command that waits for nothing brings its parent itself"


def test_of_what_is_published_only_the_uppermost_is_brought(factory: Factory) -> None:
    lines = "FROM b:base AS below\nRUN one\nFROM below AS above\nRUN two\n"
    factory.run({"app": stage(lines)})
    factory.engine.prepared.clear()
    # Both wait for the COPY from the context before them.
    factory.run({"app": stage(f"{lines}FROM below AS side\nCOPY a /a\nRUN three\nFROM above\nCOPY c /c\n"
                              "COPY --from=side /a /b\nRUN four\n")})  # fmt: skip
    assert len(factory.engine.prepared) == 1, "what RUN two made, which has all that RUN one did"


def test_a_preparation_that_fails_is_for_the_command_to_find(factory: Factory) -> None:
    def fail(parent: Image, store: Store, platform: str, workspace: Path) -> None:
        raise Unreachable("There is no engine.", id="LN-5001")

    factory.engine.prepare = fail  # type: ignore[method-assign]
    factory.run({"app": stage()})
    assert factory.ran() == ["one", "two"]


def test_a_base_that_breaks_off_ends_what_the_engine_reads_of_it(factory: Factory) -> None:
    ended: list[BaseException] = []
    reading = threading.Event()

    def broken(digest: str) -> Iterator[bytes]:
        data = b"".join(Layout.blob(factory.bases, digest))
        assert len(data) < 5000 or reading.wait(60)
        yield data if len(data) < 5000 else data[:5000]

    def prepare(parent: Image, store: Store, platform: str, workspace: Path) -> None:
        reading.set()
        try:
            list(store.blob(parent.layers[0].digest))
        except BaseException as error:
            ended.append(error)
            raise

    factory.bases.blob = broken  # type: ignore[method-assign]
    factory.engine.prepare = prepare  # type: ignore[method-assign]
    with pytest.raises((Unreachable, BuildFailed), match="5000 bytes instead of"):
        factory.run({"app": stage()})
    assert len(ended) == 1


class Far(ReadThroughStore):
    """A store that is not on this machine, and notes what is read of it."""

    def __init__(self, home: Store) -> None:
        super().__init__(home, home)
        self.directory, self.read = None, list[str]()

    def blob(self, digest: str) -> Iterator[bytes]:
        self.read.append(digest)
        return super().blob(digest)


def test_what_is_copied_out_of_a_base_is_not_downloaded_again(factory: Factory) -> None:
    far = Far(factory.store)
    factory.store = far  # type: ignore[assignment]
    result = factory.run({"app": stage("FROM b:base AS tool\nFROM scratch\nCOPY --from=tool /bin/sh /bin/\n")})
    assert [report.outcome for report in result.reports.values()] == ["built", "assembled"]
    layer = read_of(factory)[1]
    assert read_of(factory).count(layer) == 1 and layer not in far.read
