"""What a checksum depends on, what it must not depend on, and values that may never change by accident.

LINEAL_UPDATE_GOLDEN=1 writes tests/golden/checksums/*.json anew: only together with a new FORMAT."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.config.giterminism import load_giterminism
from lineal.config.load import load
from lineal.config.template import GitFacts
from lineal.dockerfile.checksum import FORMAT, canonical, checksum, files_digest
from lineal.dockerfile.images import read_images
from lineal.dockerfile.stage import Stage, closure
from lineal.git.commit import Commit
from tests.servers import Repository
from tests.unit.stages.workbench import LINK, SCRIPT, Files, planned, stages

GOLDEN = Path(__file__).parents[2] / "golden" / "checksums"

TEXT = st.text(st.sampled_from('ab",{}[]: \\né\x00\ud83d\ude00\udcff\U0001f600'), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


# --- canonical JSON ---------------------------------------------------------------------------------------------


@given(st.dictionaries(TEXT, JSON, max_size=6), st.randoms())
def test_the_order_of_keys_never_matters(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(value)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: unlike in Python, true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


@given(JSON, JSON)
def test_different_values_have_different_texts(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\ud83d\ude00", "\U0001f600"), ("\udc80", "\\udc80"), ("\udc80", "\x80"), (["a", "b"], ["ab"]),
        (["a,b"], ["a", "b"]),
        ({"a": "b"}, '{"a":"b"}'), ({"a": 1}, {"a": "1"}), (1, True), (0, False), (None, "null"), ("é", "e\u0301"),
        ({"a": None}, {}), ([], [[]]), ("", None), (10**30, 10**30 + 1), (1, 1.0),
    ],
)  # fmt: skip
def test_values_that_look_alike_are_told_apart(one: Any, other: Any) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {1, 2}, object()])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical({"x": value})


def test_names_that_are_no_utf8_are_taken_as_they_are() -> None:
    assert canonical(["\udcff"]) == b'["\xed\xb3\xbf"]'


def test_the_format_is_part_of_a_checksum() -> None:
    assert checksum({"format": FORMAT + 1}) != checksum({})
    assert len(checksum({})) == 64


# --- what matters -----------------------------------------------------------------------------------------------

BASE = "FROM base:1\n"
TREE: Files = {"src/a.py": "a", "src/b.py": "b", "run.sh": "echo", "to/x": "x"}


def last(dockerfile: str, files: Files = TREE, **options: Any) -> str:
    return planned(dockerfile, files, **options).checksum


@pytest.mark.parametrize(
    "tree",
    [
        {**TREE, "src/a.py": "A"},
        {**TREE, "src/a.py": (SCRIPT, "a")},
        {**TREE, "src/a.py": (LINK, "a")},
        {name: content for name, content in TREE.items() if name != "src/b.py"},
        {**TREE, "src/c.py": "c"},
        {**TREE, "src/empty": ""},
        {"src/c.py": "a", **{name: content for name, content in TREE.items() if name != "src/a.py"}},
        {"src/a.py": "b", "src/b.py": "a"},
        {"src/a.py": "a", "src/deep/b.py": "b"},
        {**TREE, "src/\udcff": "not UTF-8"},
    ],
    ids=["content", "mode", "link", "removed", "added", "added empty", "renamed", "swapped", "moved", "odd name"],
)
def test_every_change_of_a_copied_file_matters(tree: Files) -> None:
    assert last(BASE + "COPY src /app/\n", tree) != last(BASE + "COPY src /app/\n")
    assert last(BASE + "RUN --mount=type=bind,source=src,target=/s true\n", tree) != last(
        BASE + "RUN --mount=type=bind,source=src,target=/s true\n"
    )


VARIANTS = [
    "COPY src /app/", "COPY src /app", "COPY src /other/", "COPY src/ /app/", "COPY src run.sh /app/",
    "COPY src/a.py /app/", "COPY src/*.py /app/",
    "COPY --chown=1 src /app/", "COPY --chown=1:2 src /app/", "COPY --chmod=0755 src /app/",
    "COPY --chmod=0700 src /app/",
    "ADD src /app/", "ENV A=1\nCOPY src /app/", "ENV A=2\nCOPY src /app/", "WORKDIR /w\nCOPY src /app/",
    "WORKDIR /v\nCOPY src /app/",
    "USER 1\nCOPY src /app/", "LABEL a=b\nCOPY src /app/", "WORKDIR /w\nCOPY src app/", "WORKDIR /v\nCOPY src app/",
    "COPY <<E /app/\none\nE", "COPY <<E /app/\ntwo\nE", "COPY <<F /app/\none\nF", "COPY --from=img:1 src /app/",
    "COPY --from=img:2 src /app/",
    "RUN x", "RUN  y", 'RUN ["x"]', "RUN --network=none x", "RUN --network=host x", "ENV A=1\nRUN x",
    "ARG A=1\nRUN x", "ARG A=2\nRUN x",
    "ARG A=1\nARG B=1\nRUN x", 'SHELL ["/bin/bash", "-c"]\nRUN x', "USER 1\nRUN x", "USER 2\nRUN x",
    "WORKDIR /w\nRUN x", "WORKDIR w\nRUN x",
    "RUN <<E\nx\nE", "RUN <<E\n#!/bin/a\nx\nE", "RUN <<F\n#!/bin/a\nx\nF", "RUN --mount=type=secret,id=a x",
    "RUN --mount=type=secret,id=b x",
    "RUN --mount=type=secret,id=a,target=/t x", "RUN --mount=type=secret,id=a,env=T x",
    "RUN --mount=type=secret,id=a,mode=0444 x",
    "RUN --mount=type=secret,id=a,required=true x", "RUN --mount=type=cache,target=/c x",
    "RUN --mount=type=cache,target=/d x",
    "RUN --mount=type=cache,target=/c,id=z x", "RUN --mount=type=tmpfs,target=/c x",
    "RUN --mount=type=bind,target=/c x",
    "RUN --mount=type=bind,target=/c,source=src x", "RUN --mount=type=bind,target=/c,source=to x",
    "RUN --mount=type=bind,target=/c,rw x",
    "RUN --mount=type=bind,target=/c,from=img:1 x", "RUN --mount=type=bind,target=/c,from=img:2 x",
    "CMD a", 'CMD ["a"]', "ENTRYPOINT a", "CMD b", "EXPOSE 80", "VOLUME /v", "STOPSIGNAL 9", "HEALTHCHECK CMD a",
    "HEALTHCHECK --retries=2 CMD a",
    "HEALTHCHECK NONE", "ONBUILD RUN x", "MAINTAINER x", 'SHELL ["/bin/sh", "-c"]', "ENV A=1", "ENV A=1 B=2",
    "ENV A=1\nENV B=2", "LABEL A=1", "USER 1", "WORKDIR /w",
    'ENV A="$X"', "ENV A=${X}", "ENV A=$Y", "ENV A=\\$X", "CMD a\nENTRYPOINT b", "ENTRYPOINT b\nCMD a",
    "RUN x\nRUN x", "RUN x\nCMD x",
]  # fmt: skip


def test_every_instruction_and_option_has_a_checksum_of_its_own() -> None:
    seen: dict[str, str] = {}
    for text in VARIANTS:
        found = last(BASE + text + "\n")
        assert found not in seen, f"{text!r} is the same as {seen[found]!r}"
        seen[found] = text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"platform": "linux/arm64"}),
        ({"cache_version": "1"}, {"cache_version": "2"}),
        ({}, {"cache_version": "1"}),
        ({"args": {"V": "1"}}, {"args": {"V": "2"}}),
    ],
)
@pytest.mark.parametrize("base", [BASE, "FROM scratch\n"])
def test_options_of_the_image_matter_from_the_first_stage_on(
    base: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    text = "ARG V=1\n" + base + "ARG V\nENV V=$V\nCOPY src /app/\n"
    first, second = (planned(text, TREE, **options) for options in (one, other))
    assert first.checksum != second.checksum
    if "args" not in one:
        assert [stage.checksum for stage in stages(first) if stage in stages(second)] == []


def test_the_base_counts_as_its_text() -> None:
    texts = ["base:1", "base:2", "base", "docker.io/library/base:1", "base:1@sha256:" + "1" * 64]
    assert len({last(f"FROM {text}\nRUN x\n") for text in texts}) == len(texts)


def test_what_is_copied_from_another_target_counts_as_its_checksum() -> None:
    text = "FROM base:1 AS build\nRUN {}\nFROM base:1\nCOPY --from=build /x /y\nRUN --mount=from=build,target=/b z\n"
    assert last(text.format("a")) != last(text.format("b"))
    assert last(text.format("a")) == last(text.format("a").replace("build", "other"))
    assert last(text.format("a")) == last(text.format("a").replace("--from=build", "--from=0"))


def test_another_image_counts_as_its_checksum_and_never_as_its_reference() -> None:
    def app(needed: Stage, name: str = "base", text: str = "ARG B\nFROM $B\nRUN x\n") -> Stage:
        return planned(text, needs={"B": (name, needed)})

    one, other = planned(BASE + "RUN a\n", name="base"), planned(BASE + "RUN b\n", name="base")
    for text in (
        "ARG B\nFROM $B\nRUN x\n",
        "FROM base:1\nARG B\nRUN x\n",
        "FROM base:1\nARG B\nCOPY --from=base /a /b\n",
    ):
        assert app(one, text=text).checksum != app(other, text=text).checksum
    assert app(one).checksum == app(planned(BASE + "RUN a\n", name="renamed"), "renamed").checksum


def test_a_needed_image_with_a_cache_version_of_its_own_starts_anew() -> None:
    base = planned(BASE + "RUN a\n", name="base")
    text = "ARG B\nFROM $B\nRUN x\n"
    one, two = (planned(text, needs={"B": ("base", base)}, cache_version=v) for v in ("1", "2"))
    assert one.checksum != two.checksum
    assert one.parent is two.parent is base


def test_an_escape_directive_that_changes_an_open_word_matters() -> None:
    assert last("FROM base:1\nENV A=$B\\x\n") != last("# escape=`\nFROM base:1\nENV A=$B\\x\n")


# --- what does not matter ---------------------------------------------------------------------------------------


def checksums(dockerfile: str, files: Files = TREE, **options: Any) -> list[str]:
    return [stage.checksum for stage in stages(planned(dockerfile, files, **options))]


PLAIN = BASE + "ENV A=1 B=2\nCOPY src run.sh /app/\nRUN make all\nCMD a b\n"


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\n\n" + PLAIN.replace("COPY", "# another\n\nCOPY"),
        BASE + "ENV A=1 \\\n    B=2\nCOPY src \\\n# in between\n  run.sh \\\n  /app/\nRUN make \\\nall\nCMD a b\n",
        PLAIN.replace("COPY", "copy").replace("RUN", "Run").replace("FROM", "from"),
        PLAIN.replace("\n", "\r\n"),
        "\ufeff" + PLAIN,
        "# syntax=docker/dockerfile:1\n" + PLAIN,
        PLAIN.replace("FROM base:1", "FROM base:1 AS named"),
        PLAIN.replace("FROM base:1", "FROM --platform=linux/amd64 base:1"),
        "ARG T=1\n" + PLAIN.replace("base:1", "base:$T"),
        "FROM other:1 AS unrelated\nRUN anything\n" + PLAIN,
        PLAIN.replace("/app/", '"/app/"'),
        PLAIN.replace("A=1", 'A="1"'),
        PLAIN.replace("COPY src run.sh /app/", 'COPY ["src", "run.sh", "/app/"]'),
    ],
    ids=["comments", "continuations", "case", "CRLF", "BOM", "syntax line", "target name", "own platform",
         "expanded base",
         "other target", "quoted destination", "quoted value", "JSON form"],
)  # fmt: skip
def test_how_a_dockerfile_is_written_does_not_matter(text: str) -> None:
    assert checksums(text) == checksums(PLAIN)


def test_an_argument_that_a_copy_does_not_use_does_not_matter_to_it() -> None:
    text = BASE + "ARG V=1\nCOPY src /app/\n"
    assert last(text) == last(text, args={"V": "2"}) == last(text.replace("ARG V=1\n", ""))
    assert last(text + "RUN x\n") != last(text + "RUN x\n", args={"V": "2"})


@pytest.mark.parametrize(
    "tree", [{**TREE, "README": "new"}, {**TREE, "run.sh": "other"}, {"src/a.py": "a", "src/b.py": "b"}]
)
def test_files_outside_a_copy_do_not_matter(tree: Files) -> None:
    text = BASE + "COPY src /app/\nRUN --mount=target=/s,source=src x\n"
    assert checksums(text, tree) == checksums(text)


def test_a_dockerignore_that_excludes_nothing_copied_does_not_matter() -> None:
    text = BASE + "COPY src /app/\n"
    assert last(text, ignore="*.md\nto\nrun.sh\n") == last(text)
    assert last(text, ignore="src/b.py\n") != last(text)
    assert last(text, ignore="src/b.py\n!src/b.py\n") == last(text)
    without = {name: content for name, content in TREE.items() if name != "src/b.py"}
    assert last(text, ignore="src/b.py\n") == last(text, without)


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "no_proxy", "FTP_PROXY", "ALL_PROXY"])
def test_a_proxy_that_a_commit_gives_matters(name: str) -> None:
    declared = BASE + f"ARG {name}\nRUN x\n"
    assert last(declared) == last(BASE + "RUN x\n")
    given = {last(declared, args={name: "one"}), last(declared, args={name: "two"}), last(declared)}
    assert len(given | {last(BASE + f"ARG {name}=three\nRUN x\n")}) == 4


def test_the_place_of_the_context_the_file_s_name_and_the_image_s_name_do_not_matter() -> None:
    text = BASE + "COPY src /app/\nRUN --mount=target=/s x\n"
    moved = planned(text, TREE, folder="deep/down", file="deep/down/X.Dockerfile", name="other")
    assert moved.checksum == last(text)


def test_how_a_root_is_spelled_matters_no_more_than_the_text_it_is() -> None:
    files: Files = {**TREE, "link": (LINK, "src")}
    assert last(BASE + "COPY link /app/\n", files) != last(
        BASE + "COPY link /app/\n", {**files, "src/a.py": "changed behind the link"}
    )


def test_a_long_list_of_files_is_kept_in_records_as_a_checksum() -> None:
    inputs = planned(BASE + "COPY src run.sh /app/\n", TREE).inputs
    kept = files_digest(inputs)
    assert kept["files"]["count"] == 3
    assert {**kept, "files": 0} == {**inputs, "files": 0}
    other = files_digest(planned(BASE + "COPY src run.sh /app/\n", {**TREE, "run.sh": "new"}).inputs)
    assert other["files"]["checksum"] != kept["files"]["checksum"]


# --- golden values ----------------------------------------------------------------------------------------------


def commit(case: Path, root: Path) -> Repository:
    """The golden tree as a repository of its own, history and all."""
    repository = Repository.create(root)
    shutil.copytree(case, root, symlinks=True, dirs_exist_ok=True)
    repository.git("add", "--all", "--force")
    repository.commit("golden")
    return repository


def read(root: Path) -> list[list[str]]:
    """[image, target, instruction, checksum] of every stage of a repository's lineal.yaml, as a run would see it."""
    source = Commit.open(root, {"PATH": os.environ["PATH"]})
    try:
        text = (source.file("lineal.yaml") or b"").decode()
        loaded = load(
            text,
            env=None,
            vars={},
            git=GitFacts(source.commit, source.commit[:7], "main", None),
            environ={},
            giterminism=load_giterminism(None),
        )
        found = read_images(source, loaded)
        return [[s.image, s.target, s.text, s.checksum] for s in closure(list(found.last.values()))]
    finally:
        source.close()


CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir()) if GOLDEN.exists() else []


def test_there_are_golden_values() -> None:
    assert len(CASES) >= 5


@pytest.mark.parametrize("name", CASES)
def test_a_golden_checksum_never_changes_by_accident(name: str, tmp_path: Path) -> None:
    found = read(commit(GOLDEN / name, tmp_path / "repo").path)
    file = GOLDEN / f"{name}.json"
    if os.environ.get("LINEAL_UPDATE_GOLDEN") == "1":
        file.write_text(json.dumps({"format": FORMAT, "stages": found}, indent=1, ensure_ascii=False) + "\n")
    expected = json.loads(file.read_text())
    assert expected["format"] == FORMAT
    assert found == expected["stages"], "bump FORMAT, then run with LINEAL_UPDATE_GOLDEN=1, if this is meant"


@pytest.mark.parametrize("name", CASES[:1])
def test_another_machine_path_and_commit_give_the_same_golden_checksums(name: str, tmp_path: Path) -> None:
    first = commit(GOLDEN / name, tmp_path / "one")
    other = commit(GOLDEN / name, tmp_path / "deep" / "er" / "other")
    other.branch("feature")
    other.write({"notes-that-nobody-copies.txt": "later"}, "later")
    assert first.head() != other.head()
    assert read(first.path) == read(other.path)
