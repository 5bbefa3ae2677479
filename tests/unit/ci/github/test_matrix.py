from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.ci.github.matrix import matrix
from lineal.report.model import ImageReport, Report, StageReport
from lineal.report.stage_graph import StageGraph, stale
from tests.unit.report.reports import DIGEST, checksum, image, report, shop, stage


def test_only_images_that_no_other_stale_image_needs_have_a_job() -> None:
    assert json.loads(matrix(shop("missing"))) == {"include": [{"image": "web"}]}
    assert stale(shop("missing")) == {"api": [], "web": ["api"]}
    assert json.loads(matrix(shop())) == {"include": []}


def test_a_stale_image_that_only_published_ones_need_has_a_job() -> None:
    made = shop("cached")
    made.images[0].digest = None
    assert stale(made) == {"base": []}


def test_of_two_images_that_end_in_the_same_stage_one_has_a_job() -> None:
    made = report([image("a", "a/1", None), image("b", "a/1", None)], [stage("a/1", "COPY x y", "missing")])
    assert stale(made) == {"a": [], "b": ["a"]} and json.loads(matrix(made)) == {"include": [{"image": "b"}]}


def requiring(*requires: str, made_of_api: bool = True) -> Report:
    """api, which requires tests, made of it or not, that need tools."""
    below = "api/1" if made_of_api else ""
    return report(
        [image("api", "api/1", None, requires=list(requires)), image("tools", "tools/1", None),
         image("tests", "tests/1", None), image("web", "web/1", None)],
        [stage("api/1", "COPY x y", "missing"), stage("tools/1", "COPY x y", "missing"),
         stage("tests/1", "COPY x y", "missing", below, inputs=["tools/1"]),
         stage("web/1", "COPY x y", "missing", inputs=["tests/1"])],
    )  # fmt: skip


def test_an_image_is_built_by_the_job_of_one_that_requires_it() -> None:
    apart = requiring("tests", made_of_api=False)
    assert stale(apart) == {"api": ["tools", "tests"], "tools": [], "tests": ["tools"], "web": ["tools", "tests"]}
    assert json.loads(matrix(apart)) == {"include": [{"image": "api"}, {"image": "web"}]}


def test_tests_that_are_made_of_the_image_that_requires_them_have_no_job() -> None:
    both = requiring("tests")
    assert stale(both) == {"api": ["tools"], "tools": [], "web": ["api", "tools"]}
    assert json.loads(matrix(both)) == {"include": [{"image": "web"}]}
    both.images[0].digest = DIGEST
    assert stale(both) == {"tools": [], "tests": ["tools"], "web": ["tools", "tests"]}, (
        "the image was finished before"
    )


@pytest.mark.parametrize(("count", "jobs", "largest"), [(255, 255, 1), (256, 256, 1), (257, 256, 2), (1000, 256, 4)])
def test_more_images_than_github_takes_jobs_share_them_evenly(count: int, jobs: int, largest: int) -> None:
    names = [f"i{number}" for number in range(count)]
    stages = [stage(f"{name}/1", f"COPY {name} x", "missing") for name in names]
    made = report([image(name, f"{name}/1", None) for name in names], stages)
    shares = [one["image"].split(" ") for one in json.loads(matrix(made))["include"]]
    assert [name for share in shares for name in share] == list(stale(made))
    assert (len(shares), max(map(len, shares))) == (jobs, largest) and min(map(len, shares)) >= largest - 1


@st.composite
def projects(draw: st.DrawFn) -> Report:
    """Images on top of images, some of them stale."""
    count = draw(st.integers(1, 8))
    stages: list[StageReport] = []
    images: list[ImageReport] = []
    for number in range(count):
        below = draw(st.none() | st.integers(0, number - 1)) if number else None
        copied = draw(st.lists(st.integers(0, number - 1), max_size=2)) if number else []
        needs = {*copied, *([below] if below is not None else [])}
        old = all(images[need].digest for need in needs) and draw(st.booleans())
        parent = f"i{below}/1" if below is not None else ""
        stages.append(stage(f"i{number}/1", "COPY x y", "cached" if old else "missing", parent,
                            inputs=[f"i{one}/1" for one in copied]))  # fmt: skip
        images.append(
            ImageReport(name=f"i{number}", checksum=checksum(f"i{number}/1"), digest=DIGEST if old else None)
        )
    return report(images, stages)


@given(projects())
def test_the_matrix_builds_everything_and_no_image_twice_beside_its_needs(made: Report) -> None:
    jobs = [one["image"] for one in json.loads(matrix(made))["include"]]
    found, lineage = stale(made), StageGraph(made)
    built = {name for job in jobs for name in [job, *lineage.needs(job)]}
    assert {image.name for image in made.images if image.digest is None} <= built
    assert not any(other in lineage.needs(job) for job in jobs for other in jobs)
    assert all(list(found).index(need) < list(found).index(name) for name, needs in found.items() for need in needs)
