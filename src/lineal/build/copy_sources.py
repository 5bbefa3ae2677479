"""What a `COPY --from` copies out of a published stage, read while it waits for what it is put on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from lineal.assemble.allowance import FILES, Allowance
from lineal.assemble.stage_tree import StageTree
from lineal.build.environment import ReadAhead, StageImage, Transferred
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.stage import Stage
from lineal.errors import Interrupted, LinealError
from lineal.oci import Store
from lineal.oci.image import content
from lineal.oci.types import Descriptor

_AT_ONCE = 2
_MOST = 16
"""Stages for which is read ahead: what they copy is kept on the disk until they are made."""


def read_tree(
    source: StageImage, wanted: tuple[str, ...], store: Store, workspace: Path, told: Callable[[int], None]
) -> StageTree:
    """The files of a stage that these paths mean. `told` gets the bytes of each piece that is fetched, and may
    raise."""

    def opener(layer: Descriptor) -> Callable[[], Iterator[bytes]]:
        def read() -> Iterator[bytes]:
            for chunk in content(store, layer):
                told(len(chunk))
                yield chunk

        return read

    layers = [opener(layer) for layer in source.image.layers]
    allowance = Allowance(sum(layer.size for layer in source.image.layers), FILES)
    return StageTree.read(source.filesystem, layers, wanted, workspace, allowance)


class CopySources:
    """Those of one build. It is a favour: what goes wrong with one is for the stage itself to find."""

    def __init__(self, store: Store, workspace: Path, load: Callable[[Stage], StageImage]) -> None:
        """`load` gives published stages."""
        self._store, self._workspace, self._load = store, workspace, load
        self._pool: ThreadPoolExecutor | None = None
        self._begun: dict[str, Future[ReadAhead]] = {}

    def expect(self, needed: Sequence[Stage], published: Callable[[Stage], bool]) -> None:
        """Begin with those of the needed stages that have to wait, and whose source is published."""
        waiting = [
            (stage, source, stage.op.places()) for stage in needed
            if isinstance(stage.op, CopyInstruction) and stage.parent and not published(stage.parent)
            and (source := stage.sources.get(stage.op.source_stage or "")) and published(source)
        ]  # fmt: skip
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="copy")
        for stage, source, wanted in waiting[:_MOST]:
            self._begun[stage.checksum] = self._pool.submit(self._read, source, wanted)

    def take(self, stage: Stage) -> ReadAhead | None:
        """Once; None for what is not read yet, and nobody is reading."""
        begun = self._begun.pop(stage.checksum, None)
        try:
            return None if begun is None or begun.cancel() else begun.result()
        except LinealError:
            return None

    def close(self) -> None:
        pool, self._pool = self._pool, None
        self._begun.clear()
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, source: Stage, wanted: tuple[str, ...]) -> ReadAhead:
        moved = Transferred()

        def told(size: int) -> None:
            if self._pool is None:
                raise Interrupted("The build has ended.")
            moved.pulled += size

        return ReadAhead(wanted, read_tree(self._load(source), wanted, self._store, self._workspace, told), moved)
