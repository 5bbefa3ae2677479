"""RUN and metadata as values: flags and heredocs; and what is refused, with its line."""

from __future__ import annotations

import pytest

from lineal.engine import Device
from lineal.errors import BadConfiguration
from tests.unit.dockerfile.parts import refusal, run, step
from tests.unit.stages.workbench import planned

# --- RUN --------------------------------------------------------------------------------------------------------


def test_the_forms_of_a_run() -> None:
    assert (run("RUN echo  $A 'x'").words, run("RUN echo x").exec_form) == (("echo  $A 'x'",), False)
    exec_form = run('RUN ["echo", "$A"]')
    assert (exec_form.words, exec_form.exec_form) == (("echo", "$A"), True)
    assert run("RUN --network=none x").network == "none"


def test_a_heredoc_is_the_script_of_the_shell() -> None:
    found = run("RUN <<EOF\none\n  $two\nEOF")
    assert (found.words, found.script) == (("one\n  $two\n",), None)
    assert run("RUN <<-EOF\n\tone\n\tEOF").words == ("one\n",)


def test_a_heredoc_with_a_shebang_is_a_file() -> None:
    found = run("RUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF")
    assert (found.words, found.script) == (("/dev/pipes/EOF",), ("EOF", "#!/usr/bin/env python3\nprint(1)\n"))


def test_other_heredocs_are_left_to_the_shell() -> None:
    found = run("RUN cat <<A - <<B > /x\none\nA\ntwo\nB")
    assert found.words == ("cat <<A - <<B > /x\none\nA\ntwo\nB",)
    assert found.script is None


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("gpu", Device("gpu")),
        ("example.com/class=a", Device("example.com/class=a")),
        ("name=example.com/class=*,required", Device("example.com/class=*", required=True)),
        ("example.com/class,required=true", Device("example.com/class", required=True)),
        ("required=false,gpu", Device("gpu")),
    ],
)
def test_devices(written: str, wanted: Device) -> None:
    assert run(f"RUN --device={written} x").devices == (wanted,)


def test_what_a_command_may_have_counts_for_it() -> None:
    texts = [
        "",
        "--security=insecure",
        "--device=a",
        "--device=a,required",
        "--device=a --device=b",
        "--network=host",
    ]
    assert len({planned(f"FROM b:1\nRUN {text} x\n").checksum for text in texts}) == len(texts)


@pytest.mark.parametrize("flag", ["--security=sandbox", "--network=default"])
def test_what_is_so_anyway_changes_nothing(flag: str) -> None:
    assert planned(f"FROM b:1\nRUN {flag} x\n").checksum == planned("FROM b:1\nRUN x\n").checksum


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("RUN", "needs a command"),
        ("RUN []", "needs a command"),
        ("RUN --device=required x", "RUN --device=required does not name one device"),
        ("RUN --device=a=1,b=2 x", "does not name one device"),
        ("RUN --device x", "--device needs a value"),
        ("RUN --security=strange x", "--security=strange is not known"),
        ("RUN --network=bridge x", "--network=bridge is not known"),
        ("RUN --security=insecure --security=insecure x", "--security is given twice"),
        ("RUN --netwrok=none x", "Did you mean --network?"),
        ("RUN <<E\nnever ends", "unterminated heredoc"),
        ("RUNN x", "unknown instruction"),
        ("CROSS_BUILD x", "unknown instruction"),
    ],
)
def test_a_run_that_cannot_be_done_is_refused_with_its_line(text: str, says: str) -> None:
    assert says in refusal(text)


# --- metadata ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ENV $X=1", "uses $X"),
        ("ARG", "ARG needs a name"),
        ("CMD --x=1 y", "CMD --x is not supported"),
        ("HEALTHCHECK --intervall=1s CMD x", "Did you mean --interval?"),
        ("SHELL []", "needs an argument"),
        ('CMD ["a", 1]', "Only strings"),
    ],
)
def test_metadata_that_cannot_be_applied_is_refused_with_its_line(text: str, says: str) -> None:
    assert says in refusal(text)


def test_a_chain_of_open_variables_is_explained_by_the_one_that_is_unknown() -> None:
    with pytest.raises(BadConfiguration, match=r"Dockerfile:3: .*uses \$X, which"):
        step("ENV A=$X\nCOPY $A /d")


def test_the_line_of_a_continued_instruction_is_its_first() -> None:
    with pytest.raises(BadConfiguration, match=r"^Dockerfile:4: "):
        step("\n# comment\nCOPY a \\\n  # comment\n  nope /d/")
