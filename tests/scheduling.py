"""Which tests run in one process: those that share what is slow to start, or get in each other's way."""

from __future__ import annotations

import re
from typing import Any

from xdist.scheduler import LoadScopeScheduling

_TOGETHER = {
    # One BuildKit. Two processes that load and run images at once take longer than one.
    "differential": r"^tests/differential/",
    # One API server: starting another takes half a minute of a processor.
    "kubernetes": r"kubernetes|^tests/e2e/test_(deploy|dismiss|bundle_apply)\.py|^tests/unit/deploy/test_upgrade\.py",
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
