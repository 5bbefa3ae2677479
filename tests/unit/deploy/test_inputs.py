"""What is deployed: the commit's chart, the values in order, and the references of its images."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lineal.commands.build import build_images
from lineal.commands.plan import plan_images, unbuilt
from lineal.deploy.inputs import ReleaseInputs
from lineal.deploy.release import Release
from lineal.errors import BadConfiguration, DeployFailed, LinealError, Uncommitted
from lineal.report.log import LogProgress
from lineal.session.session import Session
from lineal.session.settings import Settings
from tests import servers

CONFIG = """
project: shop
images: {app: {}}
deploy:
  chart: deploy/chart
  release: "shop-{{ env }}"
  values: [deploy/one.yaml, deploy/two.yaml.j2]
"""
FILES: dict[str, str | bytes | None] = {
    "lineal.yaml": CONFIG, "Dockerfile": "FROM scratch\nCOPY app /\n", "app": "1",
    "deploy/chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
    "deploy/chart/templates/run.sh": "#!/bin/sh",
    "deploy/one.yaml": "one: 1\n", "deploy/two.yaml.j2": "two: {{ images.app.digest }} {{ git.branch }}\n",
    "extra/three.yaml": "three: 3\n",
}  # fmt: skip

MakeRun = Callable[..., Session]


@pytest.fixture
def run(repo: servers.Repository, tmp_path: Path) -> Iterator[MakeRun]:
    """Makes a run in the repository, once `FILES` and what the test changed of them are committed."""
    runs: list[Session] = []

    def make(start: str = ".", **given: object) -> Session:
        workspace = tmp_path / f"workspace-{len(runs)}"
        workspace.mkdir()
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **servers.GIT_ISOLATION}
        about = {"repo": f"layout:{tmp_path}/store", "env": "prod", "environ": environ} | given
        runs.append(Session(Settings.of(**about), LogProgress(io.StringIO()), workspace, repo.path.resolve() / start))
        return runs[-1]

    repo.put(FILES)
    yield make
    for one in runs:
        one.close()


def commit(repo: servers.Repository, **changes: str | None) -> None:
    repo.write({name.replace("__", "/"): text for name, text in changes.items()})


def released(run: Session) -> Release:
    inputs = ReleaseInputs(run)
    return inputs.release(build_images(run, plan_images(run, release=inputs)))


def refusal(run: Session) -> LinealError:
    with pytest.raises(LinealError) as refused:
        released(run)
    assert "\n" not in str(refused.value)
    return refused.value


def test_the_chart_is_that_of_the_commit(repo: servers.Repository, run: MakeRun) -> None:
    (repo.path / "deploy/chart/values.yaml").symlink_to("../one.yaml")
    commit(repo)
    chart = released(run()).chart
    place = Path(chart.location)
    assert chart.name == "deploy/chart" and chart.is_directory
    assert (place / "values.yaml").read_text() == "one: 1\n" and not (place / "values.yaml").is_symlink()
    assert (place / "templates/run.sh").stat().st_mode & 0o111
    assert not place.is_relative_to(repo.path)


def test_a_chart_may_be_the_root_of_the_repository(repo: servers.Repository, run: MakeRun) -> None:
    commit(repo, **{"lineal.yaml": CONFIG.replace("deploy/chart", "."), "Chart.yaml": "name: shop\n"})
    assert (Path(released(run()).chart.location) / "Chart.yaml").read_text() == "name: shop\n"
    repo.put({"templates/new.yaml": "x"})
    assert "templates/new.yaml (untracked)" in str(refusal(run()))


def test_values_come_in_order_and_what_lineal_knows_last(
    repo: servers.Repository, run: MakeRun, tmp_path: Path
) -> None:
    commit(repo)
    (tmp_path / "outside.yaml").write_text("four: 4\n")
    release = released(run(values=("extra/three.yaml", str(tmp_path / "outside.yaml")), set=("five=5", "six=6")))
    assert [file.name for file in release.values] == [
        "deploy/one.yaml", "deploy/two.yaml.j2", "extra/three.yaml", f"{tmp_path}/outside.yaml", "global.lineal"
    ]  # fmt: skip
    texts = [file.path.read_text() for file in release.values]
    about = json.loads(texts[-1])["global"]["lineal"]
    digest = about["images"]["app"]["digest"]
    assert texts[:-1] == ["one: 1\n", f"two: {digest} main\n", "three: 3\n", "four: 4\n"]
    assert digest.startswith("sha256:") and about["commit"] == repo.head() and about["env"] == "prod"
    assert release.sets == ("five=5", "six=6")
    assert str(release) == "release shop-prod in namespace shop-prod"
    assert release.description == f"shop {repo.head()[:12]}"


def test_a_values_file_of_the_command_line_is_found_from_where_the_user_is(
    repo: servers.Repository, run: MakeRun
) -> None:
    commit(repo)
    for start, name in (
        ("extra", "three.yaml"),
        ("deploy/chart", "../../extra/three.yaml"),
        ("extra", f"{repo.path}/extra/three.yaml"),
    ):
        assert "extra/three.yaml" in [file.name for file in released(run(start, values=(name,))).values]
    (repo.path.parent / "outside.yaml").write_text("x: 1\n")
    assert released(run("extra", values=("../../outside.yaml",))).values[-2].path.read_text() == "x: 1\n"


def test_the_commit_s_values_are_used_and_changes_of_them_are_refused(repo: servers.Repository, run: MakeRun) -> None:
    commit(repo)
    repo.put({"extra/three.yaml": "three: 33\n"})
    assert len(released(run()).values) == 3
    error = refusal(run(values=("extra/three.yaml",)))
    assert isinstance(error, Uncommitted) and "extra/three.yaml (modified)" in str(error)
    release = released(run(values=("extra/three.yaml",), ignore_uncommitted=True))
    assert release.values[2].path.read_text() == "three: 3\n"
    release = released(run(values=("extra/three.yaml",), dev=True))
    assert release.values[2].path.read_text() == "three: 33\n"


def test_a_changed_chart_is_refused(repo: servers.Repository, run: MakeRun) -> None:
    commit(repo)
    repo.put({"deploy/chart/templates/new.yaml": "x", "deploy/other": "x"})
    error = refusal(run())
    assert isinstance(error, Uncommitted)
    assert "deploy/chart/templates/new.yaml (untracked)." in str(error) and "deploy/other" not in str(error)


@pytest.mark.parametrize(
    ("changes", "given", "kind", "sentence"),
    [
        ({"deploy/chart": "none"}, {}, BadConfiguration,
         "lineal.yaml:5: deploy.chart: The chart none does not exist in the commit. Correct the path."),
        ({"deploy/chart": "app"}, {}, BadConfiguration,
         "lineal.yaml:5: deploy.chart: The chart app is a file, not a directory. Correct the path."),
        ({"deploy/one.yaml": "none.yaml"}, {}, BadConfiguration,
         "lineal.yaml:7: deploy.values[0]: The values file none.yaml does not exist in the commit."),
        ({}, {"values": ("none.yaml",)}, BadConfiguration, "The values file none.yaml does not exist in the commit."),
        ({}, {"values": ("/none.yaml",)}, BadConfiguration,
         "The values file /none.yaml cannot be read: No such file or directory."),
        ({}, {"values": ("deploy",)}, BadConfiguration, "The values file deploy does not exist in the commit."),
    ],
)  # fmt: skip
def test_what_is_not_there_is_named(
    repo: servers.Repository, run: MakeRun, changes: dict[str, str], given: dict[str, object],
    kind: type[LinealError], sentence: str,
) -> None:  # fmt: skip
    config = CONFIG
    for old, new in changes.items():
        config = config.replace(old, new)
    commit(repo, **{"lineal.yaml": config})
    error = refusal(run(**given))
    assert str(error).startswith(sentence) and type(error) is kind


def test_what_git_ignores_is_not_committed(repo: servers.Repository, run: MakeRun) -> None:
    commit(repo, **{"lineal.yaml": CONFIG.replace("deploy/chart", "built/chart"), ".gitignore": "built\n"})
    repo.put({"built/chart/Chart.yaml": "x", "built/values.yaml": "x: 1\n"})
    assert str(refusal(run())).startswith("lineal.yaml:5: deploy.chart: The chart built/chart is in the ")
    commit(repo, **{"lineal.yaml": CONFIG})
    error = refusal(run(values=("built/values.yaml",)))
    assert isinstance(error, Uncommitted) and "The values file built/values.yaml is in the " in str(error)


def test_an_image_that_is_not_published_is_named(repo: servers.Repository, run: MakeRun) -> None:
    commit(repo)
    one = run()
    inputs, result = ReleaseInputs(one), unbuilt(one, plan_images(one))
    with pytest.raises(DeployFailed, match=r"An image is missing for this commit: app \(.*`lineal build` first"):
        inputs.release(result)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("1h30m", 5400), ("90s", 90), ("1.5h", 5400), ("500ms", 0.5), ("2h3m4s", 7384)],
)
def test_durations(repo: servers.Repository, run: MakeRun, text: str, seconds: float) -> None:
    commit(repo)
    assert ReleaseInputs(run(timeout=text)).seconds == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["10", "m", "10 m", "-5m", "10m!", "1d", "ten minutes"])
def test_what_is_no_duration_is_refused_with_where_it_came_from(
    repo: servers.Repository, run: MakeRun, text: str
) -> None:
    commit(repo)
    with pytest.raises(BadConfiguration) as refused:
        ReleaseInputs(run(timeout=text))
    assert str(refused.value) == f"{text!r} (--timeout) is not a duration. Write it as 10m or 1h30m. [LN-6005]"


def test_a_project_without_deploy_says_so(repo: servers.Repository, run: MakeRun) -> None:
    commit(repo, **{"lineal.yaml": "project: shop\nimages: {app: {}}\n"})
    with pytest.raises(BadConfiguration, match="deploy"):
        ReleaseInputs(run())


def test_flags_win_over_names_of_the_configuration(repo: servers.Repository, run: MakeRun) -> None:
    commit(repo)
    release = released(run(release="other", namespace="elsewhere", kube_context="prod"))
    assert (release.name, release.namespace, release.kube_context) == ("other", "elsewhere", "prod")


def test_applying_on_the_server_is_asked_for_by_a_flag_too(repo: servers.Repository, run: MakeRun) -> None:
    commit(repo)
    assert [released(run(server_side=wanted)).server_side for wanted in (True, False)] == [True, False]


def test_a_chart_in_a_plain_http_registry_is_marked(repo: servers.Repository, run: MakeRun) -> None:
    commit(repo, **{"lineal.yaml": CONFIG.replace("deploy/chart", "oci://charts:5000/shop:1.0.0")})
    assert not ReleaseInputs(run()).plain_http
    assert ReleaseInputs(run(insecure_registry=("charts:5000",))).plain_http
