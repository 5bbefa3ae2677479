"""The one file `lineal` for the Python of the tests: several would take a minute to pack."""

from __future__ import annotations

import hashlib
import importlib.machinery
import platform
import runpy
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from bench.debian import cache

ROOT = Path(__file__).resolve().parents[2]
TARGET = importlib.machinery.EXTENSION_SUFFIXES[0].strip(".").removesuffix(".so")


def build(*words: str) -> None:
    subprocess.run([sys.executable, str(ROOT / "onefile/build.py"), *words], check=True)


def wheels() -> Path:
    """All wheels of this machine's processor, fetched once."""
    lock = (ROOT / "requirements/image.txt").read_bytes() + (ROOT / "onefile/build.py").read_bytes()
    folder = cache() / "onefile" / hashlib.sha256(lock).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / "lock"):
        if not folder.exists():
            shutil.rmtree(folder.with_suffix(".new"), ignore_errors=True)
            build("wheels", platform.machine(), str(folder.with_suffix(".new")))
            folder.with_suffix(".new").rename(folder)
    return folder


def wheels_of(target: str, folder: Path) -> Path:
    """Those that one kind of Python needs."""
    for name in ("any", target):
        shutil.copytree(wheels() / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def own_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels_of(TARGET, tmp_path_factory.mktemp("wheels") / "own")


@pytest.fixture(scope="session", params=["quick", pytest.param("released", marks=pytest.mark.long)])
def onefile(request: pytest.FixtureRequest, own_wheels: Path) -> Iterator[Path]:
    """As a release makes it, and with a compression that takes a second."""
    # Other users may not look into pytest's own directories.
    with tempfile.TemporaryDirectory(prefix="lineal-onefile-") as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "lineal"
        if request.param == "quick":
            runpy.run_path(str(ROOT / "onefile/build.py"))["pack"](own_wheels, file, zipfile.ZIP_DEFLATED)
        else:
            build("file", str(own_wheels), str(file))
        yield file


@pytest.fixture(scope="session")
def home(onefile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first run unpacks it, and compiles its modules: for what does not ask how that goes."""
    del onefile  # each has one
    return tmp_path_factory.mktemp("home")
