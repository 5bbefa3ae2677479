from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml

from lineal.kube import kubeconfig


def test_the_first_current_context_of_several_files_counts(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("contexts: [{name: one}]\n")
    (tmp_path / "b").write_text("current-context: two\ncontexts: [{name: two}, {name: three}]\n")
    found = kubeconfig.choose({"KUBECONFIG": f"{tmp_path}/a:{tmp_path}/missing:{tmp_path}/b"}, None)
    assert (found.context, found.known) == ("two", ("one", "two", "three"))
    assert found.files == (tmp_path / "a", tmp_path / "b")
    assert str(found) == f"context two of {tmp_path}/a:{tmp_path}/b"


def test_the_context_asked_for_wins_over_the_environment_and_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("current-context: file\n")
    environ = {"KUBECONFIG": f"{tmp_path}/a", "HELM_KUBECONTEXT": "environment"}
    assert kubeconfig.choose(environ, "flag").context == "flag"
    assert kubeconfig.choose(environ, None).context == "environment"


def test_without_kubeconfig_it_is_the_one_in_the_home_directory(tmp_path: Path) -> None:
    found = kubeconfig.choose({"HOME": str(tmp_path)}, None)
    assert (str(found), found.wanted) == ("no kubeconfig", (tmp_path / ".kube" / "config",))


@pytest.mark.parametrize("text", ["a: [", "- list", "contexts: x", "contexts: [x, {y: 1}]", "\x00", "[" * 5000])
def test_a_broken_kubeconfig_still_has_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").write_text(text)
    assert str(kubeconfig.choose({"KUBECONFIG": f"{tmp_path}/a"}, None)) == f"kubeconfig {tmp_path}/a"


TEXT = "apiVersion: v1\nclusters: []\n"


@pytest.mark.parametrize("text", [TEXT, '{"clusters": []}', base64.b64encode(TEXT.encode()).decode()])
def test_a_kubeconfig_in_the_variable_itself_becomes_a_private_file(tmp_path: Path, text: str) -> None:
    environ = kubeconfig.on_disk({"KUBECONFIG": text, "HOME": "/h"}, tmp_path)
    file = Path(environ["KUBECONFIG"])
    assert yaml.safe_load(file.read_text())["clusters"] == []
    assert (file.stat().st_mode & 0o777, environ["HOME"]) == (0o600, "/h")


@pytest.mark.parametrize("text", ["", "/a/config", "a:b", "deploy/kubeconfig"])
def test_a_kubeconfig_that_is_a_path_stays(tmp_path: Path, text: str) -> None:
    assert kubeconfig.on_disk({"KUBECONFIG": text}, tmp_path) == {"KUBECONFIG": text}
    assert not list(tmp_path.iterdir())
