"""The timeline of a run: read back from Mermaid's text with a grammar that knows only what it may say."""

from __future__ import annotations

import re

from hypothesis import given

from lineal.ci.github.summary.page import page
from lineal.ci.github.summary.timeline import timeline
from lineal.report.model import ReleaseReport, Report
from tests.unit.report.reports import hostile_reports, image, report, stage

WORDS = r"[A-Za-z0-9 /=._-]+"
SECTION = re.compile(rf"  section ({WORDS})")
BAR = re.compile(rf"  ({WORDS}?)(?: \(([^()]*)\))? :(crit|active), (\d+), (\d+)")


def bars(found: Report) -> dict[str, tuple[str, int, int]]:
    """Fails on every line that is neither a section nor a bar."""
    lines = timeline(found).split("\n")
    assert lines[:4] == ["```mermaid", "gantt", "  dateFormat x", "  axisFormat %M:%S"] and lines[-1] == "```"
    read = {}
    for line in lines[4:-1]:
        if bar := BAR.fullmatch(line):
            read[bar[1]] = bar[3], int(bar[4]), int(bar[5])
        else:
            assert SECTION.fullmatch(line), line
    return read


def build() -> Report:
    """The web waits for the api, which takes the longest; the mail does not matter."""
    stages = [
        stage("api/1", "RUN compile: all", "built", began=0.0, ended=9.5),
        stage("web/1", "COPY site/ .", "assembled", began=0.0, ended=0.25),
        stage("web/2", "COPY --from=api /a .", "assembled", "web/1", inputs=["api/1"], began=9.5, ended=10.0),
        stage("mail/1", "RUN letters", "built", began=1.0, ended=3.0),
    ]
    return report([image("api", "api/1"), image("web", "web/2"), image("mail", "mail/1")], stages)


def test_what_the_run_waited_for_is_told_apart() -> None:
    found = bars(build())
    kinds = {name.split(" ", 1)[1]: kind for name, (kind, _, _) in found.items()}
    assert kinds == {
        "RUN compile all": "crit", "COPY site/ .": "active", "COPY --from=api /a .": "crit", "RUN letters": "active",
    }  # fmt: skip
    assert [times[1:] for name, times in found.items() if "letters" in name] == [(1000, 3000)]


def test_the_release_follows_the_last_stage() -> None:
    run = build()
    run.release = ReleaseReport(name="shop", namespace="shop", status="deployed", duration=4.0)
    assert bars(run)["shop"] == ("crit", 10_000, 14_000)


def test_a_run_that_made_nothing_has_none() -> None:
    cached = report([image("api", "api/1")], [stage("api/1", "RUN x"), stage("api/2", "RUN y", below="api/1")])
    assert timeline(cached) == ""
    assert "Where the time went" not in page(cached)
    assert "Where the time went" in page(build())


@given(hostile_reports())
def test_nothing_of_a_dockerfile_gets_out_of_its_bar(found: Report) -> None:
    for number, one in enumerate(found.stages):
        one.began, one.ended = float(number), number + 2.0
    if timeline(found):
        assert bars(found)
