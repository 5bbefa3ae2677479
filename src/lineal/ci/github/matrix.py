"""The images that need work as jobs of a pipeline: a matrix for GitHub, where jobs have no order among them."""

from __future__ import annotations

import json

from lineal.report.model import Report
from lineal.report.stage_graph import stale

_MOST = 256
"""Jobs that GitHub takes in a matrix; with more the whole workflow's run fails."""


def matrix(report: Report) -> str:
    """A job for each stale image that no other stale image needs or requires: jobs start at the same time, so such an
    image is built by the jobs that need or require it, not by a job of its own beside them. Of more images than
    GitHub takes jobs, neighbours share one: their names with a blank between."""
    found = stale(report)
    needed = {need for needs in found.values() for need in needs}
    names = [name for name in found if name not in needed]
    jobs = min(len(names), _MOST)
    shares = [names[len(names) * job // jobs : len(names) * (job + 1) // jobs] for job in range(jobs)]
    include = [{"image": " ".join(share)} for share in shares]
    return json.dumps({"include": include}, separators=(",", ":")) + "\n"
