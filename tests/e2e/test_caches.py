"""Cache mounts that outlive the runner: each run has an engine of its own, on which nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.runners import (
    KEEPS,
    KEY,
    TRUST,
    Runners,
    caches,
    folder_of,
    packs,
    rarely_elsewhere,
    runner,
    runners,
    snapshots,
)

__all__ = ["runner", "runners"]
pytestmark = [pytest.mark.engine, pytest.mark.registry]


def test_a_cache_is_there_on_the_next_runner(runners: Runners) -> None:
    first_commit = runners.commit("1")
    first = runners.build()
    assert runners.seen(first) == ""
    (told,) = caches(first)
    assert (told["outcome"], told["reason"], told["kept"]) == ("empty", "none yet", "published")
    assert snapshots(runners.project) == [told["published"]]
    runners.commit("2")
    planned = runners.project.plan(code=0)
    (plan,) = caches(planned)
    assert (plan["snapshot"], plan["commit"]) == (told["published"], first_commit)
    second = runners.build()
    assert runners.seen(second) == "1"
    (again,) = caches(second)
    assert (again["outcome"], again["commit"], again["size"]) == ("restored", first_commit, 2)
    assert f"ancestor {first_commit[:7]}" in second.stderr
    runners.commit("3")
    assert runners.seen(runners.build()) == "12"


def test_whatever_commands_do_in_a_cache_is_kept(runners: Runners) -> None:
    mount = "RUN --mount=type=cache,target=/c"
    runners.commit(
        "1",
        f"{mount} cd /c && mkdir -p emptied/deep replaced moved && echo 1 >emptied/deep/old && echo 1 >replaced/in"
        " && echo 1 >gone && echo 1 >changed && echo 1 >moved/file && ln changed hard && ln -s gone soft"
        " && chmod 0500 moved && touch -d @86400 moved/file && true >seen\n"
        f"{mount} cd /c && echo 2 >second && chown 5:6 second && chmod 4755 second",
    )
    runners.build()
    listing = "find . | sort >/seen; stat -c '%n %a %u:%g' second moved >>/seen; cat changed hard moved/file >>/seen"
    runners.commit(
        "2",
        f"{mount} cd /c && rm -rf emptied && mkdir emptied && echo 3 >emptied/new && rm -rf replaced"
        " && echo 3 >replaced && rm gone && echo 3 >changed && mv moved moved2 && mv moved2 moved\n"
        f"{mount} cd /c && rm emptied/new && echo 4 >emptied/newer",
    )
    runners.build()
    runners.commit("3", f"{mount} cd /c && {listing}")
    assert runners.seen(runners.build()).splitlines() == [
        ".", "./changed", "./emptied", "./emptied/newer", "./hard", "./moved", "./moved/file", "./replaced",
        "./second", "./seen", "./soft", "second 4755 5:6", "moved 500 0:0", "3", "3", "1",
    ]  # fmt: skip


def test_what_was_made_of_a_file_is_older_than_its_next_version(runners: Runners) -> None:
    """make and cargo look at times alone, and copied files are from 1980."""
    makes = (
        "RUN --mount=type=cache,target=/c "
        "if ! test /c/made -nt number; then cp number /c/made; touch -d @1600000000 /c/first; touch /c/last; fi; "
        "cat /c/made >/seen; test /c/last -nt /c/first && echo ' in order' >>/seen"
    )
    for number in "12":
        runners.commit(number, makes)
        ran = runners.build()
        assert runners.seen(ran) == f"{number} in order\n"
    runners.commit(
        "3", "RUN --mount=type=cache,target=/c test /c/last -nt /c/first && test number -nt /c/last; echo $? >/seen"
    )
    assert runners.seen(runners.build()) == "0\n"


@pytest.mark.parametrize("sharing", ["shared", "locked", "private"])
def test_commands_of_a_run_share_a_cache_as_they_say(runners: Runners, sharing: str) -> None:
    mount = f"RUN --mount=type=cache,target=/c,sharing={sharing}"
    for number in "12":
        runners.commit(number, f"{mount} cat number >>/c/seen\n{mount} cat /c/seen >/seen; true")
        ran = runners.build()
    # One that is private begins anew, and the one that ended last is kept: it has written nothing.
    assert runners.seen(ran) == {"shared": "12", "locked": "12", "private": ""}[sharing]


def test_each_cache_of_a_run_is_kept(runner: Runners) -> None:
    mounts = " ".join(f"--mount=type=cache,target=/c/{name}" for name in "abcdef")
    for number in "12":
        runner.commit(
            number, f"RUN {mounts} cat /c/*/seen >/seen 2>/dev/null; for c in /c/*; do cat number >>$c/seen; done"
        )
        ran = runner.build()
        assert [cache["kept"] for cache in caches(ran)] == ["published"] * 6
    assert runner.seen(ran) == "111111"
    assert len(snapshots(runner.project)) == 12


@rarely_elsewhere
def test_without_the_line_nothing_is_kept(runners: Runners) -> None:
    for number in "12":
        runners.commit(number, config="project: shop\nimages: {app: {}}\n")
        ran = runners.build()
        assert runners.seen(ran) == ""
        assert caches(ran) == []
    assert snapshots(runners.project) == []


@rarely_elsewhere
def test_only_named_caches_are_kept(runners: Runners) -> None:
    both = (
        "RUN --mount=type=cache,target=/c --mount=type=cache,id=pip,target=/d "
        "cat /c/seen /d/seen >/seen 2>/dev/null; cat number >>/c/seen; tr 12 ab <number >>/d/seen"
    )
    config = "project: shop\ncaches: {persist: true}\nimages: {app: {caches: {ids: [pip]}}}\n"
    for number in "12":
        runners.commit(number, both, config)
        ran = runners.build()
    assert runners.seen(ran) == "a"
    assert [cache["id"] for cache in caches(ran)] == ["pip"]


def test_what_did_not_change_is_not_published(runners: Runners) -> None:
    reads = "RUN --mount=type=cache,target=/c cat /c/seen >/seen 2>/dev/null; test -e /c/seen || echo once >/c/seen"
    runners.commit("1", reads)
    runners.build()
    runners.commit("2", reads)
    ran = runners.build()
    assert runners.seen(ran) == "once\n"
    assert [cache["kept"] for cache in caches(ran)] == ["unchanged"]
    assert len(snapshots(runners.project)) == 1


def test_a_failed_run_publishes_none(runners: Runners) -> None:
    runners.commit("1", f"{KEEPS}\nRUN false")
    ran = runners.build(code=1)
    assert snapshots(runners.project) == []
    assert [cache["published"] for cache in caches(ran)] == [""]


@rarely_elsewhere
def test_a_branch_s_cache_is_invisible_until_the_merge(runners: Runners) -> None:
    repo = runners.project.repo
    runners.commit("1", "RUN true")
    repo.branch("feature")
    runners.commit("2")
    runners.build()
    repo.switch("main")
    runners.commit("3")
    (hidden,) = caches(runners.project.plan())
    assert hidden["snapshot"] == ""
    assert hidden["reason"].startswith("hidden: only on feature (")
    repo.git("merge", "--quiet", "--strategy", "ours", "--message", "merge", "feature")
    runners.commit("4")
    assert runners.seen(runners.build()) == "2"


@rarely_elsewhere
def test_its_own_line_comes_first(runners: Runners) -> None:
    repo = runners.project.repo
    runners.commit("1")
    runners.build()
    repo.branch("feature")
    runners.commit("2")
    runners.build()
    repo.switch("main")
    runners.commit("3")
    runners.build()
    repo.switch("feature")
    repo.git("merge", "--quiet", "--strategy", "ours", "--message", "merge", "main")
    runners.commit("4")
    assert runners.seen(runners.build()) == "12", "that of main is newer"


@rarely_elsewhere
def test_no_cache_mounts_builds_without(runners: Runners) -> None:
    runners.commit("1")
    runners.build()
    runners.commit("2")
    assert runners.seen(runners.build("--no-cache-mounts")) == ""
    assert len(snapshots(runners.project)) == 1


@rarely_elsewhere
def test_dev_reads_and_writes_none(runners: Runners) -> None:
    runners.commit("1")
    runners.build()
    (runners.project.repo.path / "number").write_text("2")
    assert runners.seen(runners.build("--dev")) == "1"
    assert len(snapshots(runners.project)) == 1


def test_a_secret_in_a_cache_is_refused(runners: Runners) -> None:
    leaks = "RUN --mount=type=cache,target=/c --mount=type=secret,id=token cp /run/secrets/token /c/config"
    runners.commit("1", leaks)
    secret = ("--secret", "id=token,env=TOKEN")
    ran = runners.build(*secret, code=1, env={"TOKEN": "correct-horse-battery"})
    assert ran.error.startswith("Dockerfile:3: The command left a secret in /config of a cache mount")
    assert snapshots(runners.project) == []
    assert "correct-horse-battery" not in ran.stderr


# --- trust, broken ones, cleanup ------------------------------------------------------------------------------------


def test_a_cache_of_an_untrusted_pipeline_is_refused(runner: Runners) -> None:
    runner.commit("1")
    runner.build()
    runner.commit("2", config=TRUST)
    trusted = runner.build(env=KEY)
    assert runner.seen(trusted) == ""
    (told,) = caches(trusted)
    assert told["reason"] == "hidden: not from a protected pipeline"
    runner.commit("3", config=TRUST)
    assert runner.seen(runner.build(env=KEY)) == "2"
    other = {"LINEAL_TRUST_KEY": KEY["LINEAL_TRUST_KEY"][::-1]}
    runner.commit("4", config=TRUST)
    assert runner.seen(runner.build(env=other)) == ""


@pytest.mark.parametrize("which", ["manifest", "pack"])
def test_a_snapshot_that_is_gone_is_a_cold_start_and_one_line(runner: Runners, tmp_path: Path, which: str) -> None:
    runner.project.store = f"layout:{tmp_path / 'store'}"
    runner.commit("1")
    (first,) = caches(runner.build())
    runner.commit("2")
    contents = runner.project.contents
    manifest = contents.image_digest(contents.tags()[first["published"]])
    digest = manifest if which == "manifest" else packs(runner, first["published"])[0]
    (folder_of(runner) / "blobs/sha256" / digest.removeprefix("sha256:")).unlink()
    ran = runner.build()
    assert runner.seen(ran) == ""
    assert ran.stderr.count("The cache /c begins empty: its snapshot cannot be used") == 1
    runner.commit("3")
    assert runner.seen(runner.build()) == "2"


def test_the_cleanup_keeps_what_a_head_begins_with(runner: Runners) -> None:
    repo = runner.project.repo
    for number in "12":
        runner.commit(number)
        runner.build()
    repo.branch("feature")
    runner.commit("3")
    runner.build()
    repo.switch("main")
    _, two, three = sorted(snapshots(runner.project), key=lambda tag: tag[-13:])

    def cleanup(*args: str) -> str:
        done = runner.project.lineal(
            "cleanup", "--repo", runner.project.store, "--keep-days", "0", *args, cwd=repo.path
        )
        assert done.code == 0, done.stderr
        return done.stdout

    cleanup()
    assert set(snapshots(runner.project)) == {two, three}
    repo.git("branch", "-D", "feature")
    assert three in cleanup("--dry-run")
    assert set(snapshots(runner.project)) == {two, three}
    cleanup()
    assert snapshots(runner.project) == [two]
    runner.commit("4")
    assert runner.seen(runner.build()) == "12"


def test_whether_a_layer_depends_on_its_cache_is_told(runner: Runners) -> None:
    runner.commit("1")
    runner.build()
    told = runner.project.lineal(
        "verify", "--rebuild", "app:3", "--repo", runner.project.store, cwd=runner.project.repo.path,
        env=next(runner.environments),
    )  # fmt: skip
    assert told.code == 0, told.stderr
    first, *files = told.stdout.splitlines()
    assert first.endswith("1 file of the layer differs with its caches and without")
    assert files == ["  /seen"]
    runner.commit("2", "RUN --mount=type=cache,target=/c cat number >/seen")
    runner.build()
    told = runner.project.lineal(
        "verify", "--rebuild", "app:3", "--repo", runner.project.store, cwd=runner.project.repo.path,
        env=next(runner.environments),
    )  # fmt: skip
    assert "the layer is the same with its caches and without" in told.stdout
    assert len(snapshots(runner.project)) == 1
    other = runner.project.lineal("verify", "--rebuild", "app:9", "--repo", runner.project.store)
    assert (other.code, "with a cache mount. Name it by" in other.stderr) == (3, True)


def test_with_another_image_and_what_git_proves_it_is_made_again_as_a_build_does(runner: Runners) -> None:
    """A branch without the key has published the COPY, and the RUN has another image's reference in it."""
    repo, store = runner.project.repo, runner.project.store
    files = {
        "lineal.yaml": "project: shop\ncaches: {persist: true}\ntrust: {key: required}\n"
        "images: {app: {needs: {OTHER: other}}, other: {dockerfile: other}}\n",
        "Dockerfile": f"FROM {runner.base}\nCOPY number .\nARG OTHER\n"
        "RUN --mount=type=cache,target=/c echo $OTHER >/o\n",
        "other": "FROM scratch\nCOPY number /\n",
    }
    repo.write({**files, "number": "1"})
    runner.build(env=KEY)
    repo.write({"number": "2"})
    branch = {
        "GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "push", "CI_COMMIT_SHA": repo.head(), "CI_COMMIT_BRANCH": "x",
        "CI_COMMIT_REF_NAME": "x", "CI_COMMIT_REF_PROTECTED": "false", "CI_DEFAULT_BRANCH": "main",
    }  # fmt: skip
    runner.build(env=branch)
    built = runner.build(env=KEY)
    assert built.made == ["RUN"]
    wanted = runner.project.contents.files(str(built.digests["app"]))["o"].decode().strip()
    assert wanted == next(one["ref"] for one in built.report["images"] if one["name"] == "other")
    told = runner.project.lineal(
        "verify", "--rebuild", "app:4", "--repo", store, cwd=repo.path, env=next(runner.environments) | KEY
    )
    assert told.code == 0, told.stderr
    assert "the layer is the same with its caches and without" in told.stdout


