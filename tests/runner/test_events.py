"""The built image as GitHub's runner starts it, for every event: what is built, published, found again, and said."""

from __future__ import annotations

import json

import pytest

from tests.runner.conftest import NAME, World
from tests.runner.runner import Step


def check(step: Step, code: int = 0) -> Step:
    assert step.code == code, step.log
    return step


def test_a_push_builds_and_the_same_commit_is_found_by_every_later_event(world: World) -> None:
    world.repo.git("tag", "--annotate", "--message", "1", "v1")
    world.push("main", "v1")
    main = world.event("push", "refs/heads/main")
    first = check(world.runner(main).run(main, {"command": "build"}))
    assert "There is no lineal.yaml: building ./Dockerfile as the image 'hello-world'." in first.log
    assert first.outputs["built"] == "true"
    (image,) = first.images.values()
    assert (first.outputs["image"], first.outputs["digest"]) == (world.store, image["digest"])
    assert first.outputs["image"] + "@" + first.outputs["digest"] == image["image"]
    assert image["ref"] in first.log
    assert json.loads(first.outputs["matrix"]) == {"include": []}
    assert image["digest"][7:19] in first.summary

    later = [
        world.event("push", "refs/heads/main", GITHUB_RUN_ATTEMPT="2"),
        world.event("push", "refs/tags/v1", "push_tag"),
        world.event("workflow_dispatch", "refs/heads/main"),
        world.event("release", "refs/tags/v1"),
    ]
    schedule = world.event("workflow_dispatch", "refs/heads/main")
    schedule.name, schedule.payload = "schedule", {"schedule": "0 5 * * *"}
    for event in [*later, schedule]:
        step = check(world.runner(event).run(event, {"command": "build"}))
        assert (step.outputs["built"], step.outputs["digest"]) == ("false", image["digest"]), step.log


def pull_request(world: World) -> tuple[str, str]:
    """A branch `changes` beside a main that moved on, and GitHub's merge ref; gives head and merge commit."""
    repo = world.repo
    repo.branch("changes")
    head = repo.write({"hello": "2\n"})
    repo.switch("main")
    repo.write({"NEWS": "main moved\n"})
    repo.git("switch", "--quiet", "--detach", "main")
    merge = repo.merge("changes", f"Merge {head} into {repo.git('rev-parse', 'main')}")
    repo.git("update-ref", "refs/pull/2/merge", merge)
    repo.switch("main")
    world.push("main", "changes", "refs/pull/2/merge")
    return head, merge


@pytest.mark.parametrize("depth", [0, 1])
def test_what_a_pull_request_built_is_found_in_the_queue_and_after_the_merge(world: World, depth: int) -> None:
    head, merge = pull_request(world)
    event = world.event("pull_request", "refs/pull/2/merge", GITHUB_BASE_REF="main", GITHUB_HEAD_REF="changes")
    event.payload["pull_request"]["head"]["sha"] = head
    tried = check(world.runner(event, depth).run(event, {"command": "build"}))
    assert tried.outputs["built"] == "true"
    assert "GitHub, pull_request #2" in tried.log

    world.repo.git("update-ref", "refs/heads/gh-readonly-queue/main/pr-104-" + head, merge)
    world.push("refs/heads/gh-readonly-queue/main/pr-104-" + head)
    queue = world.event("merge_group", "refs/heads/gh-readonly-queue/main/pr-104-" + head)
    queued = check(world.runner(queue, depth).run(queue, {"command": "build"}))
    assert (queued.outputs["built"], queued.outputs["digest"]) == ("false", tried.outputs["digest"]), queued.log

    # A real merge, later, on top of something else: only the history knows that the branch is in it.
    world.repo.write({"NEWS": "and on\n"})
    world.repo.merge("changes")
    world.push("main")
    main = world.event("push", "refs/heads/main")
    merged = check(world.runner(main, depth).run(main, {"command": "build"}))
    assert (merged.outputs["built"], merged.outputs["digest"]) == ("false", tried.outputs["digest"]), merged.log


def test_a_fork_s_pull_request_reads_the_cache_publishes_nothing_and_succeeds(world: World) -> None:
    main = world.event("push", "refs/heads/main")
    check(world.runner(main).run(main, {"command": "build"}))
    head, _ = pull_request(world)
    event = world.event("pull_request", "refs/pull/2/merge", GITHUB_BASE_REF="main", GITHUB_HEAD_REF="changes")
    event.payload["pull_request"]["head"] |= {
        "sha": head,
        "repo": {"full_name": "somebody/Hello-World", "fork": True},
    }
    step = check(world.runner(event).run(event, {"command": "build"}))
    assert "This run may not write: it reads the store, builds what is missing and publishes nothing." in step.log
    assert step.images == {} and "digest" not in step.outputs
    assert step.outputs["built"] == "true"
    again = check(world.runner(event).run(event, {"command": "plan"}))
    assert json.loads(again.outputs["matrix"]) == {"include": [{"image": "hello-world"}]}


def test_without_credentials_in_the_clone_history_is_fetched_with_the_job_s_token(world: World) -> None:
    main = world.event("push", "refs/heads/main")
    check(world.runner(main).run(main, {"command": "build"}))
    world.repo.write({"README": "more\n"})
    world.push("main")
    main = world.event("push", "refs/heads/main")
    assert check(world.runner(main).run(main, {"command": "build"})).outputs["built"] == "false"
    assert any(path.startswith(f"/{NAME}/info/refs") and given for path, given in world.forge.seen)
    anonymous = check(world.runner(main).run(main, {"command": "build", "github-token": " "}))
    assert anonymous.outputs["built"] == "true"
