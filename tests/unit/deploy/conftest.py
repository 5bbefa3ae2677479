"""Both Helms, the golden chart, and what a release of it needs."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lineal.deploy import values
from lineal.deploy.helm.client import Helm
from lineal.deploy.release import Chart, Release, ValuesFile
from tests.tools import helm as binaries

GOLDEN = Path(__file__).parents[2] / "golden" / "chart"
DIGEST = "sha256:" + "a" * 64
IMAGES = {"api": values.ImageValue.of("registry.example.com/team/app", "v1", DIGEST)}
GLOBAL: dict[str, Any] = values.global_values("shop", "prod", "c" * 40, "main", IMAGES)

MakeRelease = Callable[..., Release]


def environment(home: Path, helm: Path | str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a runner has; nothing of the developer's own helm or cluster."""
    home.mkdir(exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LINEAL_HELM": str(helm), **(more or {})}


@pytest.fixture(scope="session")
def helms() -> Path:
    """The directory of helm3 and helm4."""
    binaries.fetch(binaries.directory())
    return binaries.directory()


@functools.cache
def version_of(helm: Path) -> str:
    """Asked for once: helm takes long to start."""
    return Helm.find({"LINEAL_HELM": str(helm), "PATH": os.environ["PATH"]}).version


@pytest.fixture(params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest, helms: Path, tmp_path: Path) -> Helm:
    path = helms / request.param
    return Helm(str(path), version_of(path), environment(tmp_path / "home", path))


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A copy of the golden chart: what the caller materialises from a commit."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "chart-of-commit"))


@pytest.fixture
def release(chart: Path, tmp_path: Path) -> MakeRelease:
    """Makes the release `shop-prod` of that chart; keyword arguments as for `Release`; `files` come first."""

    def make(files: tuple[values.ValuesText, ...] = (), **more: object) -> Release:
        written: tuple[ValuesFile, ...] = values.write(tmp_path / "values", files, {}, GLOBAL)
        about: dict[str, object] = {"name": "shop-prod", "namespace": "shop", "values": written, "timeout": 5.0}
        about["chart"] = Chart.directory(chart, "deploy/chart")
        return Release(**(about | more))  # type: ignore[arg-type]

    return make
