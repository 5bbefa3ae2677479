"""A Dockerfile as a graph: which stages there are, what they stand on, what is refused and where."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.dockerfile.instructions import FromInstruction
from lineal.dockerfile.stage import Stage, closure
from lineal.errors import BadConfiguration
from tests.unit.dockerfile.parts import kind, kinds
from tests.unit.stages.workbench import Files, planned, stages

FILES: Files = {"a": "a", "dir/b": "b", "secret.txt": "x"}


def base_of(last: Stage) -> str:
    op = stages(last)[0].op
    assert isinstance(op, FromInstruction)
    return op.reference


def refusal(text: str, **options: Any) -> str:
    with pytest.raises(BadConfiguration) as refused:
        planned(text, FILES, **options)
    return str(refused.value)


# --- stages -----------------------------------------------------------------------------------------------------


def test_metadata_belongs_to_the_step_after_it_and_the_rest_to_a_closing_stage() -> None:
    last = planned("FROM b:1\nENV A=1\nUSER 2\nRUN x\nLABEL a=b\nCOPY a /\nCMD x\nEXPOSE 1\n", FILES)
    assert kinds(last) == ["from", "run", "copy", "close"]
    assert [[meta.name for meta in stage.metadata] for stage in stages(last)] == [
        [], ["ENV", "USER"], ["LABEL"], ["CMD", "EXPOSE"],
    ]  # fmt: skip
    assert [stage.place.line for stage in stages(last)] == [1, 4, 6, 8]


def test_arguments_make_no_stage() -> None:
    assert kinds(planned("FROM b:1\nARG A=1\n")) == ["from"]


def test_scratch_has_no_stage_of_its_own() -> None:
    assert kinds(planned("FROM scratch\nCOPY a /\n", FILES)) == ["copy"]
    assert kinds(planned("FROM scratch\nENV A=1\n")) == ["close"]


def test_a_step_knows_what_it_is_made_of() -> None:
    text = "FROM b:1 AS x\nRUN one\nFROM c:1\nRUN --mount=from=x,target=/x --mount=from=d:1,target=/d two\n"
    last = planned(text)
    assert sorted((name, kind(stage)) for name, stage in last.sources.items()) == [("d:1", "from"), ("x", "run")]
    assert [stage.text for stage in closure([last])][-1].startswith("RUN --mount")
    assert len(closure([last])) == 5


# --- targets ----------------------------------------------------------------------------------------------------

TARGETS = "FROM b:1 AS one\nRUN 1\nFROM one AS Two\nRUN 2\nFROM c:1\nRUN 3\nFROM two AS last\nRUN 4\n"


@pytest.mark.parametrize(
    ("target", "texts"),
    [
        (None, ["FROM b:1 AS one", "RUN 1", "RUN 2", "RUN 4"]),
        ("one", ["FROM b:1 AS one", "RUN 1"]),
        ("two", ["FROM b:1 AS one", "RUN 1", "RUN 2"]),
        ("TWO", ["FROM b:1 AS one", "RUN 1", "RUN 2"]),
        ("0", ["FROM b:1 AS one", "RUN 1"]),
        ("2", ["FROM c:1", "RUN 3"]),
    ],
)
def test_a_target_is_found_by_name_and_by_number(target: str | None, texts: list[str]) -> None:
    assert [stage.text for stage in stages(planned(TARGETS, target=target))] == texts


def test_targets_that_are_not_needed_are_not_planned() -> None:
    text = "FROM b:1 AS unused\nCOPY not-there /\nRUN --mount=type=ssh x\nFROM b:1\nRUN x\n"
    assert kinds(planned(text)) == ["from", "run"]
    assert "not-there" in refusal(text.replace("FROM b:1\nRUN x", "FROM unused"))


def test_the_last_target_of_a_name_counts() -> None:
    text = "FROM b:1 AS x\nRUN 1\nFROM b:2 AS x\nRUN 2\nFROM x\nRUN 3\n"
    assert [stage.text for stage in stages(planned(text))] == ["FROM b:2 AS x", "RUN 2", "RUN 3"]


def test_a_number_after_from_is_an_image() -> None:
    assert base_of(planned("FROM b:1\nRUN x\nFROM 0\n")) == "0"


def test_what_two_targets_share_is_one_stage() -> None:
    text = "FROM b:1 AS x\nRUN 1\nFROM x AS y\nRUN 2\nFROM x\nCOPY --from=y /a /b\n"
    assert len(closure([planned(text)])) == 4


def test_a_target_starts_with_what_the_one_before_left() -> None:
    text = 'FROM b:1 AS x\nENV A=1\nWORKDIR /w\nUSER u\nSHELL ["/s"]\nFROM x\nRUN $A\n'
    seen = planned(text).inputs["sees"]
    assert seen == {"env": {"A": "1"}, "workdir": "/w", "user": "u", "shell": ["/s"]}


def test_a_thousand_instructions_and_ninety_targets_are_no_matter() -> None:
    text = "FROM b:1\n" + "".join(f"ENV PATH=/p{n}:$PATH\nRUN {n}\n" for n in range(500))
    last = planned(text)
    assert len(stages(last)) == len(closure([last])) == 501
    chain = "FROM b:1 AS t0\n" + "".join(f"FROM t{n} AS t{n + 1}\nRUN {n}\n" for n in range(90))
    assert len(stages(planned(chain))) == 91
    copies = "FROM b:1 AS t0\n" + "".join(f"FROM b:1 AS t{n + 1}\nCOPY --from=t{n} /a /b\n" for n in range(90))
    assert len(closure([planned(copies)])) == 91


def test_targets_without_end_are_refused_instead_of_overrunning() -> None:
    for link in ("FROM t{0} AS t{1}\nRUN x\n", "FROM b:1 AS t{1}\nCOPY --from=t{0} /a /b\n"):
        text = "FROM b:1 AS t0\n" + "".join(link.format(n, n + 1) for n in range(3000))
        assert "More than 100 targets" in refusal(text)


# --- arguments --------------------------------------------------------------------------------------------------


def seen(text: str, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = planned(text + "RUN x\n", **options).inputs["sees"]["env"]
    return found


def test_an_argument_before_from_is_for_from_until_it_is_named_again() -> None:
    assert base_of(planned("ARG V=1\nFROM b:$V\n")) == "b:1"
    assert seen("ARG V=1\nFROM b:$V\n") == {}
    assert seen("ARG V=1\nFROM b:$V\nARG V\n") == {"V": "1"}
    assert seen("ARG V=1\nFROM b:$V\nARG V=2\n") == {"V": "2"}


def test_a_given_argument_wins_over_every_default() -> None:
    given: dict[str, Any] = {"args": {"V": "9"}}
    assert base_of(planned("ARG V=1\nFROM b:$V\n", **given)) == "b:9"
    assert seen("FROM b:1\nARG V=1\n", **given) == {"V": "9"}
    assert seen("FROM b:1\nARG V\n", **given) == {"V": "9"}


def test_an_argument_without_a_value_is_not_there() -> None:
    assert seen("FROM b:1\nARG V\n") == {}


def test_arguments_build_on_each_other() -> None:
    text = "ARG A=1 B=b:$A\nFROM $B\nARG A\nARG C=$A-c\nARG D=${C}d\n"
    assert base_of(planned(text)) == "b:1"
    assert seen(text) == {"A": "1", "C": "1-c", "D": "1-cd"}


def test_later_arguments_of_one_line_see_the_earlier_ones() -> None:
    assert seen("FROM scratch\nARG A=1 B=[$A]\n")["B"] == "[1]"


def test_arguments_and_variables_of_one_name() -> None:
    assert seen("FROM b:1\nENV A=env\nARG A=arg\n") == {"A": "arg"}
    assert seen("FROM b:1\nARG A=arg\nENV A=env\n") == {"A": "env"}


def test_the_platform_is_known_as_an_argument_and_the_machine_is_not() -> None:
    text = "FROM --platform=$BUILDPLATFORM b:1\nARG TARGETARCH TARGETOS TARGETVARIANT BUILDPLATFORM\n"
    assert seen(text, platform="linux/arm/v7") == {
        "TARGETARCH": "arm", "TARGETOS": "linux", "TARGETVARIANT": "v7", "BUILDPLATFORM": "linux/arm/v7",
    }  # fmt: skip


# --- other images -----------------------------------------------------------------------------------------------


def test_a_needed_image_is_a_base_by_its_argument_and_by_its_name() -> None:
    base = planned("FROM b:1\nARG INNER=1\nENV A=1\nRUN x\n", name="base")
    needs = {"BASE": ("base", base)}
    for text in ("ARG BASE\nFROM $BASE\n", "ARG BASE\nFROM ${BASE}\n", "ARG BASE\nFROM base\n"):
        last = planned(text + "RUN y\n", needs=needs)
        assert last.parent is base
        assert last.inputs["sees"]["env"] == {"A": "1"}, "its arguments end with it"
    copied = planned("ARG BASE\nFROM b:1\nCOPY --from=base /a /b\n", needs=needs)
    assert copied.sources == {"base": base}


def test_the_reference_of_a_needed_image_is_a_placeholder_until_it_is_published() -> None:
    base = planned("FROM b:1\nRUN x\n", name="base")
    last = planned("FROM b:1\nARG BASE\nENV B=$BASE\nRUN y\n", needs={"BASE": ("base", base)})
    assert last.inputs["sees"]["env"]["B"] == base.placeholder
    assert last.needs == {base.placeholder: base}
    assert base in last.dependencies()


def test_a_need_that_no_argument_takes_is_refused() -> None:
    base = planned("FROM b:1\nRUN x\n", name="base")
    message = refusal("FROM b:1\n", needs={"BASE": ("base", base)})
    assert message.startswith("lineal.yaml: images.app.needs.BASE: ")


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("RUN x\nFROM b:1\n", 1, "before the first FROM"),
        ("FROM b:1 AS 1x\n", 1, "not a valid name"),
        ("FROM b:1 x\n", 1, "FROM takes one reference"),
        ("FROM\n", 1, "FROM takes one reference"),
        ("ARG V\nFROM $V\n", 2, "is empty"),
        ("FROM ${V:?give-V}\n", 1, "give-V"),
        ("FROM b:1\nFROM UPPER/case:1\n", 2, "reference"),
        ("FROM b:1:2\n", 1, "reference"),
        ("FROM --platform=windows/amd64 b:1\n", 1, "is no platform that Lineal builds for"),
        ("FROM --plattform=x b:1\n", 1, "Did you mean --platform?"),
        ("FROM scratch AS x\nFROM b:1\nCOPY --from=x /a /b\n", 3, "is empty"),
        ("FROM mcr.microsoft.com/windows/nanoserver:ltsc2022\n", 1, "is an image of Windows"),
        ("FROM b:1\n\n# c\nCOPY a nope /d/\n", 4, "no such file"),
        ("FROM b:1 AS x\nONBUILD COPY nope /\n\nFROM x\n", 4, "no such file"),
        ("FROM b:1 AS x\nONBUILD NOPE y\nFROM x\n", 3, "An ONBUILD of the base cannot be read"),
        ("FROM b:1 AS x\nONBUILD RUN --mount=from=x,target=/y z\nFROM x AS x\n", 3, "not a target above"),
        ("FROM b:1 AS x\nRUN y\nFROM b:1\nRUN --mount=from=0,target=/y z\n", 4, "cannot name a target by its number"),
        ("FROM b:1 AS x\nFROM b:1 AS y\nCOPY --from=x /a /\nFROM b:1 AS x\nFROM y\n", 3, "not a target above"),
        ("FROM b:1 AS x\nCOPY --from=x /a /b\n", 2, "not a target above"),
        ("FROM b:1\nNOPE x\n", 2, "unknown instruction"),
        ("FROM b:1\nRUN x\nENV A\n", 3, "ENV must have two arguments"),
        ("FROM b:1\nHEALTHCHECK --retries=x CMD y\n", 2, "--retries=x"),
        ("FROM b:1\nEXPOSE 99999\n", 2, "is not a port"),
    ],
)
def test_every_refusal_names_its_line(text: str, line: int, says: str) -> None:
    message = refusal(text)
    assert message.startswith(f"Dockerfile:{line}: "), message
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "ARG A=1\n"])
def test_a_file_without_from_is_refused(text: str) -> None:
    assert refusal(text) == "Dockerfile: there is no FROM in it. A Dockerfile starts with FROM. [LN-2001]"


def test_a_target_that_is_not_there_is_refused_with_a_suggestion() -> None:
    message = refusal("FROM b:1 AS runtime\nRUN x\n", target="runtim")
    assert message.startswith("lineal.yaml: images.app.target: ")
    assert "Did you mean 'runtime'?" in message
    assert "Name a `FROM … AS`" in refusal("FROM b:1\n", target="7")


def test_a_file_that_is_ignored_is_said_to_be() -> None:
    assert "excluded by .dockerignore" in refusal("FROM b:1\nCOPY secret.txt /\n", ignore="*.txt\n")


def test_an_error_inside_the_context_names_the_line_of_the_step_or_the_file() -> None:
    files: Files = {"sub": ("160000", "")}
    with pytest.raises(BadConfiguration, match="submodule"):
        planned("FROM b:1\nCOPY . /\n", files)


# --- what a copy depends on -------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", ["COPY --from=x /a /b", "RUN --mount=from=x,target=/x y"])
def test_a_copy_does_not_depend_on_metadata_that_closes_its_source(use: str) -> None:
    def of(closing: str) -> str:
        return planned(f"FROM b:1 AS x\nRUN make\n{closing}FROM c:1\n{use}\n").checksum

    assert of("") == of("ENV A=1\nCMD x\n") == of("LABEL a=b\n")
    assert of("") != of("WORKDIR /new\n")


def test_a_copy_does_not_depend_on_metadata_that_closes_what_its_source_begins_with() -> None:
    def of(first: str, second: str) -> str:
        text = f"FROM b:1 AS x\nRUN make\n{first}FROM x AS y\n{second}FROM c:1\nCOPY --from=y /a /b\n"
        return planned(text).checksum

    assert of("", "") == of("LABEL a=b\n", "") == of("", "LABEL a=b\n") == of("LABEL a=b\n", "CMD x\n")
    assert of("WORKDIR /new\n", "LABEL a=b\n") != of("", "")


@pytest.mark.parametrize(
    "text",
    [
        "# comment\nfrom b:1 as OTHER\n\n  run make   # not a comment\nFROM c:1\ncopy --from=other /a /b\n",
        "FROM b:1 AS y\nRUN \\\n# comment\n\nmake   # not a comment\nFROM c:1 AS z\nCOPY   --from=y \\\n /a /b\n",
    ],
)
def test_how_it_is_written_does_not_matter(text: str) -> None:
    plain = "FROM b:1 AS x\nRUN make   # not a comment\nFROM c:1\nCOPY --from=x /a /b\n"
    assert planned(text).checksum == planned(plain).checksum
