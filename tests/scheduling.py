"""Which tests run in one process: those that share what is slow to start, or get in each other's way."""

from __future__ import annotations

import re
from typing import Any

from xdist.scheduler import LoadScopeScheduling

_TOGETHER = {
    # One BuildKit each. Only the first loads and runs many images: two of its kind at once take longer than one.
    "differential, with RUN": r"^tests/differential/.*\[(run|known-projects)/",
    "differential, copies": r"^tests/differential/.*\[(copy|copy-[a-z-]+)/",
    "differential, generated": r"^tests/differential/test_generated\.py",
    "differential": r"^tests/differential/",
    # One API server each: starting one takes half a minute of a processor.
    "upgrades": r"^tests/unit/deploy/test_upgrade\.py",
    "kubernetes": r"kubernetes|^tests/e2e/test_(deploy|dismiss|bundle_apply)\.py",
    # Containers of the same names.
    "act": r"^tests/act/",
    "gitlab": r"^tests/gitlab/",
}


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Large groups first; any other test goes to whoever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for group, pattern in _TOGETHER.items() if re.search(pattern, nodeid)), nodeid)


def pytest_xdist_make_scheduler(config: Any, log: Any) -> Scheduling:
    return Scheduling(config, log)
