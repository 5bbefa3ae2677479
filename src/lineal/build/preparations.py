"""Preparations: what commands are going to run on goes to the engine as soon as it is known, beside all that is made
before them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial

from lineal.build.environment import BuildEnvironment
from lineal.dockerfile.instructions import FromInstruction, RunInstruction
from lineal.dockerfile.stage import Stage
from lineal.errors import LinealError
from lineal.oci import Store
from lineal.oci.types import Image

_GRACE = 2.0
"""Seconds in which what was begun ends, once the engine was told to stop."""


Prepare = Callable[[Stage, Image, Store], "Future[None]"]
"""Says that a stage has become this image, whose layers are in this store, or on their way to it. The result is done
when nobody reads them any more for this."""


def not_prepared(_stage: Stage, _image: Image, _store: Store) -> Future[None]:
    done: Future[None] = Future()
    done.set_result(None)
    return done


class Preparations:
    """Those for the commands among the stages `needed`. They are a favour: what goes wrong with one is for the
    command itself to find."""

    def __init__(self, environment: BuildEnvironment, needed: Collection[Stage], jobs: int) -> None:
        self._environment = environment
        self._wanted = {stage.checksum: stage for stage in _grounds(needed)}
        self._made = {stage.checksum for stage in needed}
        self._platforms = {stage.platform for stage in needed if isinstance(stage.op, RunInstruction)}
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="prepare")
        self._begun: list[Future[None]] = []
        self._closed = False
        self._lock = threading.Lock()

    def begin(self, read: Callable[[Stage], Image]) -> None:
        """With the engines, and the stages that are published already; `read` gives their images meanwhile."""
        for platform in self._platforms:
            self._do(partial(self._environment.engine.expect, platform))
        for stage in self._wanted.values():
            if stage.checksum not in self._made:
                self._submit(stage, partial(read, stage), self._environment.store)

    def made(self, stage: Stage, image: Image, store: Store) -> Future[None]:
        """A `Prepare`."""
        if stage.checksum not in self._wanted:
            return not_prepared(stage, image, store)
        return self._submit(stage, lambda: image, store) or not_prepared(stage, image, store)

    def _submit(self, stage: Stage, read: Callable[[], Image], store: Store) -> Future[None] | None:
        """None at the end of the build."""

        def prepare() -> None:
            self._environment.engine.prepare(read(), store, stage.platform, self._environment.workspace)

        return self._do(prepare)

    def _do(self, favour: Callable[[], None]) -> Future[None] | None:
        def do() -> None:
            with suppress(LinealError):
                favour()

        with self._lock:
            if self._closed:
                return None
            begun = self._pool.submit(do)
            self._begun.append(begun)
            return begun

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait(self._begun, timeout=_GRACE)


def _grounds(needed: Collection[Stage]) -> Iterator[Stage]:
    """What has the files of a command's parent but for some `COPY`s: a base, another command's result, or what is
    published; of several published ones on top of each other, the uppermost, which brings the others."""
    made = {stage.checksum for stage in needed}
    grounds = {stage.checksum: stage for stage in _all_grounds(needed, made)}
    below = {
        one.checksum for stage in grounds.values() if stage.checksum not in made and stage.parent
        for one in stage.parent.chain()
    }  # fmt: skip
    return (stage for stage in grounds.values() if stage.checksum not in below)


def _all_grounds(needed: Collection[Stage], made: Collection[str]) -> Iterator[Stage]:
    for stage in needed:
        # One that waits for nothing brings what it needs itself.
        waits = isinstance(stage.op, RunInstruction) and any(one.checksum in made for one in stage.dependencies())
        ground = stage.parent if waits else None
        while ground is not None:
            if ground.checksum not in made or isinstance(ground.op, FromInstruction | RunInstruction):
                yield ground
                break
            ground = ground.parent
