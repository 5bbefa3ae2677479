"""A forge and its jobs: branches, pull requests, and clones as the runners of GitHub and GitLab make them."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Ran

GITHUB = Path(__file__).parents[1] / "golden" / "github"
_REPOSITORY = "Codertocat/Hello-World"
_IMAGES = (
    "project: shop\nimages:\n  one: {context: one}\n  two: {context: two}\n  both: {dockerfile: both.Dockerfile}\n"
)
FILES = {
    "lineal.yaml": _IMAGES,
    "one/Dockerfile": "FROM scratch\nCOPY one /\n",
    "two/Dockerfile": "FROM scratch\nCOPY two /\n",
    "both.Dockerfile": "FROM scratch\nCOPY one/one two/two /\n",
    "one/one": "1",
    "two/two": "1",
}
"""Three images of one stage each: of the file one, of the file two, and of both."""


@dataclass(frozen=True)
class Outcome:
    """What a job came to. `rules`: image -> why it was visible or not, as the plan said it."""

    rules: dict[str, str]
    made: set[str]
    digests: dict[str, str | None]
    stderr: str


@dataclass
class Job(Project):
    """A CI job: a clone as its runner makes it, the CI's environment, a home of its own, and no engine.

    Whatever a run does, the clone stays byte for byte as it was."""

    def run(self, *args: str, **more: Any) -> Ran:
        before = snapshot(self.repo.path)
        ran = super().run(*args, **more)
        assert snapshot(self.repo.path) == before, "the workspace changed"
        return ran

    def outcome(self) -> Outcome:
        """Plan, then build: what the plan announced is what is built."""
        plan = self.plan("--format", "json")
        build = self.build()
        missing = {stage["image"] for stage in plan.stages if stage["outcome"] == "missing"}
        made = {stage["image"] for stage in build.stages if stage["outcome"] == "assembled"}
        assert made == missing, f"the plan announced {missing}"
        return Outcome({stage["image"]: stage["reason"] for stage in plan.stages}, made, build.digests, build.stderr)

    def records(self, digest: str | None) -> list[str]:
        """The commits that a publication was recorded for."""
        return str(self.contents.json(str(digest))["annotations"]["dev.lineal.commits"]).split()


@dataclass
class Forge:
    """The central repository, where tests commit and merge as people and the forge do."""

    repo: servers.Repository
    store: str
    scratch: Path
    depth: int = 1

    @classmethod
    def create(cls, scratch: Path, store: str, *options: str) -> Forge:
        repo = servers.Repository.create(scratch / "forge", *options)
        for capability in ("allowFilter", "allowAnySHA1InWant"):
            repo.git("config", f"uploadpack.{capability}", "true")
        return cls(repo, store, scratch)

    def copy(self, scratch: Path) -> Forge:
        """The same forge and the same store (a layout) for another test."""
        shutil.copytree(self.scratch, scratch, symlinks=True, dirs_exist_ok=True)
        repo = servers.Repository(scratch / self.repo.path.name, self.repo.clock)
        return Forge(repo, self.store.replace(str(self.scratch), str(scratch)), scratch)

    def short(self, rev: str) -> str:
        return self.repo.git("rev-parse", "--short=7", f"{rev}^{{commit}}")

    def commit(self, **files: str) -> str:
        """Changes `one`, `two` or `NEWS` (which no image has) on the current branch."""
        names = {"one": "one/one", "two": "two/two"}
        return self.repo.write({names.get(name, name): text for name, text in files.items()})

    def github_merge(self, number: int, head: str, base: str = "main") -> str:
        """What GitHub does when a pull request is opened or changes: `refs/pull/N/merge`."""
        here = self.repo.git("symbolic-ref", "--short", "HEAD")
        self.repo.git("switch", "--quiet", "--detach", base)
        merge = self.repo.merge(head, f"Merge {head} into {base}")
        self.repo.git("update-ref", f"refs/pull/{number}/merge", merge)
        self.repo.switch(here)
        return merge

    # --- jobs on GitHub, checked out as actions/checkout does -------------------------------------------------------

    def push(self, branch: str, rev: str = "") -> Job:
        commit = self.repo.git("rev-parse", rev or branch)
        env = self._github("push", commit, f"refs/heads/{branch}", {"ref": f"refs/heads/{branch}", "after": commit})
        return self._job(commit, f"refs/remotes/origin/{branch}", branch, env)

    def pull_request(self, number: int, head: str, base: str = "main") -> Job:
        merge = self.github_merge(number, head, base)
        ends = {
            side: {"ref": name, "sha": self.repo.git("rev-parse", name), "repo": {"full_name": _REPOSITORY}}
            for side, name in (("head", head), ("base", base))
        }
        payload = {"number": number, "pull_request": {"number": number, **ends}}
        env = self._github("pull_request", merge, f"refs/pull/{number}/merge", payload)
        env |= {"GITHUB_HEAD_REF": head, "GITHUB_BASE_REF": base}
        return self._job(merge, f"refs/remotes/pull/{number}/merge", "", env)

    def merge_group(self, number: int, group: str, base: str = "main") -> Job:
        """A merge queue tries `group`, a commit on top of `base`, before it becomes `base`."""
        ref = f"refs/heads/gh-readonly-queue/{base}/pr-{number}-{self.repo.git('rev-parse', base)}"
        self.repo.git("update-ref", ref, group)
        about = {
            "head_sha": group, "head_ref": ref, "base_ref": f"refs/heads/{base}",
            "base_sha": self.repo.git("rev-parse", base),
        }  # fmt: skip
        env = self._github("merge_group", group, ref, {"merge_group": about})
        return self._job(group, "refs/remotes/origin/" + ref.removeprefix("refs/heads/"), "", env)

    def github_tag(self, tag: str) -> Job:
        """A pushed tag: for an annotated one the payload, and before checkout the environment, name its object."""
        named = self.repo.git("rev-parse", f"refs/tags/{tag}")
        env = self._github("push", named, f"refs/tags/{tag}", {"ref": f"refs/tags/{tag}", "after": named}, "push_tag")
        return self._job(f"refs/tags/{tag}", f"refs/tags/{tag}", "", env)

    def _github(
        self, event: str, sha: str, ref: str, payload: Mapping[str, object], golden: str = ""
    ) -> dict[str, str]:
        example = json.loads((GITHUB / f"{golden or event}.json").read_text())
        file = self.scratch / f"event-{secrets.token_hex(4)}.json"
        file.write_text(json.dumps({**example, **payload}))
        return {
            "CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": event, "GITHUB_EVENT_PATH": str(file),
            "GITHUB_SHA": sha, "GITHUB_REF": ref, "GITHUB_REPOSITORY": _REPOSITORY,
            "GITHUB_SERVER_URL": "https://github.com",
        }  # fmt: skip

    # --- jobs on GitLab, checked out as its runner does -----------------------------------------------------------

    def gitlab(self, rev: str, **variables: str) -> Job:
        commit = self.repo.git("rev-parse", f"{rev}^{{commit}}")
        env = {
            "CI": "true", "GITLAB_CI": "true", "CI_COMMIT_SHA": commit, "CI_PIPELINE_SOURCE": "push",
            "CI_PROJECT_PATH": "acme/shop", "CI_REGISTRY_IMAGE": "registry.example.com/acme/shop", **variables,
        }  # fmt: skip
        return self._job(commit, "refs/pipelines/1", "", env)

    def merge_request(self, rev: str, kind: str, source: str, target: str = "main") -> Job:
        about = {
            "CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_IID": "7",
            "CI_MERGE_REQUEST_EVENT_TYPE": kind, "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": source,
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": target, "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "acme/shop",
            "CI_MERGE_REQUEST_PROJECT_PATH": "acme/shop",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": self.repo.git("merge-base", source, target),
        }  # fmt: skip
        return self.gitlab(rev, **about)

    def _job(self, rev: str, ref: str, branch: str, env: Mapping[str, str]) -> Job:
        """One commit fetched, `depth` deep (0: with all branches), and checked out."""
        folder = self.scratch / f"job-{secrets.token_hex(4)}"
        workspace, home = folder / "workspace", folder / "home"
        home.mkdir(parents=True)
        clone = servers.Repository.create(workspace, *self._format())
        clone.git("remote", "add", "origin", f"file://{self.repo.path}")
        fetch = ["fetch", "--quiet", "--no-tags", *([f"--depth={self.depth}"] if self.depth else []), "origin"]
        if not self.depth:
            clone.git(*fetch, "+refs/heads/*:refs/remotes/origin/*")
        clone.git(*fetch, f"+{rev}:{ref}")
        clone.git("checkout", "--quiet", "--force", *(["-B", branch] if branch else ["--detach"]), ref)
        return Job(clone, Lineal(workspace, home, {**NOWHERE, **env}), self.store, folder)

    def _format(self) -> list[str]:
        return ["--object-format=" + self.repo.git("rev-parse", "--show-object-format")]


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file of a clone with its mode and content, git's own included."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            mode = path.lstat().st_mode
            content = (
                os.fsencode(path.readlink()) if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()
            )
            found[str(path.relative_to(folder))] = (mode, hashlib.sha256(content).hexdigest())
    return found
