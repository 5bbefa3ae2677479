from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from lineal.deploy.helm.client import Helm
from lineal.deploy.render import LEDGER, render, render_to
from lineal.errors import BadConfiguration, DeployFailed, Unreachable
from tests.unit.deploy.conftest import DIGEST, MakeRelease

FILES = ["shop/templates/api.yaml", "shop/templates/settings.yaml"]


def files_in(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def test_manifests_come_as_text(helm: Helm, release: MakeRelease) -> None:
    text = render(helm, release())
    assert text.count("\n# Source: ") == 2
    assert f"registry.example.com/team/app:v1@{DIGEST}" in text


def test_rendering_twice_gives_the_same_bytes(helm: Helm, release: MakeRelease) -> None:
    assert render(helm, release()) == render(helm, release())


def test_custom_resource_definitions_are_part_of_it(helm: Helm, release: MakeRelease, chart: Path) -> None:
    (chart / "crds").mkdir()
    (chart / "crds" / "x.yaml").write_text("kind: CustomResourceDefinition\nmetadata: {name: x}\n")
    assert "CustomResourceDefinition" in render(helm, release())


def test_a_directory_gets_one_file_for_each_template(helm: Helm, release: MakeRelease, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    assert render_to(helm, release(), out) == FILES
    assert files_in(out) == sorted([LEDGER, *FILES])
    assert yaml.safe_load((out / FILES[0]).read_text())["kind"] == "Deployment"


def test_a_second_run_replaces_its_files_removes_old_ones_and_keeps_others(
    helm: Helm, release: MakeRelease, chart: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    render_to(helm, release(), out)
    (out / "shop" / "templates" / "mine.yaml").write_text("kept\n")
    (out / "README").write_text("kept\n")
    (chart / "templates" / "api.yaml").unlink()
    assert render_to(helm, release(sets=("greeting=again",)), out) == [FILES[1]]
    assert files_in(out) == sorted([LEDGER, "README", "shop/templates/mine.yaml", FILES[1]])
    assert "again" in (out / FILES[1]).read_text()


def test_a_file_of_someone_else_is_not_overwritten(helm: Helm, release: MakeRelease, tmp_path: Path) -> None:
    target = tmp_path / "out" / FILES[1]
    target.parent.mkdir(parents=True)
    target.write_text("theirs\n")
    with pytest.raises(BadConfiguration, match=rf"{target} is in the way"):
        render_to(helm, release(), tmp_path / "out")
    assert files_in(tmp_path / "out") == [FILES[1]]
    assert target.read_text() == "theirs\n"


def test_a_failure_leaves_the_directory_as_it_was(
    helm: Helm, release: MakeRelease, chart: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    render_to(helm, release(), out)
    before = {name: (out / name).read_bytes() for name in files_in(out)}
    (chart / "templates" / "zz.yaml").write_text("{{ .Values.no.such }}\n")
    with pytest.raises(DeployFailed, match=r"^deploy/chart/templates/zz\.yaml:1: "):
        render_to(helm, release(sets=("greeting=again",)), out)
    assert {name: (out / name).read_bytes() for name in files_in(out)} == before


def test_a_link_in_the_directory_is_not_followed_out_of_it(helm: Helm, release: MakeRelease, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "shop").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadConfiguration, match="a link that leads out of it"):
        render_to(helm, release(), tmp_path / "out")
    assert files_in(tmp_path / "elsewhere") == []


def test_a_forged_list_of_files_removes_nothing_outside(helm: Helm, release: MakeRelease, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "precious").write_text("kept\n")
    (out / "up").symlink_to(tmp_path)
    listed = ["../precious", str(tmp_path / "precious"), "up/precious", "", ".", 3]
    (out / LEDGER).write_text(json.dumps({"files": listed}))
    render_to(helm, release(), out)
    assert (tmp_path / "precious").read_text() == "kept\n"


def test_a_file_in_place_of_the_directory_is_named(helm: Helm, release: MakeRelease, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file\n")
    with pytest.raises(Unreachable, match=rf"cannot be written to {tmp_path}/out: File exists"):
        render_to(helm, release(), tmp_path / "out")
