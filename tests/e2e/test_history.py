"""Which publications a commit inherits (DESIGN §5), for every way that a forge moves history."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.forge import FILES, Forge


def opened(scratch: Path, *options: str) -> Forge:
    """Main has moved on since `feature` began (another `one`), and `feature` has another `two`; each branch has
    been built by its own push. Main is checked out."""
    forge = Forge.create(scratch, f"layout:{scratch / 'store'}", *options)
    forge.repo.write(FILES)
    forge.push("main").build()
    forge.repo.branch("feature")
    forge.commit(two="2", NEWS="feature")
    forge.push("feature").build()
    forge.repo.switch("main")
    forge.commit(one="2")
    forge.push("main").build()
    return forge


@pytest.fixture(scope="module")
def opened_once(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    return opened(tmp_path_factory.mktemp("opened"))


@pytest.fixture
def shallow(opened_once: Forge, tmp_path: Path) -> Forge:
    """Jobs clone one commit, as actions/checkout does unless told otherwise."""
    return opened_once.copy(tmp_path)


@pytest.fixture
def full(shallow: Forge) -> Forge:
    """Jobs clone everything."""
    shallow.depth = 0
    return shallow


@pytest.fixture(params=[0, 1], ids=["full-clone", "depth-1"])
def forge(request: pytest.FixtureRequest, shallow: Forge) -> Forge:
    """Both kinds of clones: the answers have to be the same."""
    shallow.depth = request.param
    return shallow


# --- pull requests on GitHub ----------------------------------------------------------------------------------------


def test_a_pull_request_sees_both_sides_and_is_recorded_by_its_real_parents(forge: Forge) -> None:
    main, feature = forge.short("main"), forge.short("feature")
    job = forge.pull_request(7, "feature")
    tried = job.outcome()
    assert tried.rules["one"] == f"ancestor {main}"
    assert tried.rules["two"] == f"ancestor {feature}"
    assert tried.made == {"both"}, "only what neither side had"
    parents = [forge.repo.git("rev-parse", name) for name in ("main", "feature")]
    assert job.records(tried.digests["both"]) == parents
    assert job.repo.head() not in parents
    again = forge.pull_request(7, "feature").outcome()
    assert (again.made, again.digests) == (set(), tried.digests)
    assert again.rules["both"] == "this commit", "a merge ref made anew is the same try"


def test_a_true_merge_inherits_all(forge: Forge) -> None:
    tried = forge.pull_request(7, "feature").outcome()
    main, feature = forge.short("main"), forge.short("feature")
    forge.repo.clock += 3600
    forge.repo.merge("feature", "Merge pull request #7")
    merged = forge.push("main").outcome()
    assert (merged.made, merged.digests) == (set(), tried.digests)
    assert merged.rules == {"one": f"ancestor {main}", "two": f"ancestor {feature}", "both": f"ancestor {feature}"}


def test_a_true_merge_inherits_all_that_main_has_not_changed_since(forge: Forge) -> None:
    tried = forge.pull_request(7, "feature").outcome()
    forge.commit(MORE="nothing that an image has")
    forge.repo.merge("feature", "Merge pull request #7")
    merged = forge.push("main").outcome()
    assert (merged.made, merged.digests) == (set(), tried.digests)


def test_a_fast_forward_inherits_all(forge: Forge) -> None:
    forge.repo.switch("feature")
    forge.repo.merge("main", "Update the branch")
    updated = forge.push("feature").outcome()
    assert updated.made == {"both"}
    assert forge.pull_request(7, "feature").outcome().made == set()
    forge.repo.switch("main")
    forge.repo.git("merge", "--quiet", "--ff-only", "feature")
    merged = forge.push("main").outcome()
    assert (merged.made, merged.digests) == (set(), updated.digests)
    assert merged.rules["both"] == "this commit"


@pytest.mark.parametrize("how", ["squash", "rebase"])
def test_new_commits_of_the_tried_tree_inherit_what_was_built_of_that_tree(forge: Forge, how: str) -> None:
    """The branch's own publications stay hidden: their commit is no ancestor, and main never had their tree."""
    main, feature = forge.short("main"), forge.short("feature")
    tried = forge.pull_request(7, "feature").outcome()
    merge_without_its_commits(forge, how)
    merged = forge.push("main").outcome()
    assert merged.rules == {
        "one": f"ancestor {main}",
        "two": f"hidden: only on feature ({feature})",
        "both": f"same tree as {forge.short('main')}",
    }
    assert merged.made == {"two"}
    assert {name: merged.digests[name] for name in ("one", "both")} == {
        name: tried.digests[name] for name in ("one", "both")
    }
    assert forge.push("main").outcome().digests == merged.digests
    assert forge.push("feature").outcome().made == set(), "the branch keeps its own"


