"""The same bench as Docker's, with runc as its engine."""

from __future__ import annotations

import os
import shutil
import time
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

CGROUPS = Path("/sys/fs/cgroup")
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
    groups = control_groups(root)
    made.close()
    assert left(root) <= {"caches"}, "something was left on the disk"
    assert str(root) not in MOUNTS.read_text()
    assert not [group for group in groups if group.exists()], "a control group was left"


def left(root: Path) -> set[str]:
    """What runs leave there, which remove their own directories when they are gone already."""
    deadline = time.monotonic() + 300
    while any(root.glob("run-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    return {one.name for one in root.iterdir()}


def control_groups(root: Path) -> list[Path]:
    """Those of the runs in this directory, where a machine with the first or the second version has them."""
    names = [note.read_text().strip("/") for note in root.glob("run-*/tasks/*/cgroup")]
    return [place / name for name in names for place in (CGROUPS, *CGROUPS.glob("*/"))]


def opened(root: Path) -> RuncEngine:
    return RuncEngine(environment={"LINEAL_RUNC_ROOT": str(root), "PATH": os.environ["PATH"]})


@pytest.fixture
def bench(engine: RuncEngine, base: tuple[MemoryStore, Image], tmp_path: Path) -> Bench:
    made: Any = engine
    return Bench(made, None, *base, tmp_path)  # type: ignore[arg-type]


@pytest.fixture
def fresh(base: tuple[MemoryStore, Image], tmp_path: Path) -> Iterator[RuncEngine]:
    made = opened(tmp_path / "root")
    yield made
    made.close()
    assert left(tmp_path / "root") == set() and str(tmp_path) not in MOUNTS.read_text()


@pytest.fixture
def cache_id(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.fixture
def members() -> Members:
    return entries_of


@pytest.fixture
def contents() -> Contents:
    return contents_of


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is shared with Docker's engine is run there each time, and here by `make test-long`."""
    for item in items:
        if isinstance(item, pytest.Function) and item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.server)
            if item.function.__module__ != item.module.__name__:
                item.add_marker(pytest.mark.long)
