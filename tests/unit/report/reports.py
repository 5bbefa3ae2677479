"""Reports to show: made by hand, and by hypothesis from what a hostile repository could hold."""

from __future__ import annotations

import hashlib
from typing import Any, get_args

from hypothesis import strategies as st

from lineal.report.model import (
    BundleReport,
    ContextReport,
    ErrorReport,
    HandoverReport,
    ImageReport,
    Outcome,
    ReleaseReport,
    Report,
    StageReport,
    TagOutcome,
    TagReport,
)

DIGEST = "sha256:" + "0f3a9c2b71de" * 5 + "0000"
OUTCOMES: list[Outcome] = ["cached", "built", "assembled", "adopted", "missing", "failed"]


def checksum(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


def stage(name: str, instruction: str, outcome: Outcome = "cached", below: str = "", **values: Any) -> StageReport:
    """`name` is `IMAGE/NUMBER`; `below` the name of the parent, `inputs` names too."""
    values["inputs"] = [checksum(one) for one in values.get("inputs", ())]
    return StageReport(
        image=name.rpartition("/")[0],
        target="0",
        line=int(name.rpartition("/")[2]),
        instruction=instruction,
        checksum=checksum(name),
        parent=checksum(below) if below else None,
        outcome=outcome,
        **values,
    )


def image(name: str, last: str, digest: str | None = DIGEST, **values: Any) -> ImageReport:
    at = f"registry.example.com/shop@{digest}" if digest else None
    return ImageReport(name=name, checksum=checksum(last), digest=digest, image=at, **values)


def report(images: list[ImageReport], stages: list[StageReport], **values: Any) -> Report:
    given: dict[str, Any] = {"command": "build", "project": "shop", "store": "registry.example.com/shop", **values}
    context: dict[str, Any] = {"provider": "github", "event": "push", "commit": "1" * 40, "branch": "main"}
    context |= given.pop("context", {})
    return Report(lineal="0.1", context=ContextReport(**context), images=images, stages=stages, **given)


def shop(work: Outcome = "built", **values: Any) -> Report:
    """base <- api, and web, which copies from api; what is new is in api and web."""
    digest = None if work in ("missing", "failed") else DIGEST
    return report(
        [
            image("base", "base/2"),
            image("api", "api/2", digest, built=work == "built"),
            image("web", "web/2", digest, built=work == "built"),
            image("proxy", "proxy/1"),
        ],
        [
            stage("base/1", "FROM debian:trixie-slim", reason="built for an ancestor of this commit"),
            stage("base/2", "RUN apt-get update", below="base/1", reason="same tree as 91fc7ea"),
            stage("api/1", "COPY requirements.txt .", below="base/2"),
            stage("api/2", "RUN pip install", work, "api/1", duration=12.4, bytes_pushed=2_000_000, reason="new"),
            stage("web/1", "FROM node:24", bytes_pulled=1000),
            stage("web/2", "COPY --from=api /a .", work, "web/1", inputs=["api/2"], duration=0.2),
            stage("proxy/1", "FROM nginx"),
        ],
        **values,
    )


def many(images: int, stages: int, text: str, outcome: Outcome = "built") -> Report:
    names = [f"service-{number}" for number in range(images)]
    made = [
        stage(f"{name}/{number}", text, outcome, f"{name}/{number - 1}" if number else "", reason=text)
        for name in names
        for number in range(stages)
    ]
    return report([image(name, f"{name}/{stages - 1}") for name in names], made)


# --- hostile ----------------------------------------------------------------------------------------------------

SPITE = st.sampled_from([
    "<script>alert(1)</script>", "<img src=x onerror=y>", "</details>", "<!--", "-->", "</code>", "&lt;b&gt;",
    "![x](http://evil.example/a.png)", "[x](javascript:y)", "[a]: http://evil.example", "http://evil.example",
    "www.evil.example", "<http://evil.example>", "me@evil.example", "@octocat", "#1", "acme/shop#2", "| a | b |",
    "```", "~~~~", "````````", "`", "**b**", "_x_", "~~s~~", "# h", "- x", "1. x", "> q", "---", "===", "$$x$$",
    "\n", "\r", "\t", "\0", "\x1b[31m", "\u202e", "\u200b", "\u2028", "\udc80", '"]', '"', "end", "subgraph x",
    "%%{init: {}}%%", ":smile:", "&#60;", "\\|", "click s0 href", "style s0 fill:#f00;",
    "#quot;", "#59;", "fa:fa-x", "ﬂ°°60¶ß", "x" * 500, "é😀",
])  # fmt: skip
HOSTILE = st.lists(SPITE | st.text(max_size=12), max_size=5).map(" ".join) | st.lists(SPITE, max_size=5).map("".join)


@st.composite
def hostile_reports(draw: st.DrawFn) -> Report:
    names = draw(st.lists(st.sampled_from(["api", "web", "team/base", "a.b-c_d"]), unique=True, min_size=1))
    names += draw(st.lists(HOSTILE.map("x".__add__), max_size=1))
    stages: list[StageReport] = []
    for name in dict.fromkeys(names):
        for number in range(draw(st.integers(1, 4))):
            one = stage("x/1", draw(HOSTILE), draw(st.sampled_from(OUTCOMES)), reason=draw(HOSTILE))
            one.image, one.checksum = name, checksum(f"{name}/{number}")
            one.parent = checksum(f"{name}/{number - 1}") if number else None
            if draw(st.booleans()) and stages:
                one.inputs = [stages[draw(st.integers(0, len(stages) - 1))].checksum]
            one.saved = draw(st.sampled_from([0.0, 12.0]))
            one.output = draw(st.lists(HOSTILE, max_size=4)) if one.outcome == "failed" else []
            stages.append(one)
    last = {one.image: one.checksum for one in stages}
    outcomes = st.sampled_from(get_args(TagOutcome))
    tag = st.builds(TagReport, repository=HOSTILE, name=HOSTILE, outcome=outcomes, reason=HOSTILE)
    tags = st.lists(tag, max_size=2)
    images = [ImageReport(name=name, checksum=at, digest=draw(HOSTILE), tags=draw(tags)) for name, at in last.items()]
    values: dict[str, Any] = {"command": draw(st.sampled_from(["plan", "build", "converge", "deploy", "render"]))}
    if draw(st.booleans()):
        values["error"] = ErrorReport(
            id="LN-5005",
            message=draw(HOSTILE),
            remedy=draw(HOSTILE),
            file=draw(HOSTILE),
            line=3,
            key=draw(HOSTILE),
            code=draw(st.sampled_from([1, 3, 4, 5, 130])),
        )
    if draw(st.booleans()):
        values["release"] = ReleaseReport(name=draw(HOSTILE), namespace=draw(HOSTILE), status=draw(HOSTILE))
    if values["command"] == "render" and draw(st.booleans()):
        outcome = st.sampled_from(["committed", "unchanged", "left", "not committed"])
        changed = st.lists(HOSTILE, max_size=2)
        values["handover"] = draw(
            st.builds(
                HandoverReport, repository=HOSTILE, branch=HOSTILE, path=HOSTILE, outcome=outcome, changed=changed
            )
        )
    values["context"] = {"branch": draw(HOSTILE), "tag": draw(HOSTILE), "may_write": draw(st.booleans())}
    return report(images, stages, project=draw(HOSTILE), store=draw(HOSTILE), **values)


@st.composite
def hostile_bundles(draw: st.DrawFn) -> Report:
    """Of commands that are about no commit."""
    made = draw(hostile_reports())
    made.command = draw(st.sampled_from(["bundle apply", "dismiss", "rollback", "drift"]))
    made.context, made.stages = None, []
    for one in made.images:
        one.image = draw(HOSTILE)
    made.bundle = draw(st.builds(BundleReport, reference=HOSTILE, name=HOSTILE, version=HOSTILE, commit=HOSTILE))
    return made