@pytest.mark.parametrize("how", ["squash", "rebase"])
def test_new_commits_of_an_up_to_date_branch_inherit_all(forge: Forge, how: str) -> None:
    forge.repo.switch("feature")
    forge.repo.git("rebase", "--quiet", "main")
    updated = forge.push("feature").outcome()
    assert updated.made == {"two", "both"}, "the branch was rebased: its first commit is gone"
    forge.repo.switch("main")
    merge_without_its_commits(forge, how)
    same = f"same tree as {forge.short('main')}"
    merged = forge.push("main").outcome()
    assert (merged.made, merged.digests) == (set(), updated.digests)
    assert merged.rules["two"] == merged.rules["both"] == same


def merge_without_its_commits(forge: Forge, how: str) -> None:
    """Squash or rebase `feature` onto main as a forge does: its changes as new commits."""
    forge.repo.clock += 3600
    if how == "squash":
        forge.repo.git("merge", "--quiet", "--squash", "feature")
        forge.repo.commit("Change two (#7)")
    else:
        forge.repo.git("cherry-pick", "main..feature")
    assert forge.short("main") != forge.short("feature")


def test_a_squash_onto_a_main_that_moved_on_inherits_only_from_main(shallow: Forge) -> None:
    main = shallow.short("main")
    shallow.pull_request(7, "feature").outcome()
    shallow.commit(MORE="a tree that nobody tried")
    merge_without_its_commits(shallow, "squash")
    merged = shallow.push("main").outcome()
    assert merged.made == {"two", "both"}
    assert merged.rules["one"] == f"ancestor {main}"
    assert merged.rules["both"].startswith("hidden: only on feature (")


@pytest.mark.parametrize("how", ["merge", "squash"])
def test_main_becomes_what_the_merge_queue_built(forge: Forge, how: str) -> None:
    tried = forge.pull_request(7, "feature").outcome()
    feature = forge.short("feature")
    forge.repo.branch("queue")
    forge.repo.clock += 3600
    if how == "merge":
        group = forge.repo.merge("feature", "Merge pull request #7")
    else:
        forge.repo.git("merge", "--quiet", "--squash", "feature")
        group = forge.repo.commit("Change two (#7)")
    forge.repo.switch("main")
    job = forge.merge_group(7, group)
    queued = job.outcome()
    assert queued.digests["both"] == tried.digests["both"], "as the pull request's run had built it"
    if how == "merge":
        assert queued.made == set()
        assert queued.rules["both"] == f"ancestor {feature}"
    else:
        assert queued.made == {"two"}
        assert job.records(queued.digests["two"]) == [group], "the queue's commit is what main will be"
        assert queued.rules["both"] == f"same tree as {group[:7]}"
    forge.repo.git("merge", "--quiet", "--ff-only", group)
    landed = forge.push("main").outcome()
    assert (landed.made, landed.digests) == (set(), queued.digests)
    if how == "squash":
        assert landed.rules["two"] == "this commit"


def test_a_queue_that_fails_leaves_nothing_to_main(full: Forge) -> None:
    full.repo.branch("queue")
    full.repo.git("merge", "--quiet", "--squash", "feature")
    group = full.repo.commit("Change two (#7)")
    full.repo.switch("main")
    assert full.merge_group(7, group).outcome().made == {"two", "both"}
    full.repo.git("cherry-pick", "--no-commit", "feature")
    full.commit(MORE="another tree")
    later = full.push("main").outcome()
    assert later.made == {"two", "both"}


