"""The images that need work as jobs of a pipeline: a matrix for GitHub, where jobs have no order among them."""

from __future__ import annotations

import json

from lineal.report.model import Report
from lineal.report.stage_graph import stale


def matrix(report: Report) -> str:
    """A job for each stale image that no other stale image needs: jobs start at the same time, so an image that is
    needed is built by the jobs that need it, not by a job of its own beside them."""
    found = stale(report)
    needed = {need for needs in found.values() for need in needs}
    include = [{"image": name} for name in found if name not in needed]
    return json.dumps({"include": include}, separators=(",", ":")) + "\n"
