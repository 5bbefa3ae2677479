"""Images of several platforms: their parts on one runner or on several, and the index that the last one finishes."""

from __future__ import annotations

import io
import json
import shlex
import tarfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import emulation
from tests.e2e.parts import NOWHERE, Project, Ran, docker
from tests.tools import helm as binaries

ROOT = Path(__file__).parents[2]
AMD64, ARM64 = "linux/amd64", "linux/arm64"
BOTH = "project: shop\nimages: {app: {platforms: [linux/amd64, linux/arm64]}}\n"
FOR_EACH = "FROM scratch\nARG TARGETARCH\nARG BUILDPLATFORM\nENV ON=$BUILDPLATFORM\nCOPY $TARGETARCH /program\n"
SOURCES = {"amd64": "for amd64\n", "arm64": "for arm64\n"}


@pytest.fixture
def both(project: Project) -> Project:
    """A project whose image is assembled for two platforms; no engine is at hand."""
    project.lineal.env.update(NOWHERE)
    project.repo.write({"lineal.yaml": BOTH, "Dockerfile": FOR_EACH, **SOURCES}, "begin")
    return project


def index_of(project: Project, ran: Ran) -> dict[str, Any]:
    (image,) = ran.report["images"]
    return project.contents.json(image["digest"])


def program(project: Project, entry: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """The file of one platform's image, and its config."""
    manifest = project.contents.json(entry["digest"])
    with tarfile.open(fileobj=io.BytesIO(project.contents.blob(manifest["layers"][-1]["digest"]))) as tar:
        found = tar.extractfile("program")
        assert found is not None
        return found.read(), project.contents.json(manifest["config"]["digest"])


def test_one_run_builds_all_platforms_without_an_engine_and_the_next_one_nothing(both: Project) -> None:
    built = both.build()
    entries = index_of(both, built)["manifests"]
    assert [entry["platform"] for entry in entries] == [
        {"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}
    ]  # fmt: skip
    for entry, architecture in zip(entries, ("amd64", "arm64"), strict=True):
        content, config = program(both, entry)
        assert content.decode() == f"for {architecture}\n" and config["architecture"] == architecture
        assert f"ON={AMD64}" in config["config"]["Env"], "the first platform is the one that builds"
    again = both.clone("later").build()
    assert again.made == [] and again.digests == built.digests
    assert again.report["requests"] <= 9, "two anchors, two stages, two manifests, a tag, and who we are"
    assert [part["name"] for part in again.report["images"][0]["platforms"]] == [AMD64, ARM64]
    assert both.plan("--exit-code").report["images"][0]["digest"] == built.digests["app"]


@pytest.mark.parametrize(("first", "last"), [(AMD64, ARM64), (ARM64, AMD64)])
def test_whichever_runner_comes_last_finishes_the_same_image(both: Project, first: str, last: str) -> None:
    alone = both.build("--platform", first)
    assert f"waiting    app is finished by the run that builds {last}" in alone.stderr
    assert (alone.stdout, alone.digests, len(alone.made)) == ("", {"app": None}, 1)
    assert not [tag for tag in both.contents.tags() if tag.startswith("image-")]
    pending = both.plan("--exit-code", code=2)
    assert [stage["platform"] for stage in pending.stages if stage["outcome"] == "missing"] == [last]
    assert both.plan("--platform", first, "--exit-code").stages[-1]["outcome"] == "cached"
    done = both.clone("other").build("--platform", last)
    assert [stage["platform"] for stage in done.stages] == [last]
    tag = f"image-{done.digests['app'][7:23]}"  # type: ignore[index]
    assert both.contents.tags()[tag] == done.digests["app"]
    assert both.build().digests == done.digests


def test_two_runners_that_end_at_once_agree(both: Project) -> None:
    runs = [both.start("build", "--platform", platform) for platform in (AMD64, ARM64)]
    ended = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], ended
    references = {line for out, _ in ended for line in out.splitlines()}
    assert len(references) == 1, "one of them or both have finished the same image"
    digest = both.build().digests["app"]
    assert references == {f"app {both.store}:image-{str(digest)[7:23]}@{digest}"}


@pytest.mark.helm
def test_tags_wait_for_the_last_part_and_a_deploy_for_all(both: Project) -> None:
    tagged = BOTH + "publish: {tags: [latest]}\ndeploy: {chart: chart}\n"
    chart = {"chart/Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n", "chart/templates/a.yaml": "a: 1\n"}
    both.repo.write({"lineal.yaml": tagged, **chart}, "publish")
    both.build("--platform", AMD64)
    helm = {"LINEAL_HELM": str(binaries.directory() / "helm4")}
    refused = both.run("render", "--env", "x", code=1, env=helm)
    assert "missing for this commit: app (linux/arm64: " in refused.error
    assert "latest" not in both.contents.tags()
    digest = both.build("--platform", ARM64).digests["app"]
    assert both.contents.tags()["latest"] == digest


def test_a_platform_that_no_image_has_is_refused(both: Project) -> None:
    error = both.build("--platform", "linux/s390x", code=3).error
    assert error.startswith(
        "None of these images is built for linux/s390x (--platform). They are built for linux/amd64"
    )
    assert "is not a platform that Lineal builds" in both.build("--platform", "windows/amd64", code=3).error


def test_without_platforms_in_the_project_the_flag_says_them(project: Project) -> None:
    project.lineal.env.update(NOWHERE)
    project.write(FOR_EACH, SOURCES)
    one = project.build()
    assert "manifests" in index_of(project, one), "the index of a stage"
    assert [part["name"] for part in one.report["images"][0]["platforms"]] == [AMD64]
    two = project.build("--platform", "amd64,arm64")
    assert [entry["platform"]["architecture"] for entry in index_of(project, two)["manifests"]] == ["amd64", "arm64"]
    error = project.plan("--platform", "amd64,arm64", "--format", "matrix", code=3).error
    assert "lineal.yaml has to name them, not --platform" in error
    assert two.stages[0]["outcome"] == "cached", "the part for amd64 is what was built before"


def test_an_archive_has_all_platforms_and_one_for_docker_this_machine_s(both: Project, tmp_path: Path) -> None:
    both.build("--output", f"type=oci,dest={tmp_path}/all.tar", "--output", f"type=docker,dest={tmp_path}/own.tar")

    def read(name: str, part: str) -> Any:
        with tarfile.open(tmp_path / name) as tar:
            found = tar.extractfile(part)
            assert found is not None
            return json.loads(found.read())

    entry, own_tag = read("all.tar", "index.json")["manifests"]
    assert entry["digest"] == own_tag["digest"]
    index = read("all.tar", f"blobs/{entry['digest'].replace(':', '/')}")
    assert [one["platform"]["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
    (image,) = read("own.tar", "manifest.json")
    assert read("own.tar", image["Config"])["architecture"] == "amd64"


def test_the_jobs_of_a_child_pipeline_finish_the_image(both: Project) -> None:
    pipeline = yaml.safe_load(both.plan("--format", "gitlab", env={"LINEAL_RUNNER": "linux/amd64=docker,x86"}).stdout)
    jobs = {name: job for name, job in pipeline.items() if name.startswith("build ")}
    assert [job["tags"] for job in jobs.values()] == [["docker", "x86"]]
    for job in jobs.values():
        (line,) = job["script"]
        assert shlex.split(line)[0] == "lineal"
        done = both.run(*shlex.split(line)[1:])
    assert len(index_of(both, done)["manifests"]) == 2
    assert "nothing to build" in both.plan("--format", "gitlab").stdout


# --- RUN for another processor ----------------------------------------------------------------------------------


@pytest.fixture
def arm64() -> Iterator[None]:
    try:
        with emulation.arm64():
            yield
    except emulation.NoEmulation as reason:
        pytest.skip(f"NOT TESTED: RUN for linux/arm64, because {reason}.")


LISTED = """\
FROM --platform=$BUILDPLATFORM {base} AS once
RUN cat /proc/sys/kernel/random/uuid >/once
FROM scratch
ARG TARGETARCH
COPY $TARGETARCH /lister
COPY --from=once /once /tree/{mark}/once
RUN ["/lister", "/tree", "/listed"]
"""


def expand(text: str, job: dict[str, str]) -> str:
    """As GitHub reads a text of a job with a matrix."""
    for name, value in job.items():
        text = text.replace(f"${{{{ matrix.{name} }}}}", value)
    assert "${{" not in text
    return text


def run_project(project: Project, base: str, mark: str) -> None:
    """A chain with a RUN for each of two platforms, on top of one that is for the build platform."""
    program = files("lineal.engine.buildkit") / "lister"
    sources = {"amd64": (program / "x86_64").read_bytes(), "arm64": (program / "aarch64").read_bytes()}
    files_ = {"lineal.yaml": BOTH, "Dockerfile": LISTED.format(base=base, mark=mark), **sources}
    project.repo.write(files_, "lister")  # type: ignore[arg-type]
    for name in sources:
        (project.repo.path / name).chmod(0o755)
    project.repo.write({}, "executable")


def test_an_engine_without_emulation_is_told_before_anything_runs(
    project: Project, base_image: str, mark: str
) -> None:
    """The first of its kind: an engine does not forget what it could emulate."""
    if (Path("/proc/sys/fs/binfmt_misc") / "qemu-aarch64").exists():
        pytest.skip("NOT TESTED: this machine emulates other processors.")
    run_project(project, base_image, mark)
    refused = project.build("--platform", ARM64, code=5)
    assert "(linux/amd64) executes no programs for linux/arm64, nor does it emulate them" in refused.error
    assert docker("version", env=project.lineal.env, check=False).returncode == 0


def test_a_run_for_arm64_is_emulated_where_the_engine_says_that_it_can(
    project: Project, base_image: str, mark: str, arm64: None
) -> None:
    """The jobs of the workflow for native runners, one after the other: the last one finishes."""
    run_project(project, base_image, mark)
    include = json.loads(project.plan("--format", "matrix").stdout)["include"]
    assert [job["runner"] for job in include] == ["ubuntu-24.04", "ubuntu-24.04-arm"]
    step = yaml.safe_load((ROOT / "examples/ci/github-platforms.yml").read_text())["jobs"]["build"]["steps"][-1]
    first, built = (
        project.build(*expand(step["with"]["images"], job).split(), env={"LINEAL_PLATFORM": expand(
            step["with"]["platform"], job)}) for job in reversed(include)
    )  # fmt: skip
    assert "RUN for linux/arm64 goes to auto (default): emulated." in first.stderr
    assert [first.made.count("RUN"), built.made.count("RUN")] == [2, 1], "what is for the build platform runs once"
    entries = index_of(project, built)["manifests"]
    listed = []
    for entry in entries:
        manifest = project.contents.json(entry["digest"])
        with tarfile.open(fileobj=io.BytesIO(project.contents.blob(manifest["layers"][-1]["digest"]))) as tar:
            found = tar.extractfile("listed")
            assert found is not None
            listed.append(found.read())
    assert listed[0] == listed[1] and mark.encode() in listed[0]
    again = project.build()
    assert again.made == [] and again.digests == built.digests