def test_a_closed_pull_request_stays_invisible(forge: Forge) -> None:
    forge.pull_request(7, "feature").outcome()
    feature = forge.short("feature")
    forge.repo.git("branch", "--quiet", "-D", "feature")
    forge.repo.branch("other")
    forge.commit(two="2", MORE="the same idea once more")
    for job in (forge.push("other"), forge.pull_request(8, "other")):
        other = job.outcome()
        assert other.rules["two"] in (f"hidden: only on feature ({feature})", f"ancestor {forge.short('other')}")
    forge.repo.switch("main")
    assert forge.push("main").outcome().made == set()
    forge.commit(two="2")
    assert forge.push("main").outcome().made == {"two", "both"}


def test_an_open_pull_request_is_invisible_to_another(shallow: Forge) -> None:
    first = shallow.pull_request(7, "feature").outcome()
    shallow.repo.branch("other")
    shallow.commit(two="2", MORE="other")
    shallow.repo.switch("main")
    second = shallow.pull_request(8, "other").outcome()
    assert second.made == {"two", "both"}
    assert second.digests["both"] != first.digests["both"]


def test_a_pull_request_that_was_pushed_to_inherits_from_its_earlier_runs(shallow: Forge) -> None:
    feature = shallow.short("feature")
    first = shallow.pull_request(7, "feature").outcome()
    shallow.repo.switch("feature")
    shallow.commit(NEWS="a typo")
    shallow.repo.switch("main")
    later = shallow.pull_request(7, "feature").outcome()
    assert (later.made, later.digests) == (set(), first.digests)
    assert later.rules["both"] == f"ancestor {feature}"


# --- history that moves otherwise -----------------------------------------------------------------------------------


def test_a_force_pushed_branch_has_lost_what_its_old_commits_built(forge: Forge) -> None:
    old = forge.push("feature").outcome()
    gone = forge.short("feature")
    forge.repo.switch("feature")
    forge.repo.clock += 60
    forge.repo.put({"NEWS": "reworded"})
    forge.repo.git("commit", "--quiet", "--all", "--amend", "-m", "Another try")
    forge.repo.git("reflog", "expire", "--expire=now", "--all")
    forge.repo.git("gc", "--quiet", "--prune=now")
    pushed = forge.push("feature").outcome()
    assert pushed.rules["two"] == f"hidden: only on feature ({gone})", "known to be gone, not unknown"
    assert pushed.made == {"two", "both"}
    assert pushed.digests["two"] != old.digests["two"]


def test_a_new_message_for_the_same_files_loses_nothing(shallow: Forge) -> None:
    old = shallow.push("feature").outcome()
    shallow.repo.switch("feature")
    shallow.repo.clock += 60
    shallow.repo.git("commit", "--quiet", "--amend", "-m", "Said better")
    pushed = shallow.push("feature").outcome()
    assert (pushed.made, pushed.digests) == (set(), old.digests)
    assert pushed.rules["two"] == f"same tree as {shallow.short('feature')}"


def test_a_reverted_merge_and_its_return_build_nothing(forge: Forge) -> None:
    before, main = forge.push("main").outcome(), forge.short("main")
    tried = forge.pull_request(7, "feature").outcome()
    feature = forge.short("feature")
    forge.repo.merge("feature", "Merge pull request #7")
    forge.repo.git("revert", "--no-edit", "--mainline", "1", "HEAD")
    reverted = forge.push("main").outcome()
    assert (reverted.made, reverted.digests) == (set(), before.digests)
    assert reverted.rules["both"] in both_hold(forge, main)
    forge.repo.git("revert", "--no-edit", "HEAD")
    returned = forge.push("main").outcome()
    assert (returned.made, returned.digests) == (set(), tried.digests)
    assert returned.rules["both"] in both_hold(forge, feature)


def both_hold(forge: Forge, ancestor: str) -> tuple[str, str]:
    """What may be said of an ancestor's publication when the commit itself has that ancestor's files once more."""
    return f"ancestor {ancestor}", f"same tree as {forge.short('HEAD')}"


