from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lineal.deploy.handover import Folder, Overtaken, Stamp, ValuesOnly, message
from lineal.errors import BadConfiguration
from lineal.git.target_branch import TargetBranch
from tests import servers

ENVIRON = {"PATH": os.environ["PATH"], **servers.GIT_ISOLATION}
MINE, LATER = "1" * 40, "2" * 40


@pytest.fixture
def target(tmp_path: Path) -> servers.Repository:
    work = servers.Repository.create(tmp_path / "work")
    work.write({"README": "of people\n", "prod/.lineal-render": json.dumps({
        "project": "shop", "commit": LATER,
        "files": ["old.yaml", "../README", "/README", "sub/x", ".", "..", "", 7, None, ".lineal-render"],
    }), "prod/old.yaml": "a: 1\n", "prod/sub/x": "theirs\n"})  # fmt: skip
    work.git("config", "receive.denyCurrentBranch", "ignore")
    return work


def folder(files: dict[str, str], later: str = "", path: str = "prod") -> Folder:
    return Folder(path, files, Stamp("shop", MINE), lambda commit: commit == later)


def commit(target: servers.Repository, change: Folder | ValuesOnly, place: Path) -> list[str]:
    """What changed."""
    done = TargetBranch(str(target.path), "main", place, ENVIRON).commit(change.change, "x\n")
    return sorted(done.paths) if done.changed else []


def test_only_files_of_the_folder_are_removed_whatever_the_list_says(
    target: servers.Repository, tmp_path: Path
) -> None:
    changed = commit(target, folder({"new.yaml": "b: 1\n"}), tmp_path / "x")
    assert changed == ["prod/.lineal-render", "prod/new.yaml", "prod/old.yaml"]
    assert target.git("ls-tree", "-r", "--name-only", "main").splitlines() == [
        "README", "prod/.lineal-render", "prod/new.yaml", "prod/sub/x",
    ]  # fmt: skip


def test_what_a_later_commit_handed_over_stays(target: servers.Repository, tmp_path: Path) -> None:
    with pytest.raises(Overtaken):
        commit(target, folder({"new.yaml": "b: 1\n"}, later=LATER), tmp_path / "x")
    # Another project, or a list of nobody knows whom, is no later commit.
    other = Folder("prod", {"new.yaml": "b: 1\n"}, Stamp("other", MINE), lambda _: True)
    assert "prod/new.yaml" in commit(target, other, tmp_path / "y")
    target.git("reset", "--quiet", "--hard")
    target.write({"prod/.lineal-render": "no JSON ["})
    assert "prod/next.yaml" in commit(target, folder({"next.yaml": "c: 1\n"}, later=LATER), tmp_path / "z")


def test_a_folder_or_a_link_in_the_way_is_refused(target: servers.Repository, tmp_path: Path) -> None:
    (target.path / "link").symlink_to("prod")
    target.write({"prod/dir.yaml/x": "theirs\n"})
    with pytest.raises(BadConfiguration, match=r"`prod/dir\.yaml` of the branch is in the way"):
        commit(target, folder({"dir.yaml": "a\n"}), tmp_path / "x")
    with pytest.raises(BadConfiguration, match="`link` of the branch is in the way"):
        commit(target, folder({"a.yaml": "a\n"}, path="link"), tmp_path / "y")


@pytest.mark.parametrize("name", [".argocd-source.yaml", ".argocd-source-shop.yaml", "Chart.yaml", "zChart.yaml"])
def test_nothing_is_signed_beside_what_steers_argo(target: servers.Repository, tmp_path: Path, name: str) -> None:
    target.write({f"prod/{name}": "a: 1\n", "prod/sub/Chart.yaml": "a: 1\n", "Chart.yaml": "a: 1\n"})
    new = {"new.yaml": "b: 1\n"}
    with pytest.raises(BadConfiguration, match=f"`prod/{name}` of the branch was not written by"):
        commit(target, replace(folder(new), signed=True), tmp_path / "x")
    assert "prod/new.yaml" in commit(target, folder(new), tmp_path / "y")
    # Nothing changes, so nothing is signed.
    assert commit(target, replace(folder(new), signed=True), tmp_path / "z") == []


def test_what_steers_argo_elsewhere_is_in_nobodys_way(target: servers.Repository, tmp_path: Path) -> None:
    target.write({"prod/sub/Chart.yaml": "a: 1\n", "Chart.yaml": "a: 1\n", ".argocd-source.yaml": "{}\n"})
    signed = replace(folder({"new.yaml": "b: 1\n"}), signed=True)
    # The commit is made here; whether it is signed, git is told elsewhere.
    assert "prod/new.yaml" in commit(target, signed, tmp_path / "x")
    with pytest.raises(BadConfiguration, match=r"`\.argocd-source\.yaml` of the branch"):
        commit(target, replace(signed, path=""), tmp_path / "y")


def test_values_have_a_stamp_of_their_own(target: servers.Repository, tmp_path: Path) -> None:
    values = ValuesOnly("prod/values.yaml", "a: 1\n", Stamp("shop", MINE), lambda commit: commit == LATER)
    assert commit(target, values, tmp_path / "x") == ["prod/values.yaml"]
    assert commit(target, ValuesOnly("prod/values.yaml", "a: 1\n", Stamp("shop", LATER), bool), tmp_path / "y") == []
    after = ValuesOnly("prod/values.yaml", "a: 2\n", Stamp("shop", LATER), lambda _: False)
    assert commit(target, after, tmp_path / "z") == ["prod/values.yaml"]
    with pytest.raises(Overtaken):
        commit(target, values, tmp_path / "w")


def test_the_message_names_what_is_known() -> None:
    said = message(
        Stamp("shop", MINE), "prod", "https://git.example.com/a/shop", "https://ci/7", {"b": "r@2", "a": "r@1"}
    )
    assert said == (
        f"shop prod: {MINE[:12]}\n\nCommit: {MINE} of https://git.example.com/a/shop\nPipeline: https://ci/7\n"
        "Image: a r@1\nImage: b r@2\n"
    )
    assert message(Stamp("shop", MINE), "", "", "", {}) == f"shop: {MINE[:12]}\n\nCommit: {MINE}\n"
