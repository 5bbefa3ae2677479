"""`lineal init`: what a repository has becomes a lineal.yaml that plans as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE

WORKFLOW = """
on: push
env: {HUB: registry.example.com/acme}
jobs:
  build:
    steps:
      - id: meta
        uses: docker/metadata-action@v6
        with:
          images: ${{ env.HUB }}/shop
          tags: |
            type=semver,pattern={{version}}
            type=schedule
      - uses: docker/build-push-action@v7
        with:
          context: shop
          push: true
          build-args: |
            A=1
            SHA=${{ github.sha }}
          tags: ${{ steps.meta.outputs.tags }}
"""
FILES = {
    ".github/workflows/ci.yml": WORKFLOW,
    "shop/Dockerfile": "FROM scratch\nARG A\nARG SHA\nCOPY app /\n",
    "shop/app": "1",
    "compose.yaml": "services: {api: {build: {context: ., dockerfile: api.Dockerfile, args: {B: '{{ b }}'}}}}\n",
    "api.Dockerfile": "FROM scratch\nARG B\nCOPY shop/app /\n",
    "bake/docker-bake.hcl": 'target "_all" {}\ntarget "worker" { context = "worker" }\n',
    "worker/Dockerfile": "FROM scratch\nCOPY w /\n",
    "worker/w": "1",
    "lost/Dockerfile": "FROM scratch\nCOPY made-by-a-job /\n",
    "tests/Dockerfile": "FROM scratch\n",
    "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
}


@pytest.fixture
def shop(repo: servers.Repository, lineal: Lineal, tmp_path: Path) -> Lineal:
    repo.write(FILES)
    lineal.env |= {"LINEAL_REPO": f"layout:{tmp_path}/store", **NOWHERE}
    return lineal


def test_what_is_written_plans_without_an_edit(shop: Lineal, repo: servers.Repository) -> None:
    ran = shop("init")
    assert ran.code == 0, ran.stderr
    text = (repo.path / "lineal.yaml").read_text()
    assert "shop:                                       # .github/workflows/ci.yml" in text
    repo.git("add", "lineal.yaml")
    repo.commit()
    plan = shop("plan", "--format", "json")
    assert plan.code == 0, plan.stderr
    assert [image["name"] for image in json.loads(plan.stdout)["images"]] == ["api", "shop", "worker"]
    shown = yaml.safe_load(shop("config").stdout)
    assert shown["images"]["shop"]["args"] == {"A": "1"} and shown["images"]["api"]["args"] == {"B": "{{ b }}"}
    assert shown["images"]["shop"]["publish"]["to"] == ["registry.example.com/acme/shop"]
    assert shown["deploy"]["chart"] == "chart"


def test_what_is_left_out_is_said_with_the_reason(shop: Lineal) -> None:
    ran = shop("init", "--dry-run")
    told = [line.removeprefix("left out   ") for line in ran.stderr.splitlines() if line.startswith("left out")]
    for start, why in (
        ("shop: the argument SHA", "when it runs"), ("shop: the tags `type=schedule`", "ci.yml"),
        ("lost/Dockerfile", "there is no such file"), ("tests/Dockerfile", "tests"),
    ):  # fmt: skip
        assert [line for line in told if line.startswith(start) and why in line], (start, told)
        assert start in ran.stdout, "the file says it, too"


def test_a_dry_run_writes_nothing_and_nothing_is_written_over(shop: Lineal, repo: servers.Repository) -> None:
    dry = shop("init", "--dry-run", "--ci", "github")
    assert dry.code == 0 and repo.git("status", "--porcelain") == ""
    assert "# lineal.yaml\n" in dry.stdout and "your_org/lineal/build@v1" in dry.stdout
    (repo.path / "lineal.yaml").write_text("mine")
    again = shop("init")
    assert again.code == 3 and "not written over" in again.stderr
    assert (repo.path / "lineal.yaml").read_text() == "mine"


@pytest.mark.parametrize(("ci", "file"), [("github", ".github/workflows/lineal.yml"), ("gitlab", ".gitlab-ci.yml")])
def test_the_pipeline_is_written_too(shop: Lineal, repo: servers.Repository, ci: str, file: str) -> None:
    assert shop("init", "--ci", ci).code == 0
    assert "lineal" in str(yaml.safe_load((repo.path / file).read_text()))
    (repo.path / "lineal.yaml").unlink()
    again = shop("init", "--ci", ci)
    assert again.code == 3 and file in again.stderr and not (repo.path / "lineal.yaml").exists()


def test_a_repository_without_an_image_is_told_why(shop: Lineal, repo: servers.Repository) -> None:
    repo.git("rm", "-rq", ".")
    repo.write({"README": "x"})
    ran = shop("init")
    assert ran.code == 3 and "No image was found" in ran.stderr