def test_an_octopus_merge_inherits_from_all_its_parents(forge: Forge) -> None:
    rules = {"one": f"ancestor {forge.short('main')}", "two": f"ancestor {forge.short('feature')}"}
    forge.repo.branch("third")
    # A branch that has built what the merge will be: its files are those of all three.
    forge.commit(two="2", MORE="third")
    built = forge.push("third").outcome()
    rules["both"] = f"ancestor {forge.short('third')}"
    forge.repo.switch("main")
    forge.repo.branch("fourth")
    forge.commit(EVEN="more")
    forge.repo.switch("main")
    forge.repo.clock += 3600
    forge.repo.git("merge", "--quiet", "--no-ff", "-m", "Merge three", "feature", "third", "fourth")
    assert len(forge.repo.git("rev-parse", "HEAD^@").split()) == 4
    merged = forge.push("main").outcome()
    assert merged.made == set()
    assert merged.digests["both"] == built.digests["both"]
    assert {name: merged.rules[name] for name in ("one", "both")} == {name: rules[name] for name in ("one", "both")}
    # Both `feature` and `third` have built two; whichever was first counts.
    assert merged.rules["two"] == rules["two"]


def test_an_unrelated_history_is_invisible_until_it_is_merged(forge: Forge) -> None:
    forge.repo.git("switch", "--quiet", "--orphan", "island")
    forge.repo.write({**FILES, "two/two": "2", "ISLAND": "far away"})
    island = forge.push("island").outcome()
    assert island.made == {"one", "two", "both"}, "nothing of main or feature"
    assert island.rules["one"].startswith("hidden: only on main (")
    island_commit = forge.short("island")
    forge.repo.switch("main")
    forge.commit(one="1", two="2")
    assert forge.push("main").outcome().made == {"two", "both"}, "nothing of the island"
    main = forge.repo.git("rev-parse", "main~1")
    forge.repo.git("switch", "--quiet", "--create", "bridge", main)
    forge.repo.clock += 60
    merge = ["--no-ff", "--allow-unrelated-histories", "-s", "recursive", "-X", "theirs", "-m", "Bridge"]
    forge.repo.git("merge", "--quiet", *merge, "island")
    bridged = forge.push("bridge").outcome()
    assert bridged.made == set()
    assert bridged.rules["both"] in both_hold(forge, island_commit)
    assert bridged.digests["both"] == island.digests["both"]


def test_an_older_timestamp_on_a_hidden_line_does_not_win(full: Forge) -> None:
    """Of several visible candidates the first wins; a hidden one that is older still does not count."""
    older = full.push("feature").outcome()
    full.commit(two="2", MORE="a line of its own")
    own = full.push("main").outcome()
    assert own.digests["two"] != older.digests["two"]
    full.repo.merge("feature")
    assert full.push("main").outcome().digests["two"] == older.digests["two"], "visible now, and published first"


# --- tags -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["annotated", "lightweight"])
@pytest.mark.parametrize("provider", ["github", "gitlab"])
def test_a_tag_pipeline_has_what_its_commit_has(shallow: Forge, kind: str, provider: str) -> None:
    built = shallow.push("main").outcome()
    shallow.repo.git("tag", *(["--annotate", "--message=Version 1"] if kind == "annotated" else []), "v1.0")
    shallow.commit(two="3", NEWS="later")
    job = shallow.github_tag("v1.0") if provider == "github" else shallow.gitlab("v1.0", CI_COMMIT_TAG="v1.0")
    tagged = job.outcome()
    assert (tagged.made, tagged.digests) == (set(), built.digests)
    assert tagged.rules["both"] == "this commit"
    report = job.plan("--format", "json").report["context"]
    assert (report["branch"], report["tag"], report["event"]) == (None, "v1.0", "tag")


def test_a_tag_of_a_commit_that_nobody_built_is_built_once(shallow: Forge) -> None:
    shallow.commit(two="3")
    shallow.repo.git("tag", "--annotate", "--message=Version 2", "v2.0")
    job = shallow.github_tag("v2.0")
    tagged = job.outcome()
    assert tagged.made == {"two", "both"}
    assert job.records(tagged.digests["two"]) == [shallow.repo.git("rev-parse", "main")], "the commit, not the tag"
    assert shallow.push("main").outcome().digests == tagged.digests


