"""The picture: read back from Mermaid's text with a grammar that knows only what it may say."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.ci.github.summary.markdown_escape import label
from lineal.ci.github.summary.mermaid import graph
from lineal.report.model import Report
from tests.unit.report.reports import HOSTILE, hostile_reports, image, many, report, shop, stage

TEXT = r'"((?:[A-Za-z0-9 ,/=]|#\d+;|<br/>|\.|·)+)"'
FRAME = re.compile(rf"  subgraph (g\d+)\[{TEXT}\]")
BOX = re.compile(rf"  (?:  )?(s\d+)(?:\[{TEXT}\]|\({TEXT}\))")
EDGE = re.compile(r"  (s\d+) (-->|-\.->|-\. required \.->) (s\d+)")
KIND = re.compile(r"  class ([sg]\d+(?:,[sg]\d+)*) ([a-z]+)")
STYLE = re.compile(r"  classDef [a-z]+ [a-z0-9#:, -]+")


@dataclass
class Picture:
    boxes: dict[str, str] = field(default_factory=dict)
    frames: dict[str, str] = field(default_factory=dict)
    """Box -> the name of the image around it."""
    edges: set[tuple[str, str, str]] = field(default_factory=set)
    kinds: dict[str, str] = field(default_factory=dict)


def words(text: str) -> str:
    return html.unescape(re.sub(r"#(\d+);", r"&#\1;", text).replace("<br/>", "\n"))


def read(report: Report) -> Picture:
    """Fails on every line that is not one of the four kinds."""
    lines = graph(report).split("\n")
    assert (lines[0], lines[1], lines[-1]) == ("```mermaid", "flowchart LR", "```")
    found, inside, ids = Picture(), "", {}
    for line in lines[2:-1]:
        if matched := FRAME.fullmatch(line):
            inside = words(matched[2])
        elif line == "  end":
            inside = ""
        elif matched := BOX.fullmatch(line):
            ids[matched[1]] = words(matched[2] or matched[3] or "")
            found.boxes[matched[1]] = ids[matched[1]]
            found.frames[ids[matched[1]]] = inside
        elif matched := EDGE.fullmatch(line):
            found.edges.add((ids[matched[1]], matched[2], ids[matched[3]]))
        elif matched := KIND.fullmatch(line):
            found.kinds |= {ids.get(one, one): matched[2] for one in matched[1].split(",")}
        else:
            assert STYLE.fullmatch(line), line
    return found


def test_cached_and_built_stages_are_told_apart() -> None:
    picture = read(shop())
    assert picture.kinds["RUN pip install\n12.4s"] == "built"
    assert picture.kinds["COPY --from=api /a .\n0.2s"] == "built"
    assert picture.kinds["FROM debian:trixie-slim"] == "cached"


def test_lines_lead_from_parents_and_dotted_ones_from_what_is_copied() -> None:
    picture = read(shop())
    assert ("RUN apt-get update", "-->", "COPY requirements.txt .") in picture.edges
    assert ("RUN pip install\n12.4s", "-.->", "COPY --from=api /a .\n0.2s") in picture.edges
    assert picture.frames["RUN apt-get update"] == "base" and picture.frames["FROM nginx"] == "proxy"


def test_a_line_leads_from_what_an_image_requires() -> None:
    stages = [stage("api/1", "COPY app /"), stage("tests/1", "RUN pytest", "built", "api/1")]
    picture = read(report([image("api", "api/1", requires=["tests", "gone"]), image("tests", "tests/1")], stages))
    assert picture.edges == {("COPY app /", "-->", "RUN pytest"), ("RUN pytest", "-. required .->", "COPY app /")}


def test_of_many_stages_those_in_a_row_that_were_there_share_a_box() -> None:
    chain = [stage(f"api/{n}", f"RUN step {n}", below=f"api/{n - 1}" if n else "") for n in range(20)]
    chain += [stage("api/20", "COPY . .", "assembled", "api/19")]
    picture = read(report([image("api", "api/20")], chain))
    assert picture.edges == {("20 stages\nRUN", "-->", "COPY . .")}
    assert picture.kinds["20 stages\nRUN"] == "cached"


def test_a_stage_that_others_use_keeps_a_box_of_its_own_end() -> None:
    """Lines leave from the end of a box only: where a chain forks, it is cut."""
    trunk = [stage(f"a/{n}", f"RUN {n}", below=f"a/{n - 1}" if n else "") for n in range(12)]
    forks = [stage("b/1", "COPY 1 .", "built", "a/4"), stage("c/1", "COPY 2 .", "built", "a/11")]
    picture = read(report([image("a", "a/11"), image("b", "b/1"), image("c", "c/1")], trunk + forks))
    assert picture.edges == {
        ("5 stages\nRUN", "-->", "COPY 1 ."),
        ("5 stages\nRUN", "-->", "7 stages\nRUN"),
        ("7 stages\nRUN", "-->", "COPY 2 ."),
    }


def test_a_large_build_is_reduced_to_what_is_new_and_a_larger_one_to_images() -> None:
    built = many(40, 5, "RUN x", "cached")
    for one in built.stages[::5]:
        one.inputs = []
    for one in built.stages[:5]:
        one.outcome = "built"
    for one in built.stages[5::2]:
        one.parent = None  # no rows: a box for each
    assert set(read(built).frames.values()) == {"service-0"}
    images = read(many(50, 5, "RUN x"))
    assert images.boxes["s7"] == "service-7\n5 built" and len(images.boxes) == 50
    assert graph(many(200, 5, "RUN x")) == ""


def test_there_is_no_picture_of_nothing() -> None:
    assert graph(report([], [])) == ""


@given(hostile_reports())
@settings(max_examples=100, deadline=None)
def test_no_text_of_others_is_read_by_mermaid(made: Report) -> None:
    picture = read(made)
    assert len(picture.boxes) == len(made.stages) or len(made.stages) > 12


@given(HOSTILE | st.text())
@settings(max_examples=200, deadline=None)
def test_a_label_shows_what_was_written(text: str) -> None:
    made = label(text, 10_000)
    assert not made or re.fullmatch(TEXT, f'"{made}"')
    visible = " ".join(text.split())
    if visible.isprintable() and "\x1b" not in text:
        assert "".join(re.sub(r"#(\d+);", lambda found: chr(int(found[1])), made)) == visible


@given(st.integers(0, 80), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_it_stays_small_enough_for_mermaid_and_for_people(images: int, stages: int) -> None:
    made = graph(many(images, stages, "RUN " + "<&>" * 30))
    assert len(made) < 50_000
    assert made.count("-->") + made.count("-.->") <= 400
