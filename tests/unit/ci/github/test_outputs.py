"""The outputs of a step: what they say, and that nothing in them can say more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.ci.github.outputs import encode, host_path, outputs, too_much
from lineal.report.model import ContextReport, ImageReport, Report
from tests import servers
from tests.conftest import Lineal
from tests.runner.runner import file_command

DIGEST = "sha256:" + "1" * 64


def image(name: str, *, published: bool = True, built: bool = False) -> ImageReport:
    if not published:
        return ImageReport(name=name, built=built)
    repository, tag = "ghcr.io/o/shop", "2" * 64 + "-1700000000000"
    return ImageReport(
        name=name, ref=f"{repository}:{tag}@{DIGEST}", image=f"{repository}@{DIGEST}", repository=repository, tag=tag,
        digest=DIGEST, built=built,
    )  # fmt: skip


def report(*images: ImageReport) -> Report:
    context = ContextReport(provider="github", event="push", commit="0" * 40)
    return Report(
        lineal="0", command="build", project="shop", store="s", context=context, images=list(images), stages=[]
    )


def test_one_image_has_its_name_and_digest_apart() -> None:
    found = outputs(report(image("api", built=True)), "/tmp/report.json")
    assert (found["image"], found["digest"]) == ("ghcr.io/o/shop", DIGEST)
    assert (found["built"], found["report"]) == ("true", "/tmp/report.json")
    assert json.loads(found["images"])["api"] == {
        "ref": f"ghcr.io/o/shop:{'2' * 64}-1700000000000@{DIGEST}",
        "image": f"ghcr.io/o/shop@{DIGEST}",
        "repository": "ghcr.io/o/shop",
        "tag": "2" * 64 + "-1700000000000",
        "digest": DIGEST,
    }


def test_what_is_not_published_is_in_the_matrix_and_nowhere_else() -> None:
    found = outputs(report(image("api"), image("web", published=False)))
    assert list(json.loads(found["images"])) == ["api"]
    assert json.loads(found["matrix"]) == {"include": [{"image": "web"}]}
    assert found["built"] == "false"
    assert not {"image", "digest", "report"} & set(found)


@given(st.dictionaries(st.from_regex(r"[a-z]+", fullmatch=True), st.text(st.characters(codec="utf-8"))))
def test_the_runner_reads_back_what_was_written_whatever_it_is(values: dict[str, str]) -> None:
    hostile = {name: f"{value}\nlineal_0\nEOF\nimage=evil\nimage<<X\n" for name, value in values.items()}
    assert dict(file_command(encode(hostile).decode())) == hostile


def test_two_writes_share_no_delimiter() -> None:
    assert encode({"a": "1"}).splitlines()[0] != encode({"a": "1"}).splitlines()[0]


def test_what_github_would_not_take_is_left_out_largest_first() -> None:
    images = [image(f"image-{number}") for number in range(3000)]
    found = outputs(report(*images))
    assert too_much(found) == ["images"]
    assert too_much(outputs(report(*images[:200]))) == []


@pytest.mark.parametrize(
    "path, there",
    [
        ("/github/workspace/out/r.json", "/home/runner/work/a/a/out/r.json"),
        ("/github/runner_temp/r.json", "/home/runner/work/_temp/r.json"),
        ("/github/home/r.json", "/home/runner/work/_temp/_github_home/r.json"),
        ("/tmp/r.json", "/tmp/r.json"),
        ("/github/workspace-2/r.json", "/github/workspace-2/r.json"),
    ],
)
def test_a_path_is_the_runner_s(path: str, there: str) -> None:
    environ = {
        "GITHUB_WORKSPACE": "/github/workspace", "RUNNER_TEMP": "/github/runner_temp", "HOME": "/github/home",
        "LINEAL_ACTION_TEMP": "/home/runner/work/_temp", "LINEAL_ACTION_WORKSPACE": "/home/runner/work/a/a",
    }  # fmt: skip
    assert host_path(path, environ) == there
    assert host_path(path, {}) == path


def test_a_run_step_gets_them_too_behind_what_it_has_said_itself(
    repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> None:
    repo.write({"Dockerfile": "FROM scratch\nCOPY hello /\n", "hello": "hello"})
    path = tmp_path / "output"
    path.write_text("mine=1\n")
    env = {"GITHUB_OUTPUT": str(path), "LINEAL_REPO": f"layout:{tmp_path / 'store'}"}
    assert lineal("build", "--report", "../report.json", env=env).code == 0
    found = dict(file_command(path.read_text()))
    assert (found["mine"], found["built"], found["report"]) == ("1", "true", str(tmp_path / "report.json"))
    assert found["digest"] in (tmp_path / "report.json").read_text()

    refused = lineal("plan", env={**env, "GITHUB_OUTPUT": str(tmp_path / "no/output")})
    assert refused.code == 3
    assert (
        f"The step's outputs cannot be written to {tmp_path}/no/output: No such file or directory." in refused.stderr
    )
