"""A whole build on a layout store, with an engine that writes a file instead of running anything."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lineal.build.environment import BuildEnvironment
from lineal.build.proxies import JobProxies
from lineal.build.result import BuildResult
from lineal.build.scheduler import Scheduler
from lineal.build.stage_maker import Provenance
from lineal.clock import Time
from lineal.dockerfile.stage import Stage, ends
from lineal.engine import Command, Engines, PushedLayer
from lineal.errors import MissingContent
from lineal.lock import Lock, NoLock
from lineal.oci import Store
from lineal.oci.types import Blob, Image, Layer, sha256
from lineal.progress import Notes, Progress
from lineal.report.model import StageReport
from lineal.stages.beside import beside as beside_of
from lineal.stages.eligibility import Eligibility
from lineal.stages.lookup import Lookup
from lineal.stages.plan import resolve
from lineal.stages.publish import Publisher
from lineal.stages.visibility import HistoryPosition
from lineal.store.layout import Layout
from lineal.store.outgoing import OutgoingStore
from tests import servers
from tests.unit.stages.workbench import HERE, Says, parts


class PretendEngine(Engines):
    """Every command leaves one file, `/ran/<n>`, with its words; `then` may fail or wait instead."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.then: Callable[[Command], None] = lambda _: None
        self.prepared: list[bytes] = []
        """The layers of each parent that was prepared."""
        self.clock: Callable[[], float] = lambda: 0.0
        """The time of what is written."""
        self.stopped = threading.Event()
        self.looks = True
        """Whether it needs all of a parent in the store."""
        self.running = self.most = 0
        self._guard = threading.Lock()

    def expect(self, platform: str) -> None: ...

    def stop(self) -> None:
        self.stopped.set()

    def close(self) -> None: ...

    def prepare(self, parent: Image, store: Store, platform: str, workspace: Path) -> None:
        self.prepared.append(b"".join(b"".join(store.blob(layer.digest)) for layer in parent.layers))

    def run(
        self, parent: Image, store: Store, command: Command, output: Callable[[str], None], workspace: Path
    ) -> Layer | PushedLayer:
        for part in parent.layers:
            if self.looks and not store.has_blob(part.digest):
                raise MissingContent(part.digest, store.address)
        with self._guard:
            self.commands.append(command)
            number = len(self.commands)
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            output(f"running {command.argv[-1]}")
            self.then(command)
        finally:
            with self._guard:
                self.running -= 1
        return layer({f"ran/{number}": " ".join(command.argv)}, workspace / f"layer-{number}", self.clock())


def layer(files: Mapping[str, str], path: Path, mtime: float = 0) -> Layer:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), int(mtime)
            tar.addfile(entry, io.BytesIO(content.encode()))
    data = gzip.compress(buffer.getvalue(), mtime=0)
    path.write_bytes(data)
    return Layer(path, sha256(data), len(data), f"sha256:{hashlib.sha256(buffer.getvalue()).hexdigest()}")


@dataclass
class Told(Progress):
    """What a run told people."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def begin(self, stage: str) -> None:
        self.begun.append(stage)

    def output(self, stage: str, line: str) -> None:
        self.lines.append(line)

    def end(self, stage: str, outcome: str, seconds: float, detail: str = "") -> None:
        self.ended.append((stage, outcome))

    def close(self) -> None: ...


@dataclass
class Secrets:
    """Secret values by id; the mask hides them."""

    values: dict[str, bytes] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    """What stages remember of where they come from."""

    def value(self, image: str, name: str) -> bytes | None:
        return self.values.get(name)

    def beside(self, image: str, name: str) -> str | None:
        return self.sources.get(name)

    def mask(self, line: str) -> str:
        for value in self.values.values():
            line = line.replace(value.decode(), "***")
        return line


class Factory:
    """One store and one engine; `run` is one run of Lineal on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Layout(folder / "store")
        self.bases = Layout(folder / "bases")
        servers.write_base_layout(folder / "bases")
        self.engine = PretendEngine()
        self.secrets = Secrets()
        self.proxies = JobProxies({})
        self.agents: dict[str, Path] = {}
        self.asked_for: list[str] = []
        self.told = Told()
        self.lock: Lock = NoLock()
        self.digits = 1
        self.reports: dict[str, StageReport] = {}
        self.before_publishing: Callable[[], None] = lambda: None
        self.before_settling: Callable[[], None] = lambda: None
        """What happens while the run waits for others to write what they are about to."""
        (folder / "work").mkdir()

    def run(
        self, images: Mapping[str, Stage], line: HistoryPosition = HERE, history: Says | None = None, jobs: int = 2,
        beside: Mapping[str, frozenset[str]] | None = None,
    ) -> BuildResult:  # fmt: skip
        """`beside`: what the commit names for its images of what no checksum holds."""
        self.told, self.reports = Told(), {}
        lookup = Lookup(
            self.store,
            Eligibility(self.store, line, history or Says()),
            time=Time(sleep=lambda _: self.before_settling()),
        )
        lookup.eligibility.beside = beside_of(ends(parts(images)), beside or {})
        outgoing = OutgoingStore(self.store, self.folder / "work")
        try:
            plan = resolve(parts(images), lookup)
            origin = Provenance(line.recorded, line.tree, line.branch, "shop")
            publisher = Publisher(outgoing, self.lock, lookup, self.digits)
            environment = replace(self.environment(), store=outgoing, keep=outgoing.keep)
            scheduler = Scheduler(plan, lookup, publisher, environment, origin, self.told, jobs)
            try:
                result = scheduler.run()
            except BaseException:
                self.reports = dict(scheduler.result.reports)
                raise
            self.reports = dict(result.reports)
        finally:
            lookup.close()
            outgoing.close()
        return result

    def environment(self) -> BuildEnvironment:
        def base(reference: str) -> tuple[Store, str]:
            self.asked_for.append(reference)
            return self.bases, reference.rpartition(":")[2]

        return BuildEnvironment(
            store=self.store,
            base_store=base,
            engine=self.engine,
            secrets=self.secrets,
            proxies=self.proxies,
            project="test",
            line="branch main",
            may_write=True,
            workspace=self.folder / "work",
            agents=lambda _, name: self.agents.get(name),
            notes=Notes(self.told.note, self.told.warn),
        )

    def outcomes(self) -> list[str]:
        return [f"{report.outcome} {report.instruction}" for report in self.reports.values()]

    def ran(self) -> list[str]:
        """The commands that the engine was given."""
        return [command.argv[-1] for command in self.engine.commands]

    def lose(self, digest: str) -> None:
        """A registry's clean-up, or a disk."""
        (self.store.directory / "blobs" / "sha256" / digest.removeprefix("sha256:")).unlink()

    def base_with(self, config: dict[str, object] | None, tag: str, **more: object) -> None:
        """A base without layers under another tag."""
        from lineal.oci.image import image_of

        made = image_of({"config": config, "rootfs": {"type": "layers", "diff_ids": []}, **more}, [])
        self.bases.put_blob(Blob.of(made.config))
        self.bases.put_manifest(made.manifest, tag)