def test_a_command_is_made_again_with_the_engine_and_the_secrets_of_flags(runner: Runners) -> None:
    flags = ("--secret", "id=token,env=TOKEN", "--engine", "runc")

    def environ() -> dict[str, str]:
        found = next(runner.environments) | {"TOKEN": "correct-horse-battery"}
        return {name: value for name, value in found.items() if name != "LINEAL_ENGINE"}

    mounts = "--mount=type=secret,id=token --mount=type=cache,target=/c"
    runner.commit("1", f"RUN {mounts} wc -c </run/secrets/token >/seen")
    built = runner.project.build(*flags, env=environ())
    assert runner.seen(built).strip() == "21"

    def verified(*args: str, code: int = 0) -> str:
        command = ("verify", *args, "--repo", runner.project.store)
        done = runner.project.lineal(*command, cwd=runner.project.repo.path, env=environ())
        assert done.code == code and "correct-horse" not in done.stdout + done.stderr, done.stderr
        return done.stdout + done.stderr

    assert "the layer is the same with its caches and without" in verified("--rebuild", "app:3", *flags)
    reference = built.stdout.split()[-1]
    for flag, value in zip(flags[::2], flags[1::2], strict=True):
        assert f"{flag} is for --rebuild" in verified(flag, value, reference, code=3)
