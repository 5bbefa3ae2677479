"""The page of `--report-html`, read as HTML: what stands there, and that nothing of others can do anything there."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from hypothesis import given

from lineal.report.html import page
from lineal.report.model import ChangeReport, ErrorReport, ReleaseReport, Report, TagReport
from tests.unit.report.reports import hostile_bundles, hostile_reports, image, many, report, shop, stage

OURS = {"html", "meta", "title", "style", "h1", "h2", "section", "p", "code", "pre", "ul", "li", "dl", "div",
        "dt", "dd", "i", "b", "bdi", "span", "details", "summary", "table", "tr", "th", "td",
        "svg", "g", "line", "text", "tspan", "rect"}  # fmt: skip
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "open", "width", "height", "role",
              "aria-label", "x", "y", "x1", "x2", "y1", "y2", "rx"}  # fmt: skip


@dataclass
class Seen(HTMLParser):
    tags: list[str] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)
    policy: str = ""
    style: str = ""
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attributes}
        given = dict(attributes)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "style" and not self.style:
            self.style = data
        elif data.strip():
            self.texts.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def seen(text: str) -> Seen:
    found = Seen()
    found.feed(text)
    found.close()
    return found


def built() -> Report:
    stages = [
        stage("api/1", "RUN compile", "built", began=0.0, ended=9.5, duration=9.5, reason="new"),
        stage("web/1", "COPY --from=api /a .", "assembled", inputs=["api/1"], began=9.5, ended=10.0, duration=0.5),
        stage("mail/1", "RUN letters", "built", began=1.0, ended=3.0, duration=2.0),
        stage("base/1", "FROM debian", reason="built for an ancestor of this commit"),
    ]
    tags = [TagReport(repository="registry.example.com/api", name="1.2.3", outcome="written")]
    images = [
        image("base", "base/1"),
        image("api", "api/1", tags=tags),
        image("web", "web/1"),
        image("mail", "mail/1"),
    ]
    return report(images, stages)


def failed() -> Report:
    run = shop("failed", command="converge")
    run.stages[3].output = ["indented:", "    <b>no</b>", "\x1b[31mred\x1b[0m"]
    other = ErrorReport(message="And that.", id="LN-6002", code=1)
    run.error = ErrorReport(message="It ended.", id="LN-6001", file="Dockerfile", line=4, code=1, others=[other])
    return run


def test_a_good_run_tells_of_its_images() -> None:
    run = built()
    run.release = ReleaseReport(name="shop", namespace="prod", status="deployed", revision=7, duration=4.0,
                                told=["All is ready."])  # fmt: skip
    found = seen(page(run))
    assert found.texts[0] == "✅ Built api, web and mail, and deployed shop; 1 other image was there."
    assert "built for an ancestor of this commit" in found.text and "1.2.3 written" in found.text
    assert "revision 7" in found.text and "All is ready." in found.text
    assert "9.5s" in found.text and (run.images[1].image or "no") in found.text
    # What is new is open, and stands first.
    assert page(run).count("<details open>") == 3 and found.text.rindex("base") > found.text.index("letters")


def test_the_timeline_has_a_bar_for_each_stage_that_was_made() -> None:
    run = built()
    text = page(run)
    bars = re.findall(r'<rect class="(\w*)" x="([\d.]+)%" width="([\d.]+)%"', text)
    assert bars == [("waited", "0.00", "95.00"), ("waited", "95.00", "5.00"), ("", "10.00", "20.00")]
    assert "<svg" not in page(shop())


def test_what_the_cache_saved_stands_at_each_stage_its_image_and_the_run() -> None:
    run = built()
    run.stages[3].saved = run.saved = 190.2
    found = seen(page(run))
    assert "saved by the cache 3m10s" in found.text and "1 cached · saved 3m10s · " in found.text
    assert "cached 3m10s saved built for an ancestor" in found.text
    assert "saved" not in seen(page(built())).text


def test_a_failed_run_tells_why_and_what_next() -> None:
    text = page(failed())
    found = seen(text)
    assert found.texts[0] == "❌ RUN pip install failed in api."
    assert "[LN-6001]" in found.text and "And that." in found.text
    assert "indented:\n    &lt;b&gt;no&lt;/b&gt;\nred</pre>" in text
    assert "lineal build api --dev" in found.text
    assert found.text.index("indented:") < found.text.index("It ended.")


def test_a_plan_tells_of_changes_in_the_cluster() -> None:
    run = shop("missing", command="plan")
    run.changes = [ChangeReport(kind="Deployment", name="api", action="change", diff=["-a: 1", "+a: 2"])]
    found = seen(page(run))
    assert "would be built" in found.text and "to build" in found.text
    assert "1 object in the cluster would change: 1 changed." in found.text and "-a: 1 +a: 2" in found.text


def test_a_run_that_knew_nothing_yet_has_its_error() -> None:
    error = ErrorReport(message="There is no lineal.yaml.", id="LN-1001", code=3)
    run = Report(lineal="0.1", command="plan", project=None, store=None, context=None, images=[], stages=[])
    run.error = error
    found = seen(page(run))
    assert found.texts[0] == "❌ lineal plan failed." and "There is no lineal.yaml." in found.text


def test_of_1300_images_a_reader_sees_the_first_and_the_others_after_a_click() -> None:
    run = many(1300, 2, "RUN make -C /srv install")
    for number, one in enumerate(run.stages):
        one.began, one.ended = number / 10, number / 10 + 2
    text = page(run)
    assert len(text.encode()) < 1_000_000 and text.count("<bdi>service-") == 1300
    before, others = text.split("<summary>The other 1270 images</summary>")
    assert before.count("<bdi>service-") == 30 and others.count("details have no room") == 0
    assert text.count("<rect") == 24 and "… and 2576 other stages." in seen(text).text


def test_the_policy_allows_the_one_style_and_nothing_else() -> None:
    found = seen(page(built()))
    allowed = base64.b64encode(hashlib.sha256(found.style.encode()).digest()).decode()
    assert found.policy == f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in found.style and "@import" not in found.style


@given(hostile_reports() | hostile_bundles())
def test_nothing_of_others_becomes_markup(run: Report) -> None:
    for number, one in enumerate(run.stages):
        one.began, one.ended = float(number), number + 2.0
    text = page(run)
    text.encode()
    found = seen(text)
    assert set(found.tags) <= OURS and found.attributes <= ATTRIBUTES
    assert found.tags.count("style") == found.tags.count("h1") == 1
    assert not re.search("[\u202e\u200b\u2028\x00\x1b]", text)


def test_a_page_of_200_images_with_30_stages_stays_below_a_megabyte() -> None:
    for spite in ("RUN make -C services all", "<&'\">" * 300):
        text = page(many(200, 30, spite))
        assert len(text.encode()) < 1_000_000
        found = seen(text)
        assert all(f"service-{number}" in found.texts for number in range(200))


def test_what_has_no_room_is_counted() -> None:
    text = page(many(300, 2, "RUN x"), 40_000)
    assert len(text.encode()) < 42_000
    shown = seen(text).tags.count("bdi")
    assert f"… and {300 - shown} more, which have no room here." in text and 20 < shown < 300
