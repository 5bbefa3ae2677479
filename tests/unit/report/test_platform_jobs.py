"""Jobs of a pipeline for images of several platforms: on which runner each part is built."""

from __future__ import annotations

import json

import yaml

from lineal.ci.github.matrix import matrix
from lineal.ci.gitlab.child_pipeline import child
from lineal.report.model import ImageReport, PlatformReport, Report, StageReport, TagReport
from tests.unit.report.reports import DIGEST, checksum, image, report, stage

AMD64, ARM64 = "linux/amd64", "linux/arm64"


def of(name: str, *platforms: str, requires: tuple[str, ...] = (), published: tuple[str, ...] = ()) -> ImageReport:
    made = image(name, f"{name}/{platforms[0]}", None, requires=list(requires))
    made.platforms = [
        PlatformReport(name=one, checksum=checksum(f"{name}/{one}"), published=one in published) for one in platforms
    ]
    return made


def made(name: str, platform: str, text: str = "RUN make", below: str = "") -> StageReport:
    found = stage(f"{name.partition('/')[0]}/1", text, "missing", below)
    found.checksum, found.platform = checksum(name), platform
    return found


def each(name: str, text: str = "RUN make") -> list[StageReport]:
    return [made(f"{name}/{platform}", platform, text) for platform in (AMD64, ARM64)]


def jobs(found: Report) -> list[dict[str, str]]:
    include: list[dict[str, str]] = json.loads(matrix(found))["include"]
    return include


def test_each_platform_has_a_job_on_a_runner_of_its_own() -> None:
    native = report([of("app", AMD64, ARM64)], each("app"))
    assert jobs(native) == [
        {"image": "app", "platform": AMD64, "runner": "ubuntu-24.04"},
        {"image": "app", "platform": ARM64, "runner": "ubuntu-24.04-arm"},
    ]
    named = json.loads(matrix(native, {ARM64: ("mine",)}))["include"]
    assert [job["runner"] for job in named] == ["ubuntu-24.04", "mine"]
    pipeline = yaml.safe_load(child(native, {}, {}, {ARM64: ("docker", "arm")}))
    assert pipeline["build app linux/arm64"]["tags"] == ["docker", "arm"]
    assert pipeline["build app linux/amd64"]["tags"] == ["amd64"]
    assert pipeline["build app linux/arm64"]["script"] == ["lineal build app --platform linux/arm64"]


def test_a_project_for_one_platform_has_jobs_as_ever() -> None:
    one = report([of("app", AMD64)], [made(f"app/{AMD64}", AMD64)])
    assert jobs(one) == [{"image": "app"}]
    assert "tags" not in yaml.safe_load(child(one, {}, {}))["build app"]


def test_what_is_cross_compiled_or_assembled_needs_no_other_runner() -> None:
    build = made("go", AMD64)
    parts = [made(f"app/{platform}", platform, "COPY --from=build /a /a", "go") for platform in (AMD64, ARM64)]
    cross = report([of("app", AMD64, ARM64)], [build, *parts])
    assert jobs(cross) == [{"image": "app", "platform": f"{AMD64},{ARM64}", "runner": "ubuntu-24.04"}]
    assembled = report([of("app", ARM64, AMD64)], parts)
    assert jobs(assembled) == [{"image": "app", "platform": f"{ARM64},{AMD64}", "runner": "ubuntu-24.04-arm"}]


def test_only_what_is_missing_has_a_job() -> None:
    half = report([of("app", AMD64, ARM64, published=(AMD64,))], each("app"))
    assert [job["runner"] for job in jobs(half)] == ["ubuntu-24.04-arm"]
    never = report([of("app", AMD64, ARM64, published=(AMD64, ARM64))], each("app"))
    assert jobs(never) == [], "`publish: false`: there is nothing to finish"
    ready = report([of("app", AMD64, ARM64, published=(AMD64, ARM64))], each("app"))
    ready.images[0].tags = [TagReport(repository="r", name="1", outcome="planned")]
    assert len(jobs(ready)) == 1, "it is only to be finished"
    ready.images[0].digest, ready.images[0].tags = DIGEST, []
    assert jobs(ready) == []


def test_the_job_that_builds_what_an_image_requires_can_finish_that_image() -> None:
    found = report(
        [of("tests", AMD64), of("app", ARM64, requires=("tests",))],
        [made(f"tests/{AMD64}", AMD64), made(f"app/{ARM64}", ARM64)],
    )
    assert [(job["image"], job["platform"]) for job in jobs(found)] == [("app", AMD64), ("app", ARM64)]
    pipeline = yaml.safe_load(child(found, {}, {}))
    assert pipeline["build app linux/arm64"]["needs"] == ["build tests linux/amd64"]


def test_of_more_images_than_a_matrix_takes_several_share_a_job() -> None:
    names = [f"i{number}" for number in range(200)]
    found = report([of(name, AMD64, ARM64) for name in names], [one for name in names for one in each(name)])
    include = jobs(found)
    assert len(include) == 256
    for platform in (AMD64, ARM64):
        images = [name for job in include if job["platform"] == platform for name in job["image"].split()]
        assert sorted(images) == sorted(names)
