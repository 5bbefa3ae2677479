"""Which tests run in one process: those that share what is slow to start, or get in each other's way. And which ones
`make check` leaves out. A pytest plugin."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

_TOGETHER = {
    # One of them makes the kernel take programs for another processor.
    "platforms": r"^tests/e2e/test_platforms\.py",
    "buildkit": r"^tests/(unit/engine/buildkit/|e2e/test_buildkit\.py|differential/test_engines\.py)",
    # One BuildKit each. Only the first loads and runs many images: two of its kind at once take longer than one.
    "differential, with RUN": r"^tests/differential/.*\[(run|known-projects)/",
    "differential, copies": r"^tests/differential/.*\[(copy|copy-[a-z-]+)/",
    "differential, generated": r"^tests/differential/test_generated\.py",
    "differential": r"^tests/differential/",
    # All its images are built before the first comparison.
    "assembler": r"^tests/unit/assemble/test_against_docker\.py",
    # One API server each: starting one takes half a minute of a processor.
    "upgrades": r"^tests/unit/deploy/test_(upgrade|release_lock)\.py|^tests/strangers/test_both_helms",
    "kubernetes": r"kubernetes|^tests/strangers/test_cluster"
    r"|^tests/e2e/test_(deploy(_policy)?|dismiss|bundle_apply|rollback|manifests|handover_[a-z]+|drift_kinds|local)\.py",
    # They wait most of their time, as runs do for each other. Were they with all others, every process would come to
    # them at once and the processors be idle.
    "registries": r"^tests/registries/|^tests/unit/lock/test_leased",
    "waits": r"^tests/e2e/test_(history|faults)\.py|^tests/strangers/test_(recompute|trust|moving_tags)\.py"
    r"|^tests/unit/deploy/helm/test_recovery",
    # One instance, of four services.
    "sigstore": r"^tests/sigstore/",
    # Containers of the same names, and the images of Lineal, which are made ready once.
    "images": r"^tests/(act|runner)/",
    # One file, packed once.
    "onefile": r"^tests/onefile/",
    "gitlab": r"^tests/gitlab/",
}

_SERVERS = {
    "registry",
    "real_registry",
    "auth_registry",
    "registry_server",
    "engine",
    "builder",
    "helms",
    "kubernetes",
    "etcd",
}
"""Fixtures behind which there is a server or a program that only `make test` installs."""


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Large groups first; any other test goes to whoever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid) or nodeid


def _group(nodeid: str) -> str | None:
    return next((group for group, pattern in _TOGETHER.items() if re.search(pattern, nodeid)), None)


def cases(request: pytest.FixtureRequest, *tests: Callable[..., None]) -> list[Any]:
    """The `case` of each of these tests that was selected: for a fixture that makes ready for all of them at once."""
    items = (item for item in request.session.items if isinstance(item, pytest.Function))
    return [item.callspec.params["case"] for item in items if item.function in tests]


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        asked = _SERVERS & set(item.fixturenames)
        if asked or any(item.get_closest_marker(name) for name in ("engine", "registry", "helm")):
            item.add_marker("server")
        if "kubernetes" in asked and not _group(item.nodeid):
            raise pytest.UsageError(f"{item.nodeid} starts an API server of its own: see tests/scheduling.py.")


def pytest_xdist_make_scheduler(config: Any, log: Any) -> Scheduling:
    return Scheduling(config, log)
