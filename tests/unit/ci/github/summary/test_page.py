"""The page as a browser shows it: rendered to HTML, and looked at there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lineal.ci.github.summary.page import error_page, page
from lineal.ci.github.summary.step_summary import BUDGET
from lineal.report.model import ErrorReport, Outcome, ReleaseReport, Report
from tests.unit.report.reports import HOSTILE, hostile_bundles, hostile_reports, many, shop

OURS = {"h3", "p", "code", "pre", "blockquote", "strong", "ul", "li", "sub", "details", "summary", "br",
        "table", "thead", "tbody", "tr", "th", "td"}  # fmt: skip


@dataclass
class Seen(HTMLParser):
    """What is on the page."""

    tags: list[str] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)
    rows: list[list[str]] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    """The contents of <pre>."""
    heading: str = ""
    quotes: str = ""
    prose: str = ""
    """Text that is not code: where GitHub looks for mentions and links."""
    stack: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {f"{name}={value}" for name, value in attributes}
        if tag == "br":
            return
        self.stack.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "pre":
            self.blocks.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.stack and self.stack[-1] == tag, f"</{tag}> in {self.stack}"
        self.stack.pop()

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_data(self, data: str) -> None:
        if "pre" in self.stack:
            self.blocks[-1] += data
            return
        if "td" in self.stack or "th" in self.stack:
            self.rows[-1][-1] += data
        if "h3" in self.stack:
            self.heading += data
        if "blockquote" in self.stack:
            self.quotes += data
        if "code" not in self.stack:
            self.prose += data


def seen(text: str) -> Seen:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    found = Seen()
    found.feed(parser.render(text))
    found.close()
    assert not found.stack
    return found


def shown(report: Report) -> Seen:
    return seen(page(report))


def row(found: Seen, name: str) -> list[str]:
    (cells,) = [cells for cells in found.rows if cells[1] == name]
    return cells


# --- what people read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (shop(), "✅ Built api and web; 2 other images were there."),
        (shop("cached"), "✅ Nothing to build: all 4 images were there already."),
        (shop("missing", command="plan"), "📋 api and web would be built; 2 other images were there."),
        (shop("cached", command="plan"), "✅ Nothing to build: all 4 images were there."),
        (
            shop(context={"may_write": False}),
            "⚠️ Built api and web, and published nothing; 2 other images were there.",
        ),
        (
            shop(command="converge", release=ReleaseReport(name="shop-eu", namespace="eu", status="deployed")),
            "✅ Built api and web, and deployed shop-eu; 2 other images were there.",
        ),
        (
            shop("cached", command="converge", release=ReleaseReport(name="s", namespace="n", status="deployed")),
            "✅ Built nothing, and deployed s.",
        ),
        (
            shop("cached", command="deploy", release=ReleaseReport(name="s", namespace="n", status="deployed")),
            "✅ Deployed s.",
        ),
        (shop("cached", command="render"), "✅ Rendered the manifests with 4 images."),
        (shop("failed", error=ErrorReport(id="LN-5005", message="No.", code=1)), "❌ RUN pip install failed in api."),
        (shop("cached", error=ErrorReport(id="LN-5005", message="No.", code=5)), "❌ lineal build failed."),
        (
            shop("cached", command="deploy", error=ErrorReport(id="LN-5005", message="No.", code=1)),
            "❌ shop was not deployed; its images are published.",
        ),
        (
            shop("missing", error=ErrorReport(id="LN-5005", message="No.", code=130)),
            "🛑 lineal build was interrupted.",
        ),
        (many(9, 1, "COPY a b"), "✅ Built 9 images."),
    ],
)
def test_the_first_line_says_it_all(report: Report, sentence: str) -> None:
    assert shown(report).heading == sentence


def test_every_image_is_a_row_and_what_is_new_stands_first() -> None:
    found = shown(shop())
    assert found.rows[0] == ["", "Image", "Stages", "Time", "Digest", "Pulled", "Pushed"]
    assert row(found, "api") == ["🟢", "api", "1 built, 1 cached", "12.4s", "0f3a9c2b71de", "", "2.0 MB"]
    assert row(found, "base") == ["⚪", "base", "2 cached", "", "0f3a9c2b71de", "", ""]
    assert [cells[1] for cells in found.rows[1:5]] == ["api", "web", "base", "proxy"]


def test_what_the_cache_saved_is_a_column_and_a_sum() -> None:
    report = shop()
    report.stages[1].saved = report.saved = 190.2
    found = shown(report)
    assert found.rows[0][3:5] == ["Time", "Saved"]
    assert row(found, "base")[3:5] == ["", "3m10s"] and row(found, "api")[3:5] == ["12.4s", ""]
    assert ["⚪", "2", "RUN apt-get update", "cached", "3m10s saved", "same tree as 91fc7ea"] in found.rows
    assert "the cache saved 3m10s" in found.prose


def test_every_stage_is_there_with_its_result_its_time_and_why() -> None:
    found = shown(shop())
    assert ["⚪", "2", "RUN apt-get update", "cached", "", "same tree as 91fc7ea"] in found.rows
    assert ["🟢", "2", "RUN pip install", "built", "12.4s", "new"] in found.rows
    assert ["⚪", "1", "FROM debian:trixie-slim", "cached", "", "built for an ancestor of this commit"] in found.rows
    assert found.tags.count("details") == 4


def test_the_release_and_the_facts_of_the_run() -> None:
    release = ReleaseReport(name="shop-eu", namespace="eu", status="deployed", duration=21.4)
    text = seen(page(shop(release=release, duration=84, context={"pull_request": 12}))).prose
    assert "Release in namespace : after 21.4s" in " ".join(text.split())
    assert "pull request 12" in text and "7 stages: 2 built, 5 cached" in text and "1m24s" in text


def test_a_failure_shows_the_sentence_the_last_lines_and_what_to_do() -> None:
    report = shop(
        "failed",
        error=ErrorReport(
            id="LN-5005",
            message="It failed with exit code 1.",
            remedy="Read its output.",
            file="api/Dockerfile",
            line=2,
            code=1,
        ),
    )
    report.stages[3].output = ["Collecting x", "ERROR: no x", "````", "</code></pre> after"]
    found = shown(report)
    assert found.quotes.strip() == "api/Dockerfile:2: It failed with exit code 1. Read its output. [LN-5005]"
    assert found.blocks[0].splitlines() == ["Collecting x", "ERROR: no x", "````", "</code></pre> after"]
    text = page(report)
    assert "<code>lineal build api --dev</code>" in text
    assert text.index("Collecting x") < text.index("| Image |")


def test_what_a_run_could_not_publish_is_not_called_published() -> None:
    for status in (1, 3, 4, 5, 130):
        error = ErrorReport(id="LN-5005", message="No.", code=status)
        found = page(shop("failed", error=error, context={"may_write": False}))
        assert "stay published" not in found and "are published" not in found
    assert "stay published" in page(shop("failed", error=error))
    refused = ErrorReport(id="LN-5005", message="An image is missing.", code=1)
    assert "are published" not in page(shop("missing", command="deploy", error=refused))
    assert "The images are published: " in page(shop("cached", command="deploy", error=refused))


def test_a_run_that_knew_no_images_yet_shows_its_error() -> None:
    found = seen(
        error_page(
            "build", ErrorReport(id="LN-5005", message="Unknown key.", file="lineal.yaml", line=3, key="a.b", code=3)
        )
    )
    assert (
        found.heading == "❌ lineal build failed."
        and found.quotes.strip() == "lineal.yaml:3: a.b: Unknown key. [LN-5005]"
    )


def test_a_run_that_may_not_write_says_what_was_lost() -> None:
    assert (
        "Nothing was published. This run may only read the store" in shown(shop(context={"may_write": False})).quotes
    )
    assert shown(shop("cached", context={"may_write": False})).quotes == ""


def test_the_picture_of_a_quiet_run_is_folded_and_of_another_is_not() -> None:
    assert shown(shop("cached")).tags.count("details") == 5
    assert shown(shop()).tags.count("details") == 4
    assert '<code class="language-mermaid">' in MarkdownIt().render(page(shop()))


# --- what nobody can make it do ---------------------------------------------------------------------------------


@given(hostile_reports())
@settings(max_examples=150, deadline=None)
def test_nothing_in_a_repository_can_act_on_the_page(report: Report) -> None:
    text = page(report)
    found = seen(text)
    assert set(found.tags) <= OURS
    assert not {one for one in found.attributes if not one.startswith(("class=language-", "style=text-align:"))}
    assert found.tags.count("h3") == 1 and found.tags.count("table") <= len(report.images) + 1
    # What is ours: images, and the titles of the release, of the next steps and of a run that may not write.
    made = any(stage.outcome in ("built", "assembled") for stage in report.stages) and not report.may_write
    strong = len(report.images) + (report.release is not None) + found.tags.count("ul") + made
    assert found.tags.count("strong") == strong
    assert found.tags.count("blockquote") == (report.error is not None) + made
    assert found.tags.count("ul") <= (report.error is not None)
    # Nothing that GitHub turns into a mention, a reference or a link.
    assert not re.search(r"[@#]|://|www\.", found.prose)
    outside = re.sub(r"(?ms)^(`{3,})\w+$.*?^\1$", "", text)
    assert "http:" not in outside and not re.search(r"www\.|\w@\w", outside, re.IGNORECASE)
    widths = [len(cells) for cells in found.rows]
    stages = sum(1 for width in widths if width == 6)
    assert set(widths) <= {5, 6, 7, 8} and stages >= len(report.images)


@given(hostile_bundles())
@settings(max_examples=100, deadline=None)
def test_nothing_in_a_bundle_can_act_on_the_page(report: Report) -> None:
    found = seen(page(report))
    assert set(found.tags) <= OURS and found.attributes <= {"style=text-align:left"}
    assert found.tags.count("h3") == 1 and found.tags.count("tr") == len(report.images) + 1
    assert found.tags.count("blockquote") == (report.error is not None)
    assert not re.search(r"[@#]|://|www\.", found.prose)


@given(st.lists(HOSTILE, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_no_output_can_end_its_block(lines: list[str]) -> None:
    report = shop("failed", error=ErrorReport(id="LN-5005", message="No.", code=1))
    report.stages[3].output = lines
    found = shown(report)
    assert len(found.blocks) == 2 and found.blocks[1].startswith("flowchart LR")
    assert found.blocks[0].count("\n") == len(lines)


@given(HOSTILE)
@settings(max_examples=150, deadline=None)
def test_what_is_shown_is_what_was_written(text: str) -> None:
    report = shop()
    visible = " ".join(text.split())
    report.stages[3].instruction = text
    if visible.isprintable() and 0 < len(visible) < 100 and "\x1b" not in text:
        assert visible in [" ".join(cells[2].split()) for cells in shown(report).rows if len(cells) == 6]


# --- its size ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["RUN npm ci && npm run build -- --mode production", "<|>" * 100, "😀\u202e" * 200])
def test_two_hundred_images_of_thirty_stages_fit(text: str) -> None:
    made = page(many(200, 30, text))
    assert len(made.encode()) <= BUDGET < 1 << 20
    assert made.count("| **<code>service-") == 200
    assert made.count("<details>") == made.count("</details>") > 5


@pytest.mark.parametrize("outcome", ["built", "cached", "missing"])
def test_of_1300_images_a_reader_sees_the_first_and_the_others_after_a_click(outcome: Outcome) -> None:
    report = many(1300, 2, "RUN make -C /srv install", outcome)
    report.stages[2000].outcome = "failed"
    made = page(report)
    assert len(made.encode()) <= BUDGET < 1 << 20
    assert made.count("| **<code>service-") == 1300
    seen, folded = made, 1
    while folded:
        seen, folded = re.subn(r"(?s)<details>(?:(?!<details>).)*?</details>", "▸", seen)
    assert len(seen.splitlines()) < 100 and seen.count("| **<code>service-") == 20
    assert "| ❌ | **<code>service-1000</code>**" in "\n".join(seen.splitlines()[:8])


def test_details_of_what_was_there_go_first() -> None:
    report = many(40, 30, "RUN <a long> command | with | signs " * 5, "cached")
    for one in report.stages[-30:]:
        one.outcome = "built"
    found = seen(page(report, 100_000))
    assert found.rows[1][1] == "service-39"
    assert any(cells[3] == "built" for cells in found.rows)
    assert "have no room here; " in found.prose


@given(hostile_reports() | hostile_bundles(), st.integers(2_000, 20_000))
@settings(max_examples=60, deadline=None)
def test_no_page_is_larger_than_its_budget(report: Report, budget: int) -> None:
    made = page(report, budget)
    assert len(made.encode()) <= budget
    assert set(seen(made).tags) <= OURS


def test_ten_thousand_images_are_a_page_too() -> None:
    made = page(many(10_000, 1, "COPY a b"))
    assert len(made.encode()) <= BUDGET
    assert re.search(r"… and \d+ more images", made) and re.search(r"The stages of \d+ images have no room", made)
