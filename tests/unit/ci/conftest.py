"""The forge and the environments that its CI gives."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ci.forge import Forge, git

GOLDEN = Path(__file__).parents[2] / "golden" / "github"


@pytest.fixture
def forge(template: Forge, tmp_path: Path) -> Forge:
    """One that the test may change."""
    made = replace(template, bare=tmp_path / "bare", work=tmp_path / "clones")
    shutil.copytree(template.bare, made.bare)
    made.work.mkdir()
    return made


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    folder = tmp_path_factory.mktemp("forge")
    bare, seed = folder / "bare", folder / "seed"
    seed.mkdir()
    git(seed, "init", "--quiet", "--initial-branch=main")

    def commit(text: str) -> str:
        (seed / text).write_text(text)
        git(seed, "add", ".")
        git(seed, "commit", "--quiet", "-m", text)
        return git(seed, "rev-parse", "HEAD")

    first = commit("first")
    git(seed, "checkout", "--quiet", "-b", "changes")
    changes = commit("change")
    git(seed, "checkout", "--quiet", "main")
    main = commit("second")
    git(seed, "tag", "-a", "v1.9", "-m", "annotated")
    git(seed, "tag", "v1.10")
    git(seed, "checkout", "--quiet", "--detach")
    git(seed, "merge", "--quiet", "--no-ff", "-m", f"Merge {changes} into {main}", "changes")
    merge = git(seed, "rev-parse", "HEAD")
    git(seed, "update-ref", "refs/pull/2/merge", merge)
    git(seed, "update-ref", "refs/heads/gh-readonly-queue/main/pr-2-" + main, merge)
    git(seed, "checkout", "--quiet", "main")
    git(folder, "clone", "--quiet", "--mirror", str(seed), str(bare))
    git(bare, "config", "uploadpack.allowAnySHA1InWant", "true")
    return Forge(bare, folder, first, main, changes, merge, git(seed, "rev-parse", "v1.9"))


@pytest.fixture
def github(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The environment of a GitHub run of an event, its payload from tests/golden with some values replaced."""

    def environ(event: str, sha: str, ref: str, golden: str = "", /, **replaced: Any) -> dict[str, str]:
        payload = json.loads((GOLDEN / f"{golden or event}.json").read_text())
        for path, value in replaced.items():
            *folders, last = path.split("__")
            at = payload
            for folder in folders:
                at = at[folder]
            at[last] = copy.deepcopy(value)
        file = tmp_path / "event.json"
        file.write_text(json.dumps(payload))
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": event,
            "GITHUB_EVENT_PATH": str(file),
            "GITHUB_SHA": sha,
            "GITHUB_REF": ref,
            "GITHUB_REPOSITORY": "Codertocat/Hello-World",
            "GITHUB_SERVER_URL": "https://github.com",
        }

    return environ
