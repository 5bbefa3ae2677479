from __future__ import annotations

import pytest

from lineal.init.build import Build
from lineal.init.gitlab import builds

PATH = ".gitlab-ci.yml"


@pytest.mark.parametrize(
    ("line", "build"),
    [
        (
            "/kaniko/executor --context $CI_PROJECT_DIR/api --dockerfile Dockerfile.prod --build-arg A=1 "
            "--destination $CI_REGISTRY_IMAGE:x",
            Build("api/Dockerfile.prod", "api", args={"A": "1"}, source=PATH, name="job"),
        ),
        (
            'docker buildx build --push -t "$IMAGE" -f docker/Dockerfile --target=run --platform linux/arm64 .',
            Build("docker/Dockerfile", ".", "run", source=PATH, name="job", platforms=("linux/arm64",)),
        ),
        (
            "docker build --cache-from $X -t $Y $FOLDER && docker push $Y",
            Build("web/Dockerfile", "web", source=PATH, name="job"),
        ),
        ("buildah bud .", Build("Dockerfile", ".", source=PATH, name="job")),
        ("echo docker push x", None),
        ("docker build https://example.com/x.git", None),
        ('docker build "', None),
    ],
)  # fmt: skip
def test_a_line_of_a_job_is_a_build(line: str, build: Build | None) -> None:
    document = {"variables": {"FOLDER": "web"}, "job": {"script": ["echo", line]}, "stages": ["a"]}
    assert list(builds(PATH, document)) == ([build] if build else [])
