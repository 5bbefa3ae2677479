"""Which engine a `RUN` goes to, by its platform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lineal.engine import Command
from lineal.engine.by_platform import EnginesByPlatform, OneEngine
from lineal.engine.machine import Machine
from lineal.engine.table import EngineTable, Named, parse_table
from lineal.errors import BadConfiguration, Unreachable
from lineal.oci import Store
from lineal.oci.image import image_of
from lineal.oci.types import Image, Layer
from tests.unit.stages.workbench import MemoryStore

DEFAULT = Named("auto", "default")


class Claiming(OneEngine):
    """An engine that says what its machine is, and notes what it was given."""

    def __init__(self, own: str | None, emulated: Sequence[str] | None = ()) -> None:
        self.own, self.emulated = own, emulated
        self.ran: list[str] = []
        self.asked = self.closed = self.stopped = 0

    def machine(self) -> Machine | None:
        self.asked += 1
        if self.own == "gone":
            raise Unreachable("It cannot be reached.", id="LN-5001")
        return Machine(self.own, lambda: self.emulated) if self.own else None

    def prepare(self, parent: Image, store: Store, platform: str, workspace: Path) -> None:
        self.ran.append(f"soon {platform}")

    def run(
        self, parent: Image, store: Store, command: Command, output: Callable[[str], None], workspace: Path
    ) -> Layer:
        self.ran.append(command.platform)
        return Layer(workspace, "", 0, "")

    def stop(self) -> None:
        self.stopped += 1

    def close(self) -> None:
        self.closed += 1


class Bench:
    def __init__(self, table: EngineTable, engines: dict[str, Claiming], *, several: bool = False) -> None:
        self.said: list[str] = []
        self.engines = EnginesByPlatform(table, lambda named: engines[named.name], self.said.append, several=several)

    def run(self, platform: str) -> None:
        command = Command(argv=["x"], env={}, workdir="/", user="", platform=platform)
        self.engines.run(image_of({}, []), MemoryStore(), command, self.said.append, Path())


def table(text: str) -> EngineTable:
    return parse_table(text, "--engine")


def test_a_named_engine_gets_its_platform_and_the_default_the_rest() -> None:
    engines = {"docker": Claiming("linux/amd64", []), "buildkit:tcp://a:1": Claiming("linux/arm64", [])}
    bench = Bench(table("docker linux/arm64/v8=buildkit:tcp://a:1"), engines)
    for platform in ("linux/amd64", "linux/arm64", "linux/amd64"):
        bench.run(platform)
    assert [one.ran for one in engines.values()] == [["linux/amd64", "linux/amd64"], ["linux/arm64"]]
    assert bench.said == [
        "RUN for linux/amd64 goes to docker (--engine): native.",
        "RUN for linux/arm64 goes to buildkit:tcp://a:1 (--engine): native.",
    ]
    assert [one.asked for one in engines.values()] == [1, 1], "each once"
    bench.engines.stop()
    bench.engines.close()
    assert [(one.stopped, one.closed) for one in engines.values()] == [(1, 1), (1, 1)]


def test_an_engine_that_is_expected_is_looked_for_once() -> None:
    engines = {"auto": Claiming("linux/amd64", [])}
    bench = Bench(EngineTable(DEFAULT), engines)
    bench.engines.expect("linux/amd64")
    assert engines["auto"].asked == 1
    bench.run("linux/amd64")
    assert engines["auto"].asked == 1


@pytest.mark.parametrize(
    ("default", "other", "goes_to", "how"),
    [
        (("linux/amd64", ["linux/arm/v7"]), ("linux/arm64", []), "other", "native"),  # arm64 runs it itself
        (("linux/amd64", ["linux/arm/v7"]), ("linux/s390x", []), "auto", "emulated"),
        (("linux/amd64", []), ("linux/s390x", ["linux/arm/v7"]), "other", "emulated"),
        (("linux/amd64", None), ("linux/s390x", []), "auto", ""),
        (("linux/amd64", None), ("linux/s390x", ["linux/arm"]), "other", "emulated"),
        (("gone", []), ("linux/arm64", []), "other", "native"),
        ((None, None), ("linux/s390x", []), "auto", ""),
    ],
)
def test_without_a_name_it_is_one_that_can(
    default: tuple[str | None, list[str] | None], other: tuple[str, list[str]], goes_to: str, how: str
) -> None:
    engines = {"auto": Claiming(*default), "other": Claiming(*other)}
    bench = Bench(EngineTable(DEFAULT, {"linux/arm64": Named("other", "lineal.yaml:9")}), engines)
    bench.run("linux/arm/v7")
    assert engines[goes_to].ran == ["linux/arm/v7"]
    assert [line.partition(": ")[2] for line in bench.said] == ([f"{how}."] if how else [])


def test_what_no_engine_can_is_refused_before_it_runs() -> None:
    engines = {"auto": Claiming("linux/amd64", ["linux/386"])}
    bench = Bench(EngineTable(DEFAULT), engines)
    with pytest.raises(Unreachable, match=r"auto \(linux/amd64\) executes no programs for linux/riscv64") as refused:
        bench.run("linux/riscv64")
    assert "--engine linux/riscv64=ENGINE" in str(refused.value.remedy) and engines["auto"].ran == []
    bench.run("linux/amd64/v3")
    assert bench.said == [], "one engine, native: nothing that people do not know"
    gone = Bench(EngineTable(DEFAULT), {"auto": Claiming("gone")})
    with pytest.raises(Unreachable, match="It cannot be reached"):
        gone.run("linux/amd64")


def test_a_table_has_one_engine_for_all_platforms() -> None:
    only = table("linux/arm64=buildkit:tcp://a:1?cacert=/c,tcp://b:1")
    assert only.default == DEFAULT and only.named["linux/arm64"].name == "buildkit:tcp://a:1?cacert=/c,tcp://b:1"
    assert table("buildkit:tcp://a:1?cacert=/c").default.name == "buildkit:tcp://a:1?cacert=/c"
    with pytest.raises(BadConfiguration, match="names two engines for all platforms"):
        table("docker buildkitd")
