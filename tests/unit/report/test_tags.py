from __future__ import annotations

from lineal.report.model import ImageReport, Report, TagReport
from lineal.report.stage_graph import stale
from lineal.report.tags import lines, references
from tests.unit.report.reports import DIGEST, report, stage
from tests.unit.report.reports import image as image_of


def tag(name: str, outcome: str, reason: str = "", repository: str = "ghcr.io/acme/api") -> TagReport:
    return TagReport(repository=repository, name=name, outcome=outcome, reason=reason)  # type: ignore[arg-type]


def run(*tags: TagReport) -> tuple[ImageReport, Report]:
    image = image_of("api", "api/1", DIGEST, tags=list(tags))
    return image, report([image], [stage("api/1", "FROM debian")])


def test_each_repository_has_a_line_with_what_became_of_its_tags() -> None:
    image, whole = run(
        tag("1.2.3", "written"),
        tag("latest", "left", "it is at 1a2b3c4, which is not in the history of this commit"),
        tag("1.2.3", "there", repository="docker.io/acme/api"),
        tag("v1", "refused", "The registry says\x1b[31m no.", repository="docker.io/acme/api"),
    )
    assert list(lines(whole)) == [
        "api  ghcr.io/acme/api: 1.2.3 written; latest left alone (it is at 1a2b3c4, which is not in the history of "
        "this commit)",
        "api  docker.io/acme/api: 1.2.3 there already; v1 refused (The registry says no)",
    ]
    assert references(image) == ["ghcr.io/acme/api:1.2.3", "docker.io/acme/api:1.2.3"]


def test_of_many_images_those_are_told_whose_tags_are_not_as_they_were() -> None:
    images = [image_of(f"s{number}", f"s{number}/1", tags=[tag("1", "there")]) for number in range(1300)]
    images[700].tags, images[800].tags = [tag("1", "refused", "no")], [tag("1", "written")]
    told = list(lines(report(images, [])))
    assert told[18].startswith("s700 ") and told[19].startswith("s800 ")
    assert told[20:] == ["The other tags: 1280 there already."]


def test_an_image_that_lacks_a_tag_is_work() -> None:
    assert stale(run(tag("latest", "planned"))[1]) == {"api": []}
    assert stale(run(tag("latest", "there"), tag("1", "left"))[1]) == {}
