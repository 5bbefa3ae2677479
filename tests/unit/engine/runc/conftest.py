"""The same bench as Docker's, with runc as its engine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lineal.engine.runc.engine import RuncEngine
from lineal.oci.types import Image
from tests.unit.engine.docker.conftest import (
    BUSYBOX,
    Bench,
    Contents,
    Members,
    MemoryStore,
    base_tar,
    contents_of,
    entries_of,
)

MOUNTS = Path("/proc/self/mountinfo")


@pytest.fixture(scope="session")
def base() -> tuple[MemoryStore, Image]:
    if not BUSYBOX.exists() or os.geteuid() or shutil.which("runc") is None:
        pytest.skip("needs root, runc and busybox-static")
    store = MemoryStore()
    return store, store.image([base_tar()])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runc")


@pytest.fixture(scope="module")
def engine(root: Path) -> Iterator[RuncEngine]:
    made = opened(root)
    yield made
    made.close()
    assert sorted(one.name for one in root.iterdir()) in ([], ["caches"]), "something was left on the disk"
    assert str(root) not in MOUNTS.read_text()
    assert not list(Path("/sys/fs/cgroup").glob("**/lineal/lineal-*")), "a control group was left"


def opened(root: Path) -> RuncEngine:
    return RuncEngine(environment={"LINEAL_RUNC_ROOT": str(root), "PATH": os.environ["PATH"]})


@pytest.fixture
def bench(engine: RuncEngine, base: tuple[MemoryStore, Image], tmp_path: Path) -> Bench:
    made: Any = engine
    return Bench(made, None, *base, tmp_path)  # type: ignore[arg-type]


@pytest.fixture
def cache_id(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.fixture
def members() -> Members:
    return entries_of


@pytest.fixture
def contents() -> Contents:
    return contents_of
