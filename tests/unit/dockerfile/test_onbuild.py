"""ONBUILD: instructions that a target leaves to those on top of it."""

from __future__ import annotations

from typing import Any

import pytest
from e2b_dockerfile_utils import DockerfileSyntaxError, parse_dockerfile_ast

from lineal.dockerfile import metadata
from lineal.dockerfile.onbuild import parse_file
from lineal.dockerfile.scope import finish
from lineal.dockerfile.stage import Stage
from tests.unit.dockerfile.parts import FILES, kind, kinds
from tests.unit.stages.workbench import planned, stages

LEAVES = """FROM b:1 AS x
ONBUILD ARG V=1
ONBUILD ENV A=$V
onbuild COPY a /a
ONBUILD RUN <<EOF
  echo $A
EOF
FROM x
RUN own
"""


def test_a_target_begins_with_what_its_base_left_for_it() -> None:
    last = planned(LEAVES, FILES, args={"V": "2"})
    assert [(kind(stage), stage.text) for stage in stages(last)[2:]] == [
        ("copy", "COPY a /a"), ("run", "RUN <<EOF"), ("run", "RUN own"),
    ]  # fmt: skip
    assert stages(last)[3].op.words == ("  echo $A\n",)  # type: ignore[union-attr]
    assert stages(last)[3].place.line == 8
    assert last.scope.variables["A"] == "2"
    assert config_of(last).get("OnBuild") is None
    assert config_of(stages(last)[1])["OnBuild"][2:] == ["COPY a /a", "RUN <<EOF\n  echo $A\nEOF"]


def test_what_a_base_left_is_done_once() -> None:
    once = planned(LEAVES.replace("FROM x\n", "FROM x AS y\n") + "FROM y\nRUN more\n", FILES)
    assert [stage.text for stage in stages(once)[-2:]] == ["RUN own", "RUN more"]


def test_an_argument_that_a_base_left_is_enough_to_take_it_out_of_the_config() -> None:
    last = planned("FROM b:1 AS x\nONBUILD ARG V\nFROM x\n", args={"V": "1"})
    assert kinds(last) == ["from", "close", "close"]
    assert config_of(last).get("OnBuild") is None


def test_a_needed_image_leaves_instructions_to_others_too() -> None:
    base = planned("FROM b:1\nARG V=base\nONBUILD COPY --from=tool /t /t\nONBUILD RUN echo $V\n", name="base")
    text = "ARG BASE\nFROM t:1 AS tool\nRUN make\nFROM $BASE\nRUN y\n"
    last = planned(text, needs={"BASE": ("base", base)})
    assert [stage.text for stage in stages(last)[2:]] == ["COPY --from=tool /t /t", "RUN echo $V", "RUN y"]
    assert stages(last)[2].sources["tool"].text == "RUN make"
    assert "V" not in last.scope.variables


@pytest.mark.parametrize(
    "text",
    [
        "FROM b:1\nRUN <<A\nONBUILD RUN <<B\nA\n", "FROM b:1\nRUN echo \\\nONBUILD RUN <<B\n",
        "FROM b:1\n# ONBUILD RUN <<B\nRUN x\n",
    ],
)  # fmt: skip
def test_what_only_looks_like_an_onbuild_is_left_alone(text: str) -> None:
    try:
        expected = [one.original for one in parse_dockerfile_ast(text).instructions]
    except DockerfileSyntaxError:
        with pytest.raises(DockerfileSyntaxError):
            parse_file(text)
    else:
        assert [one.original for one in parse_file(text).instructions] == expected


def config_of(last: Stage) -> dict[str, Any]:
    document: dict[str, Any] = {"config": {}}
    for stage in stages(last):
        for meta in stage.metadata:
            metadata.apply(document, meta, lambda word: finish(word, metadata.environment(document["config"])))
    return dict(document["config"])
