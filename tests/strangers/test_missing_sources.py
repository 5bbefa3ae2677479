"""Sources that the commit does not have: each reason has its sentence and the right way out."""

from __future__ import annotations

import pytest

from lineal.errors import BadConfiguration, LinealError
from tests import servers
from tests.strangers.commits import opened, planned

FILES = {
    ".gitignore": "*.tmp\n/bin/\ndist/\n!dist/keep\nlogs/*.log\n",
    ".dockerignore": "docs\n",
    "Src/Main.c": "1",
    "docs/a": "1",
    "caf\u00e9/a": "1",
    "lineal.yaml": "project: x\nimages:\n  app: {}\n",
}


def refusal(repo: servers.Repository, instruction: str, context: str = ".") -> str:
    repo.write({
        "Dockerfile": f"FROM busybox\n{instruction}\n",
        "lineal.yaml": f"project: x\nimages:\n  app: {{context: {context}, dockerfile: Dockerfile}}\n",
    })  # fmt: skip
    with pytest.raises(BadConfiguration) as refused:
        planned(opened(repo))
    assert refused.value.id == "LN-2009"
    return str(refused.value)


@pytest.mark.parametrize(
    "instruction",
    ["COPY .git .git", "COPY .git/HEAD /", "COPY ./.git/ /x", "ADD .git /x", "COPY sub/.git /x",
     "COPY --parents .git /",
     "RUN --mount=target=/s,source=.git git describe"],
)  # fmt: skip
@pytest.mark.parametrize("ignore", ["", ".git\n"])
def test_git_s_own_folder_is_not_in_a_commit(repo: servers.Repository, instruction: str, ignore: str) -> None:
    repo.write({**FILES, ".dockerignore": ignore})
    said = refusal(repo, instruction)
    assert "a commit has no .git. Give the build what it reads there as an argument, such as `args: {COMMIT" in said
    assert "git add" not in said


@pytest.mark.parametrize(
    ("source", "rule"),
    [("bin/app", ".gitignore:2 (/bin/)"), ("bin", ".gitignore:2 (/bin/)"), ("dist/*.tgz", ".gitignore:3 (dist/)"),
     ("web/dist/app", ".gitignore:3 (dist/)"), ("a.tmp", ".gitignore:1 (*.tmp)"), ("bin/", ".gitignore:2 (/bin/)")],
)  # fmt: skip
@pytest.mark.parametrize("made", [True, False])
def test_what_another_step_makes_belongs_in_a_stage(
    repo: servers.Repository, source: str, rule: str, made: bool
) -> None:
    repo.write(FILES)
    if made:
        repo.put({"bin/app": "1", "dist/a.tgz": "1", "web/dist/app": "1", "a.tmp": "1"})
    said = refusal(repo, f"COPY {source} /x/")
    assert rule in said and "Make it in a stage of the Dockerfile and copy it from there with `COPY --from`" in said
    assert ("it is in the working tree" in said, "there is no such file" in said) == (made, not made)
    assert "git commit" not in said


@pytest.mark.parametrize("source", ["logs", "logs/", "./logs/.", "logs/deep"])
def test_an_empty_folder_can_be_made_in_the_image(repo: servers.Repository, source: str) -> None:
    repo.write(FILES)
    (repo.path / "logs/deep").mkdir(parents=True)
    said = refusal(repo, f"COPY {source} /x/")
    assert "it is an empty folder, and git keeps no empty folders." in said
    assert "`RUN mkdir`" in said and "git add" not in said


def test_a_folder_of_ignored_files_says_which_rule_it_is(repo: servers.Repository) -> None:
    repo.write(FILES)
    repo.put({"logs/a.log": "1", "logs/b.log": "1"})
    assert "kept out of the commit, by .gitignore:5 (logs/*.log)" in refusal(repo, "COPY logs /x/")
    repo.put({"logs/new": "1"})
    assert "Run `git add` and `git commit` first" in _without_commit(repo, "COPY logs /x/")


def _without_commit(repo: servers.Repository, instruction: str) -> str:
    repo.put({"Dockerfile": f"FROM busybox\n{instruction}\n"})
    repo.git("add", "Dockerfile")
    repo.commit()
    with pytest.raises(BadConfiguration) as refused:
        planned(opened(repo))
    return str(refused.value)


@pytest.mark.parametrize(
    ("source", "there"),
    [("src", "Src"), ("src/main.c", "Src/Main.c"), ("Src/main.C", "Src/Main.c"), ("SRC/", "Src"),
     ("cafe\u0301/a", "caf\u00e9/a"), ("lineal.YAML", "lineal.yaml")],
)  # fmt: skip
def test_another_spelling_is_named(repo: servers.Repository, source: str, there: str) -> None:
    repo.write(FILES)
    assert f"there is no such file in the commit, but there is {there!r}: case counts." in refusal(
        repo, f"COPY {source} /x/"
    )


def test_what_dockerignore_excludes_says_how_to_take_it_back(repo: servers.Repository) -> None:
    repo.write(FILES)
    said = refusal(repo, "COPY docs/a /x/")
    assert "it is excluded by .dockerignore. Take it back there with `!docs/a` as the last line." in said
    repo.write({".dockerignore": "docs\n!docs/a\n"})
    planned(opened(repo))


@pytest.mark.parametrize("source", ["docs/a", "../docs/a", "/docs/a"])
def test_what_lies_outside_of_the_context_is_named(repo: servers.Repository, source: str) -> None:
    repo.write({**FILES, "api/a": "1"})
    said = refusal(repo, f"COPY {source} /x/", context="api")
    assert "there is no such file in the commit, below 'api'. 'docs/a' lies outside of this context." in said


@pytest.mark.parametrize("source", ["none", "Src/none", "bin2", "keep.tmpx"])
def test_what_is_nowhere_is_said_to_be_nowhere(repo: servers.Repository, source: str) -> None:
    repo.write(FILES)
    assert f"COPY '{source}': there is no such file in the commit. [LN-2009]" in refusal(repo, f"COPY {source} /x/")


def test_a_dockerfile_is_explained_like_a_source(repo: servers.Repository) -> None:
    config = "project: x\nimages:\n  app: {dockerfile: docker/dockerfile}\n"
    repo.write({"docker/Dockerfile": "FROM scratch\n", "lineal.yaml": config})
    with pytest.raises(LinealError, match=r"but 'docker/Dockerfile' does: case counts\. .* \[LN-3015\]"):
        planned(opened(repo))
    repo.write({"lineal.yaml": config.replace("docker/", "made/"), ".gitignore": "made\n"})
    repo.put({"made/dockerfile": "FROM scratch\n"})
    with pytest.raises(LinealError, match=r"\.gitignore:1 \(made\) keeps it out of the commit\. .* \[LN-3002\]"):
        planned(opened(repo))
