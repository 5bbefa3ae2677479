from __future__ import annotations

import json

import pytest

from lineal.ci.build_metadata import metadata
from lineal.report.model import ImageReport, TagOutcome, TagReport

REPOSITORY, DIGEST = "ghcr.io/acme/api", "sha256:" + "a" * 64


@pytest.mark.parametrize(
    "outcome, name",
    [("moved", f"{REPOSITORY}:latest"), ("there", f"{REPOSITORY}:latest"), ("left", f"{REPOSITORY}@{DIGEST}")],
)
def test_the_name_is_of_this_image_and_of_no_other(outcome: TagOutcome, name: str) -> None:
    tags = [TagReport(repository=REPOSITORY, name="latest", outcome=outcome)]
    image = ImageReport(name="api", repository=REPOSITORY, tag="latest", digest=DIGEST, tags=tags)
    assert json.loads(metadata([image], whole=True)) == {"containerimage.digest": DIGEST, "image.name": name}