# --- GitLab ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def deep(shallow: Forge) -> Forge:
    """Jobs clone 20 commits, and all that was built is 25 commits ago."""
    forge = shallow
    forge.depth = 20
    for branch in ("feature", "main"):
        forge.repo.switch(branch)
        tip = forge.repo.head()
        for number in range(25):
            tip = forge.repo.git("commit-tree", "-p", tip, "-m", str(number), f"{tip}^{{tree}}")
        forge.repo.git("reset", "--quiet", "--hard", tip)
        forge.commit(**{f"MORE-{branch}": "a tree of its own"})
    return forge


def test_a_detached_merge_request_pipeline_inherits_from_beyond_its_depth(deep: Forge) -> None:
    built = deep.repo.git("rev-parse", "feature~26")
    before = deep.gitlab(built, CI_COMMIT_BRANCH="feature").outcome()
    job = deep.merge_request("feature", "detached", "feature")
    assert job.repo.git("rev-list", "--count", "HEAD") == "20"
    tried = job.outcome()
    assert (tried.made, tried.digests) == (set(), before.digests)
    # 25 commits with its files came after it.
    assert tried.rules["two"] in (f"ancestor {built[:7]}", f"same tree as {deep.short('feature~1')}")


@pytest.mark.parametrize("kind", ["merged_result", "merge_train"])
def test_a_merged_result_sees_both_sides_from_beyond_its_depth(deep: Forge, kind: str) -> None:
    deep.repo.git("switch", "--quiet", "--detach", "main")
    merge = deep.repo.merge("feature", "Merge branch 'feature' into 'main'")
    deep.repo.switch("main")
    job = deep.merge_request(merge, kind, "feature")
    tried = job.outcome()
    assert tried.made == {"both"}
    parents = [deep.repo.git("rev-parse", name) for name in ("main", "feature")]
    assert job.records(tried.digests["both"]) == parents
    deep.repo.clock += 3600
    deep.repo.merge("feature", "Merge for good")
    merged = deep.gitlab("main", CI_COMMIT_BRANCH="main").outcome()
    assert (merged.made, merged.digests) == (set(), tried.digests)


# --- clones ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [0, 1], ids=["full-clone", "depth-1"])
def test_a_sha256_repository(tmp_path: Path, depth: int) -> None:
    forge = opened(tmp_path, "--object-format=sha256")
    forge.depth = depth
    feature = forge.short("feature")
    job = forge.pull_request(7, "feature")
    tried = job.outcome()
    assert tried.made == {"both"}
    assert [len(commit) for commit in job.records(tried.digests["both"])] == [64, 64]
    forge.repo.clock += 3600
    forge.repo.merge("feature", "Merge pull request #7")
    merged = forge.push("main").outcome()
    assert (merged.made, merged.digests) == (set(), tried.digests)
    assert merged.rules["both"] == f"ancestor {feature}"


def test_every_depth_gives_the_same_answers(full: Forge) -> None:
    full.pull_request(7, "feature").outcome()
    merge_without_its_commits(full, "squash")
    full.push("main").outcome()
    full.repo.git("commit", "--quiet", "--allow-empty", "-m", "later")
    answers = []
    for depth in (0, 1, 2, 3, 20):
        full.depth = depth
        found = full.push("main").outcome()
        assert found.made == set()
        answers.append((found.rules, found.digests))
    assert all(answer == answers[0] for answer in answers)


def test_a_forge_that_does_not_answer_costs_a_rebuild_and_one_line(shallow: Forge) -> None:
    shallow.commit(NEWS="nothing that an image has")
    job = shallow.push("main")
    job.repo.git("remote", "set-url", "origin", "file:///nowhere")
    built = job.outcome()
    assert built.made == {"one", "two", "both"}
    assert all("unknown" in rule for rule in built.rules.values())
    assert built.stderr.count("fetch-depth: 0") == 1, "one line says what follows, with the remedy"
