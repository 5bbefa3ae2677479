"""Dockerfiles, .dockerignore and patterns that want to be a trap."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lineal.context.dockerignore import Ignore
from lineal.dockerfile import metadata
from lineal.dockerfile.scope import Word, finish
from lineal.dockerfile.stage import Stage
from lineal.errors import BuildFailed
from tests.hostile.bounds import answer
from tests.hostile.inputs import growing
from tests.unit.stages.workbench import planned, stages

FILES = {"a": "a", "dir/sub/b": "b", "a b": "x", "EOF": "x", "a/" * 30 + "deep": "x", "n" * 200: "x"}
NAMES = ["FROM", "RUN", "COPY", "ADD", "ARG", "ENV", "LABEL", "WORKDIR", "USER", "EXPOSE", "VOLUME", "STOPSIGNAL",
         "CMD",
         "ENTRYPOINT", "HEALTHCHECK", "SHELL", "MAINTAINER", "ONBUILD"]  # fmt: skip
FLAGS = ["--from=", "--mount=type=bind,source=", "--mount=type=cache,target=/c,id=", "--mount=type=tmpfs,size=",
         "--mount=type=secret,id=x,mode=", "--mount=", "--chmod=", "--chown=", "--link", "--parents", "--exclude=",
         "--checksum=", "--platform=", "--interval=", "--retries=", "--network=", "--security=", "--x"]  # fmt: skip
WORDS = ["0", "1", "²", "９", "9" * 400, "9" * 5000, "a", "b", "dir", "A=1", "A=$A$A", "base:1", "scratch", "AS",
         "NONE", "CMD",
         "$A", "${A}", "${A:-", "${A#*", "${A//a/b}", "}", "$", "\\", "`", "[", "]", '"', '["a"]', "'", "<<EOF",
         "\nEOF\n",
         "<<-'X'", "#", "/", "..", "*", "**", "**/", "?", "[a-", "[^x]", "https://e.example/x",
         "https://e.example/x.git#v1", "git@e.example:x", "sha256:" + "0" * 64, "\0", "é", "\u2028", "\x1c", "=", ":",
         ",", "%", "~", "-", "s", "ns", "8080-9090/tcp", "u=rwX", "\t", "\r"]  # fmt: skip
SEPARATORS = st.sampled_from([" ", " ", " ", "", "\n", " \\\n", "\r\n"])
LINES = st.builds(
    lambda name, flags, words: " ".join([name, *flags, "".join(words)]) + "\n",
    st.sampled_from(NAMES),
    st.lists(st.builds(str.__add__, st.sampled_from(FLAGS), st.sampled_from(WORDS)), max_size=2),
    st.lists(st.builds(str.__add__, st.sampled_from(WORDS), SEPARATORS), max_size=6),
)
HEADS = st.sampled_from(
    ["FROM base:1 AS a\n", "FROM scratch AS a\n", "FROM base:1 AS a\nFROM a\n", "# escape=`\nFROM b:1\n", ""]
)
DOCKERFILES = st.builds(
    str.__add__, HEADS, growing(LINES, 200) | growing(st.sampled_from([*NAMES, *WORDS, "\n", " "]))
)
CONFIG = {"Env": ["PATH=/bin", "A=$A"], "WorkingDir": "/w", "User": "1"}


def ending(config: Any) -> Callable[[Word], str]:
    return lambda word: finish(word, metadata.environment(config))


def made(last: Stage) -> None:
    """What a build does with the metadata once it has the base."""
    for stage in stages(last):
        document: dict[str, Any] = json.loads(json.dumps({"config": CONFIG}))
        config = document["config"]
        for meta in stage.metadata:
            try:
                metadata.apply(document, meta, ending(config))
            except ValueError as error:  # the builder names the stage
                raise BuildFailed(f"{error}.", id="LN-5006") from None


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@example("FROM base:1\nCOPY --from=² / /\n")
@example("FROM base:1\nRUN " + "[" * 100_000 + "\n")
@example("FROM base:1\nHEALTHCHECK --interval=" + "9" * 400 + "h CMD true\n")
@example("FROM scratch\nENV A=aaaaaaaaaaaaaaaa\n" + "ENV A=$A$A$A$A\n" * 20)
@example("FROM base:1\nENV A=aaaaaaaaaaaaaaaa\nENV B=$B\n" + "ENV B=$B$A$B\n" * 20)
@example("FROM base:1\n" + "ONBUILD RUN cat <<E\nE\n" * 1000)
@given(DOCKERFILES)
def test_a_dockerfile_is_planned_or_refused(text: str) -> None:
    last = answer(lambda: planned(text, FILES))
    if last is not None:
        answer(lambda: made(last))


PATTERNS = st.sampled_from(["a", "b", "n", "*", "**", "**/", "/", "?", "[ab]", "[^x]", "[", "]", "\\", "!", "..",
                            ".", "\n", " ", "#", "-",
                            "é", "\0", "\ufeff", "[a-", "[[:x:]]", "(", "{", "x.*"])  # fmt: skip
DEEP = [("a", "040000", "")] + [("/".join("a" * depth), "040000", "") for depth in range(2, 60)]
ENTRIES = [*DEEP, (DEEP[-1][0] + "/" + "a" * 200, "100644", ""), ("b" * 200, "100644", ""), ("\udcff", "100644", "")]
HARD = ["**/a" * 20 + "/b", "*a" * 30 + "b", "**a" * 30 + "b", "a*" * 100 + "[b", "**/" * 40 + "b"]


@settings(max_examples=100)
@given(growing(PATTERNS, 60) | st.sampled_from(HARD))
def test_an_ignore_file_decides_or_is_refused(text: str) -> None:
    def decided() -> None:
        ignore = Ignore(text, file=".dockerignore")
        ignore.keep(iter(ENTRIES))
        ignore.excludes(ENTRIES[-3][0])
        ignore.may_keep_below("a/a")

    answer(decided)


@pytest.mark.parametrize("pattern", HARD)
@pytest.mark.parametrize("step", ["COPY {} /d/", "COPY --exclude={} . /d/", "COPY --parents {} /d/"])
def test_a_pattern_takes_no_longer_than_its_files(step: str, pattern: str) -> None:
    answer(lambda: planned(f"FROM base:1\n{step.format(pattern)}\n", FILES))
